package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/budget"
	"github.com/tierd/tierd/units"
)

// switchTo begins to serve a tier by another variant. Where both fit, the new one comes up beside the one that serves, which
// then finishes its requests and ends: no request waits. Else the one ends first, and the gateway holds what comes meanwhile.
func (a *Agent) switchTo(ctx context.Context, tier string, req api.TierRequest) (string, error) {
	r, err := a.look(ctx)
	if err != nil {
		return "", err
	}
	return inLoop(ctx, a, func() (string, error) {
		if err := a.unavailable(); err != nil {
			return "", err
		}
		if err := a.checkVariant(tier, req.Variant); err != nil {
			return "", err
		}
		if req.Variant == "" {
			return "", &api.Error{Kind: api.KindBadRequest, Message: "a switch names the variant to switch to"}
		}
		if err := onlyFor(req); err != nil {
			return "", err
		}
		a.forgive(tier)
		key := switchKey(tier, req)
		if id := a.joined(key); id != "" {
			return id, nil
		}
		if id := a.startsAlready(tier, req); id != "" {
			return id, nil
		}
		want, _ := a.plan.Variant(tier, req.Variant)
		if err := a.blocked(want); err != nil {
			return "", err
		}
		if err := a.inTheWay(tier, nil); err != nil {
			return "", err
		}
		jobs, err := a.wayTo(want, r, req.Drain)
		if err != nil {
			return "", err
		}
		a.rouse(tier)
		return a.begin("switch", summaryOf(tier, req), key, []string{tier}, jobs, a.takeOver(tier)), nil
	})
}

func switchKey(tier string, req api.TierRequest) string {
	return fmt.Sprintf("switch %s %s %t", tier, req.Variant, req.Drain)
}

// wayTo plans a switch: side by side where that fits, and not at all when it would only end what serves now.
func (a *Agent) wayTo(want units.Unit, r room, drain bool) ([]job, error) {
	running := a.runningOf(want.Tier)
	serves := slices.ContainsFunc(running, func(r runningUnit) bool { return r.state == api.Ready })
	if len(running) == 1 && running[0].unit == want.Name && serves {
		return nil, nil // done at once
	}
	if !serves || slices.ContainsFunc(running, func(r runningUnit) bool { return r.unit == want.Name && r.state == api.Ready }) {
		return planSwitch(want, running, false), nil
	}
	if !drain && a.fitsBeside(want, r) {
		return planSwitch(want, running, true), nil
	}
	h := a.host(r)
	c := a.claimOf(want, h)
	v := budget.Judge(h, budget.Ask{Unit: c.Unit, Tier: c.Tier, Need: c.Need, Evict: a.mayEvict(want.Name)}, a.claims(r, h.Pool()))
	if v.Answer == budget.No || v.Answer == budget.IfWay && !a.mayEvict(want.Name) {
		e := &api.Error{Kind: api.KindBudget, Class: api.ClassRefused, Budget: a.explain(v.Sums), Hint: "`tierctl budget` shows who holds what",
			Message: fmt.Sprintf("not enough memory for %s in place of what serves now: %s", want.Name, v.Reason)}
		e.Budget.GiveWay = budget.Tiers(v.Victims, v.Sums.Claims)
		return nil, e
	}
	return planSwitch(want, running, false), nil
}

// fitsBeside tells whether a unit fits with all that is up, the variant that serves included, without anybody giving way.
func (a *Agent) fitsBeside(want units.Unit, r room) bool {
	h := a.host(r)
	c := a.claimOf(want, h)
	v := budget.Judge(h, budget.Ask{Unit: c.Unit, Tier: c.Tier, Need: c.Need, Beside: true}, a.claims(r, h.Pool()))
	return v.Answer == budget.Yes || v.Answer == budget.Wait
}

func (a *Agent) claimOf(u units.Unit, h budget.Host) budget.Claim {
	return budget.Claim{Unit: u.Name, Tier: u.Tier, Need: budget.Of(a.chargeOf(u.Name), h.Pool()), Phase: budget.Loading}
}

