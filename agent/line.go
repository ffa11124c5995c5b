package agent

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/budget"
	"github.com/tierd/tierd/units"
)

const (
	// lineLook is how often asks that wait are judged again although nothing was heard: no signal tells of memory.
	lineLook = time.Second
	// settleTime is how long the memory of tiers that gave way may take to come back before another one has to go.
	settleTime = 10 * time.Second
	// linePatience bounds a wait. It is above what any model takes to load.
	linePatience = 45 * time.Minute
)

// asker is a unit whose shim waits for its answer. It belongs to the loop; answer takes one value, and news is closed and
// replaced when words change.
type asker struct {
	unit, tier string
	since      time.Time
	evict      bool
	asked      uint64 // observations begun by then
	answer     chan api.AdmitAnswer
	words      string // why it waits
	news       chan struct{}
	giving     string    // id of the change in which others give way for it
	gaveWay    time.Time // when the last such change ended
}

// enter puts a unit into the line.
func (a *Agent) enter(unit string) *asker {
	delete(a.admitted, unit)      // its process asks, so it does not load: two that wait must not wait for each other
	delete(a.guard.pressed, unit) // another life of it begins
	x := &asker{unit: unit, tier: a.tierOf(unit), since: time.Now(), evict: a.mayEvict(unit), asked: a.asked, answer: make(chan api.AdmitAnswer, 1),
		news: make(chan struct{})}
	a.line = append(a.line, x)
	a.judge()
	return x
}

// leave takes an ask out of the line; its shim has gone.
func (a *Agent) leave(x *asker) {
	a.line = slices.DeleteFunc(a.line, func(y *asker) bool { return y == x })
	a.judge()
}

// mayEvict tells whether others may give way for a unit: as whoever asked for its start said, else if it starts on demand.
func (a *Agent) mayEvict(unit string) bool {
	if leave, said := a.leaves[unit]; said {
		return leave
	}
	return a.unit(unit).Start == units.StartDemand
}

// evicts tells whether others may give way for an ask: requests that wait for the tier give that leave, whoever started it.
func (a *Agent) evicts(x *asker) bool { return x.evict || a.wished(x.tier) }

// judge looks at the room beside the loop, and then at everybody in the line. What changes meanwhile is looked at again.
func (a *Agent) judge() {
	if len(a.line) == 0 || a.ctx.Err() != nil {
		return
	}
	if a.judging {
		a.judgeAgain = true
		return
	}
	a.judging = true
	cgroups := a.cgroups()
	a.spawn(func(context.Context) {
		r := a.readRoom(cgroups)
		a.post(func() {
			a.judging = false
			again := a.judgeAgain
			a.judgeAgain = false
			a.judgeLine(r)
			if again {
				a.judge()
			}
		})
	})
}

// judgeLine answers whom it can, in the order in which they came. Who waits for a turn, or for others to go, keeps the
// room that it was promised: a later one does not get in between.
func (a *Agent) judgeLine(r room) {
	a.measure(r)
	h := a.host(r)
	held := a.claims(r, h.Pool())
	soon := lineLook
	line := a.line
	a.line = nil
	for _, x := range line {
		c, v := a.judgeOne(x, h, held)
		switch {
		case v.Answer == budget.Yes:
			a.admit(x, v)
			held = append(held, c)
			continue
		case v.Answer == budget.Wait && time.Since(x.since) > linePatience:
			v.Answer, v.Reason = budget.No, fmt.Sprintf("it waited for %s: %s", linePatience, v.Reason)
		}
		switch {
		case v.Answer == budget.No || v.Answer == budget.IfWay && !a.evicts(x):
			a.refuse(x, v)
			continue
		case v.Answer == budget.IfWay:
			a.giveWay(x, v)
			held = a.asEnding(held, v.Victims)
			x.say(v.Reason)
		default:
			x.say(v.Reason)
			if v.Look > 0 {
				soon = min(soon, v.Look)
			}
		}
		if x.giving != "" || !x.gaveWay.IsZero() || v.Sums.Fits() {
			held = append(held, c)
		}
		a.line = append(a.line, x)
	}
	if len(a.line) > 0 {
		a.judgeIn(soon)
	}
}

