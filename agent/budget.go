package agent

import (
	"context"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/budget"
	"github.com/tierd/tierd/units"
)

// Budget tells who holds what, or would if a mode were up. Nothing is changed.
func (a *Agent) Budget(ctx context.Context, mode string) (api.Budget, error) {
	r, err := a.look(ctx)
	if err != nil {
		return api.Budget{}, err
	}
	return inLoop(ctx, a, func() (api.Budget, error) {
		h := a.host(r)
		if mode == "" {
			b := a.explain(budget.Add(h, a.claims(r, h.Pool())))
			b.Waiting = a.waiters()
			return *b, nil
		}
		want, name, err := a.members(api.StackRequest{Mode: mode})
		if err != nil {
			return api.Budget{}, err
		}
		return a.whatIf(name, want, h), nil
	})
}

// waiters are those in the line that have been judged.
func (a *Agent) waiters() []api.Waiter {
	var list []api.Waiter
	for _, x := range a.line {
		if x.words != "" {
			list = append(list, api.Waiter{Tier: x.tier, Unit: x.unit, Words: x.words})
		}
	}
	return list
}

// whatIf sums a mode up, without those that would stay on demand.
func (a *Agent) whatIf(mode string, want []units.Unit, h budget.Host) api.Budget {
	return *ofMode(want, h).Report(mode, h.Free, a.described)
}

// described is a unit with the charge that counts for it now.
func (a *Agent) described(name string) units.Unit {
	u := a.unit(name)
	u.Charge = a.chargeOf(name)
	return u
}

// explain is a sum with what the loop knows of the units.
func (a *Agent) explain(s budget.Sums) *api.Budget { return s.Report(a.described) }

// refusal is why a unit was not let in the last time, nil when it was.
func (a *Agent) refusal(unit string) *api.Budget {
	v, refused := a.refusals[unit]
	if !refused {
		return nil
	}
	b := a.explain(v.Sums)
	b.GiveWay = budget.Tiers(v.Victims, v.Sums.Claims)
	return b
}
