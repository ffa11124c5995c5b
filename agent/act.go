package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

// Act begins a change of one tier and returns its id, or the id of the running change that does the same already.
func (a *Agent) Act(ctx context.Context, tier string, req api.TierRequest) (string, error) {
	if req.Action != "stop" {
		if err := a.lookAgainFor(ctx, tier); err != nil {
			return "", err
		}
	}
	if req.Action == "switch" {
		return a.switchTo(ctx, tier, req)
	}
	return inLoop(ctx, a, func() (string, error) {
		if err := a.unavailable(); err != nil {
			return "", err
		}
		return a.act(tier, req)
	})
}

func (a *Agent) act(tier string, req api.TierRequest) (string, error) {
	running := a.runningOf(tier)
	if len(running) == 0 || req.Action != "stop" { // a tier that is no longer in tiers.toml can still be stopped
		if err := a.checkVariant(tier, req.Variant); err != nil {
			return "", err
		}
	}
	if err := onlyFor(req); err != nil {
		return "", err
	}
	a.forgive(tier)
	if req.Action == "stop" { // also a second one, for requests that came since
		a.endWishes(tier)
	}
	key := strings.Join([]string{req.Action, tier, req.Variant}, " ")
	if req.Evict {
		key += " evict"
	}
	if id := a.joined(key); id != "" {
		return id, nil
	}
	if id := a.startsAlready(tier, req); id != "" {
		return id, nil
	}
	summary := summaryOf(tier, req)
	if req.Action == "stop" {
		a.rouse(tier)
		return a.begin("stop", summary, key, []string{tier}, a.planStop(tier, running), a.supersede(tier)), nil
	}
	idle := a.idleStop(tier)
	if idle != nil {
		running = nil // by the time that it is this order's turn
	}
	jobs, err := a.planAct(tier, req, running)
	if err != nil {
		return "", err
	}
	if err := a.inTheWay(tier, idle); err != nil {
		return "", err
	}
	a.rouse(tier)
	before := a.takeOver(tier)
	if idle != nil {
		before = append(before, idle.tasks...)
	}
	return a.begin(req.Action, summary, key, []string{tier}, jobs, before), nil
}

// onlyFor refuses what belongs to another action.
func onlyFor(req api.TierRequest) error {
	switch {
	case req.Evict && req.Action != "start":
		return &api.Error{Kind: api.KindBadRequest, Message: "only a start can have others give way", Hint: "leave `evict` out"}
	case req.Drain && req.Action != "switch":
		return &api.Error{Kind: api.KindBadRequest, Message: "only a switch can be told to drain first", Hint: "leave `drain` out"}
	}
	return nil
}

func summaryOf(tier string, req api.TierRequest) string {
	text := strings.TrimSpace(req.Action + " " + tier)
	if req.Variant != "" {
		text += " to " + req.Variant
	}
	return text
}

// planAct plans a start or a restart.
func (a *Agent) planAct(tier string, req api.TierRequest, running []runningUnit) ([]job, error) {
	want, _ := a.plan.Variant(tier, req.Variant)
	if req.Variant == "" { // the one that is up, else the one that was
		want = a.preferred(tier)
		if len(running) > 0 {
			if u, ok := a.plan.Unit(running[0].unit); ok {
				want = u
			}
		}
	}
	others := slices.ContainsFunc(running, func(r runningUnit) bool { return r.unit != want.Name })
	switch req.Action {
	case "start":
		if others {
			return nil, &api.Error{Kind: api.KindConflict, Message: fmt.Sprintf("%s is up as %s", tier, running[0].unit),
				Hint: fmt.Sprintf("tierctl switch %s %s", tier, want.Variant)}
		}
	case "restart":
		if want.Blocked != "" { // what runs is not stopped for something that cannot start
			return nil, &api.Error{Kind: api.KindConfig, Class: want.BlockClass, Message: fmt.Sprintf("cannot restart %s: %s", want.Name, want.Blocked)}
		}
		if len(running) > 0 && !others {
			return []job{{op: opStop, tier: tier, unit: want.Name}, {op: opStart, tier: tier, unit: want.Name, needs: []int{0}}}, nil
		}
	default:
		return nil, &api.Error{Kind: api.KindBadRequest, Message: fmt.Sprintf("no action is called %q", req.Action),
			Hint: "start, stop, restart, switch"}
	}
	if err := a.blocked(want); err != nil {
		return nil, err
	}
	if slices.ContainsFunc(running, func(r runningUnit) bool { return r.unit == want.Name && r.state == api.Ready }) {
		return nil, nil // done at once
	}
	jobs := planSwitch(want, running, false)
	for i := range jobs {
		jobs[i].evict = req.Evict && jobs[i].op == opStart
	}
	return jobs, nil
}