// planSwitch makes the wanted variant the one that is up. Side by side the one that serves ends only when the new one is
// ready; should admission find no room for that after all, the other way stands in. The other way is one job of systemd's,
// which ends what runs before it starts the new one, and is carried out also when tierd does not live to see it.
//
// When the wanted one does not come up, what was ready before is started again, unless it is up still.
func planSwitch(want units.Unit, running []runningUnit, beside bool) []job {
	var jobs []job
	var needs []int
	var others []string
	before := ""
	for _, r := range running {
		switch {
		case r.tier != want.Tier:
		case r.unit != want.Name:
			others = append(others, r.unit)
			if r.state == api.Ready {
				before = r.unit
			}
		case r.state == api.Stopping || r.state == api.Draining:
			needs = append(needs, len(jobs))
			jobs = append(jobs, job{op: opStop, tier: r.tier, unit: r.unit})
		}
	}
	start := job{op: opStart, tier: want.Tier, unit: want.Name, needs: needs}
	first := len(jobs)
	if !beside || before == "" || len(others) > 1 {
		start.replaces, start.back = others, before
		return append(append(jobs, start), wayBack(want.Tier, before, first)...)
	}
	start.beside, start.spare = before, true
	stop := job{op: opStop, tier: want.Tier, unit: before, needs: []int{first}, firm: true}
	return append(append(jobs, start, stop), otherwise(start, first, first+2)...)
}

// otherwise is what follows when a start beside what serves, the job at a place, fails or finds no room; next is the place of
// the first of them.
func otherwise(start job, at, next int) []job {
	instead := job{op: opStart, tier: start.tier, unit: start.unit, needs: start.needs, replaces: []string{start.beside}, back: start.beside, instead: &at}
	return append(wayBack(start.tier, start.beside, at, next+1), instead)
}

// wayBack starts what was ready before, should one of those starts fail.
func wayBack(tier, before string, starts ...int) []job {
	if before == "" {
		return nil
	}
	return []job{{op: opStart, tier: tier, unit: before, rescue: starts}}
}

// besides are the units of a mode that can come up while another variant of their tier serves, with that one's unit. They fit
// once what is outside the mode has ended.
func (a *Agent) besides(want []units.Unit, left map[string]string, running []runningUnit, h budget.Host) map[string]string {
	h.Free = nil // some of what runs will have stopped by then; admission looks at what is free
	var held []budget.Claim
	for _, u := range want {
		if left[u.Name] == "" {
			held = append(held, a.claimOf(u, h))
		}
	}
	list := map[string]string{}
	for _, u := range budget.ByPriority(want) {
		ours := slices.DeleteFunc(slices.Clone(running), func(r runningUnit) bool { return r.tier != u.Tier })
		if left[u.Name] != "" || len(ours) != 1 || ours[0].unit == u.Name || ours[0].state != api.Ready || a.states[u.Name].State == api.Blocked {
			continue
		}
		old := a.unit(ours[0].unit)
		old.Name, old.Tier = ours[0].unit, u.Tier
		if more := append(slices.Clone(held), a.claimOf(old, h)); budget.Add(h, more).Fits() {
			held, list[u.Name] = more, old.Name
		}
	}
	return list
}

// leavingWords is what a task waits for that cannot go on before a unit has ended; "" for others.
func (a *Agent) leavingWords(t *task) string {
	for _, unit := range append(slices.Clone(t.replaces), t.unit) {
		state := a.states[unit].State
		if state != api.Draining && (unit == t.unit || state != api.Stopping) {
			continue
		}
		n := a.gateway.report.Leaving[unit]
		switch {
		case state == api.Stopping || n == 0:
			return unit + " is " + string(state)
		case n == 1:
			return "waits for a request on " + unit
		}
		return fmt.Sprintf("waits for %d requests on %s", n, unit)
	}
	return ""
}

// leavingOf are the units of a tier that serve what is in flight there, beside the one that its route names.
func (a *Agent) leavingOf(tier string) []api.Route {
	shown := a.shownUnit(tier)
	var list []api.Route
	for _, r := range a.runningOf(tier) {
		if r.unit == shown || r.state == api.Starting {
			continue
		}
		route := a.routeOf(tier, r.unit)
		if route.State == api.Ready { // the table is what makes it drain
			route.State = api.Draining
		}
		list = append(list, route)
	}
	return list
}

// coming is the unit that a change starts just now for a tier, "" when none does. Between the end of one variant and the
// start of the next nothing is up, and yet nobody has to ask for the tier.
func (a *Agent) coming(tier string) string {
	for _, c := range a.changes {
		for i, t := range c.Tasks {
			if !c.Done() && t.State == "doing" && t.Tier == tier && c.tasks[i].op == opStart {
				return t.Unit
			}
		}
	}
	return ""
}

// otherNames are those of a tier's variants beside known ones: a client that was set up for one of them keeps its model's
// name when the tier is served by another.
func (a *Agent) otherNames(tier string, known []string) []string {
	if a.plan == nil {
		return nil
	}
	var names []string
	for _, u := range a.plan.Units {
		if u.Tier != tier {
			continue
		}
		for _, n := range append([]string{tier + "/" + u.Variant, u.Model, u.Served}, u.AdapterNames()...) {
			if strings.Trim(n, "/") != "" && !slices.Contains(known, n) && !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
	}
	return names
}
