package agent

import (
	"slices"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

// abort ends a change early: what has not begun is skipped, what is loading is stopped.
func (c *change) abort() {
	if !c.Done() && c.cause == nil {
		c.cause = errAborted
		c.cancel(errAborted)
	}
}

// byItself tells whether nobody ordered a start: requests wait for the tier, or it comes back after memory pressure.
func (c *change) byItself() bool { return c.Kind == "ensure" || c.Kind == "return" }

// startsAlready is the id of the change that has begun by itself for what an operator asks for, a start or a switch to that
// variant, "" if there is none. It is kept from then on, whatever becomes of the requests.
func (a *Agent) startsAlready(tier string, req api.TierRequest) string {
	if req.Action != "start" && req.Action != "switch" {
		return ""
	}
	for _, c := range a.changes {
		if c.Done() || !c.byItself() || c.cause != nil || c.tasks[0].tier != tier {
			continue
		}
		if u, _ := a.plan.Variant(tier, req.Variant); req.Variant == "" || u.Name == c.tasks[0].unit {
			c.kept = true
			return c.ID
		}
	}
	return ""
}

// inTheWay is the error for an order about a tier ("" is any) that another change works on. A start that began by itself stands
// in nobody's way: the order takes it over. Nor does any in that of a mode: on a unit tasks take turns. The one that the order
// waits for, unless nil, is passed over.
func (a *Agent) inTheWay(tier string, awaited *change) error {
	for _, c := range a.changes {
		if c == awaited {
			continue
		}
		if c.byItself() && (c.cause != nil || tier == "" || !c.kept) || tier != "" && !slices.Contains(c.Tiers, tier) {
			continue
		}
		if !c.Done() {
			return workedOn(c)
		}
	}
	return nil
}

// idleStop is the change that stops a tier that nobody used, or that gave way to memory pressure, nil if there is none. It has
// begun by itself, so that an order to start waits for it rather than be refused.
func (a *Agent) idleStop(tier string) *change {
	for _, c := range a.changes {
		if !c.Done() && (c.Kind == "idle" || c.Kind == "pressure") && slices.Contains(c.Tiers, tier) {
			return c
		}
	}
	return nil
}

// takeOver ends the start of a tier that began by itself, since an order brings it up another way, and returns the tasks to
// wait for. The requests wait on, for what the order starts. A unit that is up already stays: its start is about to end.
func (a *Agent) takeOver(tier string) []*task {
	var list []*task
	for _, c := range a.changes {
		if c.Done() || !c.byItself() || c.tasks[0].tier != tier {
			continue
		}
		if w := a.wishes[tier]; w != nil && w.change == c {
			w.change = nil
		}
		for _, t := range c.tasks {
			if a.states[t.unit].State != api.Ready {
				t.cancel(errSuperseded)
			}
			list = append(list, t)
		}
	}
	return list
}

// supersedeOthers ends the starts that began by themselves of what is not to run with a mode, and returns the tasks to wait for. Requests
// for a tier that the mode brings up as another variant wait for that one.
func (a *Agent) supersedeOthers(want []units.Unit, left map[string]string) []*task {
	var list []*task
	for _, c := range a.changes {
		if c.Done() || !c.byItself() || slices.ContainsFunc(want, func(u units.Unit) bool { return u.Name == c.tasks[0].unit }) {
			continue
		}
		tier := c.tasks[0].tier
		if slices.ContainsFunc(want, func(u units.Unit) bool { return u.Tier == tier && left[u.Name] == "" }) {
			list = append(list, a.takeOver(tier)...)
		} else {
			list = append(list, a.supersede(tier)...)
		}
	}
	return list
}
