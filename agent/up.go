package agent

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/budget"
	"github.com/tierd/tierd/units"
)

// Stack begins a change of the running set and returns its id, or that of a running change that does the same.
func (a *Agent) Stack(ctx context.Context, req api.StackRequest) (string, error) {
	if req.Action == "up" {
		if err := a.lookAgainFor(ctx, ""); err != nil {
			return "", err
		}
	}
	r, err := a.look(ctx)
	if err != nil {
		return "", err
	}
	return inLoop(ctx, a, func() (string, error) {
		if err := a.unavailable(); err != nil {
			return "", err
		}
		if req.Action == "down" {
			a.endWishes("")
			a.rouse(slices.Collect(maps.Keys(a.guard.rests))...)
			if id := a.joined("down"); id != "" {
				return id, nil
			}
			jobs := planDown(a.running())
			return a.begin("down", "down", "down", nil, jobs, a.supersede("")), nil
		}
		if req.Action != "up" {
			return "", &api.Error{Kind: api.KindBadRequest, Message: fmt.Sprintf("no action is called %q", req.Action), Hint: "up, down"}
		}
		return a.up(req, a.host(r))
	})
}

func (a *Agent) up(req api.StackRequest, host budget.Host) (string, error) {
	want, mode, err := a.members(req)
	if err != nil {
		return "", err
	}
	key := fmt.Sprintf("up %s %v", mode, req.Boot)
	if id := a.joined(key); id != "" {
		return id, nil
	}
	if err := a.inTheWay("", nil); err != nil {
		return "", err
	}
	running := a.running()
	var left, beside map[string]string
	var before []*task
	if req.Boot { // a boot adds to what runs, and starts what it can: admission refuses the rest one by one
		busy := map[string]bool{}
		for _, r := range running {
			busy[r.tier] = true
		}
		want = slices.DeleteFunc(want, func(u units.Unit) bool { return busy[u.Tier] || a.rests(u.Tier) })
		running = nil
	} else {
		var refused *api.Error
		if left, refused = leaveOut(mode, want, host); refused != nil {
			return "", refused
		}
		before = a.supersedeOthers(want, left)
		beside = a.besides(want, left, running, host)
	}
	for _, u := range want {
		a.forgive(u.Tier)
	}
	if !req.Boot { // what is no part of the mode is not to come back by itself
		a.rouse(slices.Collect(maps.Keys(a.guard.rests))...)
	}
	id := a.begin("up", strings.TrimSpace("up "+mode), key, nil, planUp(want, left, running, beside), before)
	if req.Boot {
		if c, err := a.find(id); err == nil {
			c.why = api.WhyBoot
		}
	}
	return id, nil
}

// members are the units of a mode, or for a boot those of every tier that starts with the machine.
func (a *Agent) members(req api.StackRequest) ([]units.Unit, string, error) {
	if a.plan == nil {
		return nil, "", a.checkVariant("", "")
	}
	if req.Boot && req.Mode == "" {
		var want []units.Unit
		for _, u := range a.plan.Units {
			if u.Default && u.Start == units.StartBoot {
				want = append(want, u)
			}
		}
		return want, "", nil
	}
	want, err := a.plan.Mode(req.Mode)
	if err != nil {
		return nil, "", &api.Error{Kind: api.KindNotFound, Message: err.Error()}
	}
	mode := req.Mode
	if mode == "" {
		mode = a.plan.Config.Host.DefaultMode
	}
	if req.Boot {
		want = slices.DeleteFunc(want, func(u units.Unit) bool { return u.Start != units.StartBoot })
	}
	return want, mode, nil
}
