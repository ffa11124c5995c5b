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

// startsAlready is the id of the change that requests began for the start that an operator asks for, "" if there is none. It
// is kept from then on, whatever becomes of the requests.
func (a *Agent) startsAlready(tier string, req api.TierRequest) string {
	for _, c := range a.changes {
		if c.Done() || c.Kind != "ensure" || c.cause != nil || req.Action != "start" || c.tasks[0].tier != tier {
			continue
		}
		if u, _ := a.plan.Variant(tier, req.Variant); req.Variant == "" || u.Name == c.tasks[0].unit {
			c.kept = true
			return c.ID
		}
	}
	return ""
}

// inTheWay is the error for an order about a tier ("" is any) that another change works on. A start for requests that is
// being taken back stands in nobody's way, nor does any in that of a mode: on a unit tasks take turns.
func (a *Agent) inTheWay(tier string) error {
	for _, c := range a.changes {
		if c.Kind == "ensure" && (c.cause != nil || tier == "") || tier != "" && !slices.Contains(c.Tiers, tier) {
			continue
		}
		if !c.Done() {
			return workedOn(c)
		}
	}
	return nil
}

// supersedeOthers ends the starts for requests of what is not to run with a mode, and returns the tasks to wait for.
func (a *Agent) supersedeOthers(want []units.Unit) []*task {
	var list []*task
	for _, c := range a.changes {
		if c.Done() || c.Kind != "ensure" || slices.ContainsFunc(want, func(u units.Unit) bool { return u.Name == c.tasks[0].unit }) {
			continue
		}
		list = append(list, a.supersede(c.tasks[0].tier)...)
	}
	return list
}
