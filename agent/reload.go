package agent

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

// reading is one reading of tiers.toml with all that follows from it.
type reading struct {
	plan     *units.Plan // nil when the file cannot be used
	hash     string
	parsed   []units.Fault // warnings that the text alone gives
	warnings []string
	err      *api.Error
}

// readPlan reads the file and the host and makes a plan. It changes nothing.
func readPlan(ctx context.Context, path string, host func(context.Context) (units.Host, error), measured map[string]units.Bytes) reading {
	src, err := os.ReadFile(path)
	if err != nil {
		return reading{err: &api.Error{Kind: api.KindConfig, Message: "cannot read the configuration: " + err.Error()}}
	}
	r := reading{hash: hashConfig(src)}
	h, err := host(ctx)
	if err != nil {
		r.err = &api.Error{Kind: api.KindInternal, Message: "cannot read what this host has: " + err.Error()}
		return r
	}
	h.Measured = measured
	config, faults := units.ParseConfig(path, src)
	if config == nil {
		r.err = faultError(faults)
		return r
	}
	r.parsed = faults
	r.makePlan(config, h)
	return r
}

// makePlan looks on the host for what the configuration names.
func (r *reading) makePlan(c *units.Config, h units.Host) {
	plan, faults := units.MakePlan(c, h)
	r.plan, r.warnings = plan, nil
	for _, f := range slices.Concat(r.parsed, faults) {
		r.warnings = append(r.warnings, f.Error())
	}
}

// faultError is every fault of the file as one error, a line each.
func faultError(faults []units.Fault) *api.Error {
	lines := make([]string, len(faults))
	for i, f := range faults {
		lines[i] = f.Error()
	}
	return &api.Error{Kind: api.KindConfig, Message: strings.Join(lines, "\n"), Hint: "tierctl check shows the same without tierd"}
}

// readConfig reads tiers.toml beside the loop and swaps the plan when it can be used. done, if any, is told in the loop.
func (a *Agent) readConfig(done func(reading, api.ConfigResult)) {
	a.reloading = true
	a.planned = a.opts.Systemd.Version()
	measured := a.forPlan()
	a.spawn(func(ctx context.Context) {
		r := readPlan(ctx, a.opts.ConfigPath, a.opts.Host, measured)
		a.post(func() {
			a.reloading, a.file.read = false, r.hash
			result := a.swap(r)
			if done != nil {
				done(r, result)
			}
		})
	})
}

// swap puts a new plan in force, or keeps the old one and says why. It touches no unit: converge loads the definitions
// of those that do not run, and what runs is only marked.
func (a *Agent) swap(r reading) api.ConfigResult {
	first := !a.configured
	a.configured = true
	result := api.ConfigResult{Changed: []string{}, Removed: []string{}, Pending: []string{}}
	if r.err != nil {
		a.opts.Log.Error("tiers.toml cannot be used", "err", r.err)
		a.events.add(api.Event{Kind: "config", Text: "tiers.toml cannot be used: " + r.err.Message})
		a.configErr = r.err.Message
		return result
	}
	old := a.plan
	a.plan, a.configHash, a.configErr, a.warnings, a.parsed = r.plan, r.hash, "", r.warnings, r.parsed
	result.Warnings = r.warnings
	if old != nil {
		result.Changed, result.Removed = compare(old, r.plan)
		result.Gateway = r.plan.Config.Gateway.Differs(old.Config.Gateway)
		result.Settings = r.plan.Config.Settings(old.Config)
		a.forgive(result.Changed...)
	}
	for _, u := range r.plan.Units {
		if s := a.seen[u.Name]; a.pending(u, s) && !slices.Contains(result.Pending, u.Tier) {
			result.Pending = append(result.Pending, u.Tier)
		}
	}
	if first || len(result.Changed)+len(result.Removed)+len(result.Gateway)+len(result.Settings) > 0 {
		a.opts.Log.Info("configuration in force", "hash", r.hash, "changed", result.Changed, "removed", result.Removed, "pending", result.Pending,
			"gateway", result.Gateway, "settings", result.Settings)
		a.events.add(api.Event{Kind: "config", Text: "tiers.toml is in force"})
	}
	if a.observations > 0 {
		a.derive()
	}
	a.hint(true)
	return result
}

// compare lists the tiers with a unit that is new or different, and those that are gone.
func compare(old, plan *units.Plan) (changed, removed []string) {
	changed, removed = []string{}, []string{}
	for _, u := range plan.Units {
		if before, ok := old.Unit(u.Name); (!ok || before.Hash != u.Hash) && !slices.Contains(changed, u.Tier) {
			changed = append(changed, u.Tier)
		}
	}
	for _, u := range old.Units {
		if _, kept := plan.Unit(u.Name); kept {
			continue
		}
		if _, kept := plan.Variant(u.Tier, ""); kept {
			if !slices.Contains(changed, u.Tier) {
				changed = append(changed, u.Tier)
			}
		} else if !slices.Contains(removed, u.Tier) {
			removed = append(removed, u.Tier)
		}
	}
	return changed, removed
}

// Reload reads tiers.toml again. A file with faults changes nothing and is the error. Running tiers keep what they were
// started with; with restart the running ones that differ are restarted, in a change whose id is returned.
func (a *Agent) Reload(ctx context.Context, restart bool) (api.ConfigResult, string, error) {
	type answer struct {
		result api.ConfigResult
		change string
		err    error
	}
	answers := make(chan answer, 1)
	if _, err := inLoop(ctx, a, func() (bool, error) {
		if a.reloading {
			return false, &api.Error{Kind: api.KindConflict, Message: "tiers.toml is being read already"}
		}
		a.readConfig(func(r reading, result api.ConfigResult) {
			got := answer{result: result}
			if r.err != nil {
				got.err = r.err
			} else if restart && len(result.Pending) > 0 {
				got.change, got.err = a.restartPending(result.Pending)
			}
			answers <- got
		})
		return true, nil
	}); err != nil {
		return api.ConfigResult{}, "", err
	}
	var got answer
	select {
	case got = <-answers:
	case <-a.ended:
		return api.ConfigResult{}, "", errEnded
	}
	if got.err == nil {
		got.err = a.defined(ctx)
	}
	return got.result, got.change, got.err
}

// defined waits until the stopped units are those of the plan, so that `systemctl start` after a reload has the new ones.
func (a *Agent) defined(ctx context.Context) error {
	if err := a.settle(ctx); err != nil {
		return err
	}
	err := a.await(ctx, func() bool { a.converge(); return !a.stepping || a.systemdErr != nil })
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return nil // the plan is in force all the same
	}
	return err
}

// restartPending restarts the tiers that run from an older configuration: on the GPU one after the other.
func (a *Agent) restartPending(tiers []string) (string, error) {
	var jobs []job
	var before []*task
	for _, tier := range tiers {
		if err := a.inTheWay(tier, nil); err != nil {
			return "", err
		}
	}
	gpu := -1
	for _, tier := range tiers {
		before = append(before, a.takeOver(tier)...)
		for _, r := range a.runningOf(tier) {
			u := a.unit(r.unit)
			if !a.pending(u, a.seen[r.unit]) {
				continue
			}
			stop := job{op: opStop, tier: tier, unit: r.unit}
			if u.GPU && gpu >= 0 {
				stop.after = []int{gpu}
			}
			jobs = append(jobs, stop, job{op: opStart, tier: tier, unit: r.unit, needs: []int{len(jobs)}})
			if u.GPU {
				gpu = len(jobs) - 1
			}
		}
	}
	return a.begin("reload", "restart "+strings.Join(tiers, ", "), "reload", nil, jobs, before), nil
}