// judgeOne puts one ask to package budget. What the unit itself holds, from a run that is over, does not count against it.
func (a *Agent) judgeOne(x *asker, h budget.Host, held []budget.Claim) (budget.Claim, budget.Verdict) {
	charge := a.chargeOf(x.unit)
	c := budget.Claim{Unit: x.unit, Tier: x.tier, Need: budget.Of(charge, h.Pool()), Phase: budget.Loading, Priority: a.unit(x.unit).Priority}
	q := budget.Ask{
		Unit: x.unit, Tier: x.tier, Need: c.Need, Evict: a.evicts(x), Waited: time.Since(x.since),
		Beside:   a.comesBeside(x),
		Settling: x.giving != "" || !x.gaveWay.IsZero() && time.Since(x.gaveWay) < settleTime,
	}
	if a.plan != nil {
		if t, ok := a.plan.Config.Tier(x.tier); ok {
			q.MaxWait = t.MaxWait
		}
	}
	if a.guard.short != "" {
		return c, budget.Verdict{Answer: budget.Wait, Reason: a.guard.short, Sums: budget.Add(h, append(held, c))}
	}
	if sibling := a.unsureOf(x); sibling != "" {
		return c, budget.Verdict{Answer: budget.Wait, Reason: "waits to hear that " + sibling + " has ended", Sums: budget.Add(h, append(held, c))}
	}
	return c, budget.Judge(h, q, held)
}

func (a *Agent) asEnding(held []budget.Claim, unitNames []string) []budget.Claim {
	held = slices.Clone(held)
	for i := range held {
		if slices.Contains(unitNames, held[i].Unit) {
			held[i].Phase = budget.Ending
		}
	}
	return held
}

func (a *Agent) judgeIn(d time.Duration) {
	if a.judgeTimer {
		return
	}
	a.judgeTimer = true
	a.spawn(func(ctx context.Context) {
		select {
		case <-time.After(d):
			a.post(func() { a.judgeTimer = false; a.judge() })
		case <-ctx.Done():
		}
	})
}

// admit lets a unit load. It holds its room until it is seen to have ended.
func (a *Agent) admit(x *asker, v budget.Verdict) {
	a.admitted[x.unit] = admission{asked: a.asked, at: time.Now()}
	delete(a.drains, x.unit)
	delete(a.gave, x.unit)
	delete(a.refusals, x.unit)
	a.opts.Log.Info("admitted", "tier", x.tier, "unit", x.unit, "memory", a.chargeOf(x.unit).Total(), "waited", time.Since(x.since).Round(time.Millisecond))
	x.answer <- api.AdmitAnswer{OK: true}
}

func (a *Agent) refuse(x *asker, v budget.Verdict) {
	text := fmt.Sprintf("not enough memory for %s: %s", x.unit, v.Reason)
	a.refusals[x.unit] = v
	a.opts.Log.Info("refused", "tier", x.tier, "unit", x.unit, "reason", text)
	a.events.add(api.Event{Kind: "tier", Tier: x.tier, Unit: x.unit, Text: text})
	x.answer <- api.AdmitAnswer{Class: api.ClassRefused, Message: text}
}

// giveWay stops the victims, in a change of its own: who it was for stays to be seen.
func (a *Agent) giveWay(x *asker, v budget.Verdict) {
	var jobs []job
	for _, unit := range v.Victims {
		jobs = append(jobs, job{op: opStop, tier: a.tierOf(unit), unit: unit})
		a.giving[unit] = x.tier
		a.gave[unit] = "gave way to " + x.tier
	}
	x.giving = a.begin("evict", "make room for "+x.tier, "evict "+x.unit, nil, jobs, nil)
	a.opts.Log.Info("others give way", "tier", x.tier, "unit", x.unit, "victims", v.Victims, "reason", v.Reason)
	a.events.add(api.Event{Kind: "tier", Tier: x.tier, Unit: x.unit, Change: x.giving, Text: v.Reason + " to " + x.tier})
}

// gaveUp notes the end of a change in which tiers gave way.
func (a *Agent) gaveUp(c *change) {
	for _, t := range c.tasks {
		delete(a.giving, t.unit)
	}
	for _, x := range a.line {
		if x.giving != c.ID {
			continue
		}
		x.giving, x.gaveWay = "", time.Now()
		if c.Err != nil {
			a.refuse(x, budget.Verdict{Answer: budget.No, Reason: "cannot make room: " + c.Err.Message})
			defer a.leave(x)
		}
	}
	a.judge()
}

func (x *asker) say(words string) {
	if words != x.words {
		x.words = words
		close(x.news)
		x.news = make(chan struct{})
	}
}

// waits is why a unit in the line waits, "" when it is in none.
func (a *Agent) waits(unit string) string {
	for _, x := range a.line {
		if x.unit == unit {
			return x.words
		}
	}
	return ""
}
