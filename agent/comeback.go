package agent

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/budget"
	"github.com/tierd/tierd/units"
)

// returnLook is how often the memory is looked at for a tier that has rested and finds no room yet.
const returnLook = 10 * time.Second

// comeBack ends the rests that are over and for which there is room again, and starts the tiers that come back by themselves: one
// after the other, the highest priority first, since each takes of what the next one needs. It says when there is something to
// do for it next.
func (a *Agent) comeBack() (next time.Time) {
	if len(a.guard.rests) == 0 || a.plan == nil || a.systemdErr != nil || a.observations == 0 || a.ctx.Err() != nil {
		return time.Time{}
	}
	a.forgetRests()
	for _, tier := range a.byPriority() {
		r := a.guard.rests[tier]
		if r.Over || r.Down || !a.returns(tier) && a.wishes[tier] == nil {
			continue
		}
		if now := time.Now(); now.Before(r.Until) {
			next = sooner(next, r.Until)
			continue
		}
		if a.returning() || a.conflict(tier) != nil {
			continue // its end wakes the loop
		}
		if at := a.guard.looked.Add(returnLook); a.guard.looked.Before(r.Until) || !at.After(time.Now()) {
			a.lookForRoom()
			continue
		} else if !a.hasRoom(tier) {
			next = sooner(next, at)
			continue
		}
		a.endRest(tier, r)
	}
	return next
}

// byPriority are the tiers that rest, the highest priority first.
func (a *Agent) byPriority() []string {
	var list []units.Tier
	for _, t := range a.plan.Config.Tiers {
		if _, known := a.guard.rests[t.Name]; known {
			list = append(list, t)
		}
	}
	slices.SortStableFunc(list, func(x, y units.Tier) int { return cmp.Compare(y.Priority, x.Priority) })
	names := make([]string, len(list))
	for i, t := range list {
		names[i] = t.Name
	}
	return names
}

// returns tells whether a tier comes back without a request.
func (a *Agent) returns(tier string) bool {
	t, known := a.plan.Config.Tier(tier)
	return known && t.Start == units.StartBoot && len(a.runningOf(tier)) == 0
}

// returning tells whether a tier is on its way back.
func (a *Agent) returning() bool {
	return slices.ContainsFunc(a.changes, func(c *change) bool { return c.Kind == "return" && !c.Done() })
}

// endRest lets a tier be started again, and starts one that comes back by itself unless a request is about to.
func (a *Agent) endRest(tier string, r rest) {
	r.Over = true
	a.guard.rests[tier] = r
	a.keepRests()
	a.guard.looked = time.Time{} // what it takes, another one does not find
	a.opts.Log.Info("it has rested, and there is room again", "tier", tier, "available", a.guard.available)
	if a.wishes[tier] != nil {
		return
	}
	a.begin("return", "start "+tier+" again after memory pressure", "return "+tier, []string{tier},
		[]job{{op: opStart, tier: tier, unit: a.preferred(tier).Name, spare: true}}, nil)
}

// returned notes how that came out. One that found no room after all rests once more.
func (a *Agent) returned(c *change) {
	t := c.tasks[0]
	r, known := a.guard.rests[t.tier]
	if known && r.Over && c.Err != nil && c.Err.Kind == api.KindBudget {
		r.Over, r.Until = false, time.Now().Add(restPauses[r.Step])
		a.guard.rests[t.tier] = r
		a.keepRests()
	}
}

// lookForRoom reads the memory beside the loop.
func (a *Agent) lookForRoom() {
	if a.guard.looking {
		return
	}
	a.guard.looking = true
	a.spawn(func(context.Context) {
		r := a.readRoom(nil)
		a.post(func() {
			g := &a.guard
			g.looking, g.looked, g.available = false, time.Now(), 0
			if free := a.host(r).Free; free != nil { // where the kernel does not say, nothing comes back by itself
				g.available = *free
			}
		})
	})
}

// hasRoom tells whether the memory that was seen last leaves more than the refuse line once a tier is up.
func (a *Agent) hasRoom(tier string) bool {
	if a.guard.short != "" {
		return false
	}
	charge := a.chargeOf(a.preferred(tier).Name)
	need := budget.Of(charge, a.poolName()).RAM
	need -= min(charge.Mapped, need) // the page cache counts as available
	return uint64(a.guard.available) > uint64(need)+guardLines(a.plan.Config).Refuse
}