// planStop stops what runs of a tier; without anything running it clears failures away.
func (a *Agent) planStop(tier string, running []runningUnit) []job {
	jobs := planDown(running)
	for name, s := range a.seen {
		if s.Tier == tier && a.states[name].State == api.Failed {
			jobs = append(jobs, job{op: opStop, tier: tier, unit: name})
		}
	}
	return jobs
}

// blocked refuses at once what is known not to start.
func (a *Agent) blocked(u units.Unit) error {
	v := a.states[u.Name]
	if v.State != api.Blocked || a.problems[u.Name] != "" {
		return nil // what could not be defined is tried again
	}
	return &api.Error{Kind: api.KindConfig, Class: v.Class, Message: fmt.Sprintf("cannot start %s: %s", u.Name, v.Reason)}
}

// checkVariant says which tier or variant does not exist.
func (a *Agent) checkVariant(tier, variant string) error {
	if a.plan == nil {
		return &api.Error{Kind: api.KindConfig, Message: "tiers.toml cannot be used: " + a.configErr,
			Hint: "tierctl check " + a.opts.ConfigPath}
	}
	if _, ok := a.plan.Variant(tier, variant); ok {
		return nil
	}
	if t, ok := a.plan.Config.Tier(tier); ok {
		var names []string
		for _, v := range t.Variants {
			names = append(names, v.Name)
		}
		return &api.Error{Kind: api.KindNotFound, Message: fmt.Sprintf("tier %q has no variant %q", tier, variant),
			Hint: "it has " + strings.Join(names, ", ")}
	}
	if len(a.runningOf(tier)) > 0 {
		return &api.Error{Kind: api.KindConflict, Message: fmt.Sprintf("tier %q is no longer in tiers.toml: it runs until it is stopped", tier),
			Hint: fmt.Sprintf("tierctl stop %s, or write it into %s again and: tierctl reload", tier, a.opts.ConfigPath)}
	}
	var names []string
	for _, t := range a.plan.Config.Tiers {
		names = append(names, t.Name)
	}
	return &api.Error{Kind: api.KindNotFound, Message: fmt.Sprintf("no tier is called %q", tier), Hint: "there are " + strings.Join(names, ", ")}
}

// joined is the running change that was asked with the same words, "" if there is none.
func (a *Agent) joined(key string) string {
	for _, c := range a.changes {
		if !c.Done() && c.key == key && c.cause == nil {
			return c.ID
		}
	}
	return ""
}

// conflict is the error for a change of a tier ("" is any) that another one works on.
func (a *Agent) conflict(tier string) error {
	for _, c := range a.changes {
		if !c.Done() && (tier == "" || slices.Contains(c.Tiers, tier)) {
			return workedOn(c)
		}
	}
	return nil
}

func workedOn(c *change) error {
	return &api.Error{Kind: api.KindConflict, Message: fmt.Sprintf("change %s (%s) is at work", c.ID, c.Summary),
		Hint: fmt.Sprintf("tierctl changes %[1]s --wait, or tierctl abort %[1]s", c.ID)}
}

// supersede ends every running task of a tier ("" is all of them), and what requests wait for: a stop wins over whatever was
// asked before. It returns the tasks to wait for.
func (a *Agent) supersede(tier string) []*task {
	a.endWishes(tier)
	var list []*task
	for _, c := range a.changes {
		if c.Done() {
			continue
		}
		for _, t := range c.tasks {
			if tier == "" || t.tier == tier {
				t.cancel(errSuperseded)
				list = append(list, t)
			}
		}
	}
	return list
}

// running lists the units with processes, sorted by name.
func (a *Agent) running() []runningUnit {
	var list []runningUnit
	for name, s := range a.seen {
		if s.Tier != "" && running(s) {
			list = append(list, runningUnit{s.Tier, name, a.states[name].State})
		}
	}
	slices.SortFunc(list, func(x, y runningUnit) int { return strings.Compare(x.unit, y.unit) })
	return list
}

func (a *Agent) runningOf(tier string) []runningUnit {
	return slices.DeleteFunc(a.running(), func(r runningUnit) bool { return r.tier != tier })
}
