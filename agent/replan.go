package agent

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

// draft is a plan to be made anew from the configuration in force.
type draft struct {
	reading
	measured map[string]units.Bytes
}

// draft is called in the loop. Its plan is nil when there is none in force.
func (a *Agent) draft() draft {
	return draft{reading{plan: a.plan, hash: a.configHash, parsed: a.parsed}, a.forPlan()}
}

// lookAgainFor makes the plan anew when a unit of the tier ("" is any) lacked something on this host when it was made, or when
// its model's files are others by now: a model that was fetched since is found without a reload. What is written in tiers.toml
// by now is not read.
func (a *Agent) lookAgainFor(ctx context.Context, tier string) error {
	plan, err := a.planInForce(ctx)
	if err != nil || plan == nil {
		return err
	}
	if !slices.ContainsFunc(plan.Units, func(u units.Unit) bool {
		return (tier == "" || u.Tier == tier) && (u.Blocked != "" || a.changedModel(u) != "")
	}) {
		return nil
	}
	return a.redraw(ctx)
}

// planInForce is nil when there is none.
func (a *Agent) planInForce(ctx context.Context) (*units.Plan, error) {
	return inLoop(ctx, a, func() (*units.Plan, error) { return a.plan, nil })
}

// changedModel says in what way the files of a unit's model are others than when the plan was made, "" when they are not.
func (a *Agent) changedModel(u units.Unit) string {
	if a.opts.FS == nil {
		return ""
	}
	how, changed := units.ModelChanged(a.opts.FS, u)
	if !changed {
		return ""
	}
	return how
}

// redraw makes the plan anew beside the loop, and puts it in force unless another one has come meanwhile.
func (a *Agent) redraw(ctx context.Context) error {
	d, err := inLoop(ctx, a, func() (draft, error) { return a.draft(), nil })
	if err != nil || d.plan == nil {
		return err
	}
	host, err := a.opts.Host(ctx)
	if err != nil {
		return &api.Error{Kind: api.KindInternal, Message: "cannot read what this host has: " + err.Error()}
	}
	host.Measured = d.measured
	found := d.reading
	found.makePlan(d.plan.Config, host)
	_, err = inLoop(ctx, a, func() (bool, error) {
		if a.plan == d.plan && differ(d.plan, found.plan) {
			broken := a.configErr // of a file that was not taken
			a.swap(found)
			a.configErr = broken
		}
		return true, nil
	})
	return err
}

// differ tells whether a unit is another one or takes another amount.
func differ(old, plan *units.Plan) bool {
	return !slices.EqualFunc(old.Units, plan.Units, func(x, y units.Unit) bool {
		return x.Hash == y.Hash && x.Charge == y.Charge && x.Blocked == y.Blocked
	})
}

// correct makes the plan anew when a run has taken more than the charge of its unit.
func (a *Agent) correct() {
	if a.correcting || a.reloading || time.Now().Before(a.correctAfter) || !a.corrected() {
		return
	}
	a.correcting = true
	a.spawn(func(ctx context.Context) {
		err := a.redraw(ctx)
		a.post(func() {
			a.correcting, a.correctAfter = false, time.Now().Add(resync)
			if err != nil && ctx.Err() == nil {
				a.opts.Log.Warn("cannot correct what tiers take", "err", err)
			}
		})
	})
}

// staleModel is asked for by a shim: the sentence that refuses it when its model's files are others than those that its unit
// was made for, "" when it may go on. The unit is made anew, so that the next start is of the new files.
func (a *Agent) staleModel(ctx context.Context, unit string) string {
	plan, err := a.planInForce(ctx)
	if err != nil || plan == nil {
		return ""
	}
	u, planned := plan.Unit(unit)
	if !planned || len(u.ModelFiles) == 0 {
		return ""
	}
	how := a.changedModel(u)
	if how == "" {
		return ""
	}
	if err := a.redraw(ctx); err != nil {
		return ""
	}
	now, err := inLoop(ctx, a, func() (units.Unit, error) { return a.unit(unit), nil })
	if err != nil || now.Hash == u.Hash && now.Charge == u.Charge {
		return "" // as large as before: it may go on
	}
	return fmt.Sprintf("the model of %s has changed: %s; the unit is made anew for it, start it again", u.Tier, how)
}

// lookAtModels finds running tiers whose model's files are others by now.
func (a *Agent) lookAtModels() {
	if a.plan == nil {
		return
	}
	var list []units.Unit
	for _, u := range a.plan.Units {
		if running(a.seen[u.Name]) && len(u.ModelFiles) > 0 {
			list = append(list, u)
		}
	}
	if len(list) == 0 {
		clear(a.stale)
		return
	}
	a.spawn(func(context.Context) {
		found := map[string]string{}
		for _, u := range list {
			if how := a.changedModel(u); how != "" {
				found[u.Name] = fmt.Sprintf("the model's files have changed since: %s; `tierctl restart %s` loads them", how, u.Tier)
			}
		}
		a.post(func() { a.stale = found })
	})
}
