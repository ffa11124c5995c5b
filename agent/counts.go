package agent

import (
	"cmp"
	"context"
	"maps"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/budget"
)

// counts is how often tiers came up and went, and why, since tierd began. It belongs to the loop.
type counts struct {
	starts, stops map[string]map[string]uint64 // by tier and reason
	lives         map[string]life              // by unit, as last read
	orders        map[string]order             // by unit that a task works on
}

// order is what a task does to a unit, and for whom.
type order struct {
	op  op
	why string
	by  *task // nil: the guard, which needs none
}

func newCounts() counts {
	return counts{
		starts: map[string]map[string]uint64{}, stops: map[string]map[string]uint64{}, lives: map[string]life{}, orders: map[string]order{},
	}
}

// whyOf is for whom a change does what it does: what it says itself, else by its kind.
func whyOf(c *change) string {
	if c.why != "" {
		return c.why
	}
	switch c.Kind {
	case "evict":
		return api.WhyEvicted
	case "ensure":
		return api.WhyDemand
	case "idle":
		return api.WhyIdle
	case "pressure":
		return api.WhyPressure
	case "return":
		return api.WhyReturn
	}
	return api.WhyOperator
}

// noteOrder follows a task, so that a unit's turn that it brings about is put down to it. The task of a way back that is not
// taken says nothing of what another one does to its unit.
func (a *Agent) noteOrder(c *change, t *task, state string) {
	if state == "doing" {
		a.counts.orders[t.unit] = order{t.op, whyOf(c), t}
		for _, unit := range t.replaces {
			a.counts.orders[unit] = order{opStop, whyOf(c), t}
		}
		return
	}
	maps.DeleteFunc(a.counts.orders, func(_ string, o order) bool { return o.by == t })
}

// count compares a unit with what it was at the last reading. What ran before tierd did is not counted.
func (a *Agent) count(unit, tier string, s UnitStatus) {
	was, known := a.counts.lives[unit]
	is := lifeOf(s)
	a.counts.lives[unit] = is
	if !known || tier == "" {
		return
	}
	t := is.since(was)
	o := a.counts.orders[unit]
	if t.stopped {
		a.counts.stop(tier, 1, cmp.Or(o.why, api.WhySystemctl))
	}
	if t.started {
		why := api.WhySystemctl
		if o.op == opStart {
			why = o.why
		}
		a.counts.start(tier, 1, why)
	}
	a.counts.start(tier, t.restarts, api.WhyRestart)
	a.counts.stop(tier, t.missed, api.WhyFailed+"unknown")
	if t.ended {
		a.counts.stop(tier, 1, whyEnded(s, o))
		if o.by == nil { // of the guard's
			delete(a.counts.orders, unit)
		}
	}
}

// whyEnded is why a process has ended whose end was seen. One that was told to stop has stopped for that, whatever its
// status.
func whyEnded(s UnitStatus, o order) string {
	switch {
	case o.op == opStop:
		return o.why
	case s.ActiveState == "failed" || running(s):
		return api.WhyFailed + class(s)
	case o.op == opStart:
		return api.WhyAborted
	}
	return api.WhySystemctl
}

func (c counts) start(tier string, n int, why string) { add(c.starts, tier, n, why) }
func (c counts) stop(tier string, n int, why string)  { add(c.stops, tier, n, why) }

func add(to map[string]map[string]uint64, tier string, n int, why string) {
	if n == 0 {
		return
	}
	if to[tier] == nil {
		to[tier] = map[string]uint64{}
	}
	to[tier][why] += uint64(n)
}

// forgetLives drops what is known of units that are no longer there.
func (c counts) forgetLives(known map[string]bool) {
	maps.DeleteFunc(c.lives, func(unit string, _ life) bool { return !known[unit] })
}

// The reasons that any tier may meet are told from the beginning: of a count that appears with its first event, Prometheus
// would not see the event.
var (
	usualStarts = []string{api.WhyBoot, api.WhyOperator, api.WhyDemand, api.WhyRestart, api.WhyReturn, api.WhySystemctl}
	usualStops  = []string{api.WhyOperator, api.WhySystemctl, api.WhyEvicted, api.WhyIdle, api.WhyPressure, api.WhyAborted}
)

func withUsual(counted map[string]uint64, usual []string) map[string]uint64 {
	all := make(map[string]uint64, len(counted)+len(usual))
	for _, why := range usual {
		all[why] = 0
	}
	maps.Copy(all, counted)
	return all
}

// Metrics tells what was counted, and who holds what now.
func (a *Agent) Metrics(ctx context.Context) (api.Metrics, error) {
	r, err := a.look(ctx)
	if err != nil {
		return api.Metrics{}, err
	}
	guard, _ := a.askGuard(ctx, "state", scrapeAnswer)
	return inLoop(ctx, a, func() (api.Metrics, error) {
		if a.observations == 0 {
			return api.Metrics{}, a.unavailable()
		}
		h := a.host(r)
		m := api.Metrics{
			Version: a.opts.Version, Started: a.started, ConfigValid: a.configErr == "", Tiers: []api.TierMetrics{},
			Budget: a.explain(budget.Add(h, a.claims(r, h.Pool()))), Guard: a.guardMetrics(guard),
		}
		for _, tier := range a.tierNames() {
			unit := a.shownUnit(tier)
			t := api.TierMetrics{
				Tier: tier, Memory: uint64(a.memoryOf(a.unit(unit), a.seen[unit])),
				Starts: withUsual(a.counts.starts[tier], usualStarts), Stops: withUsual(a.counts.stops[tier], usualStops),
			}
			if held, known := r.held[unit]; known {
				now := uint64(held)
				t.MemoryCurrent = &now
			}
			m.Tiers = append(m.Tiers, t)
		}
		return m, nil
	})
}
