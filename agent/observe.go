package agent

import (
	"context"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

// listLimit bounds one reading of the units.
const listLimit = 10 * time.Second

// hintPause is how long a hint waits that comes right after a reading. A start makes several at once, and each reading
// takes as long from the manager as a good part of the start itself.
const hintPause = 20 * time.Millisecond

// listRetry is how soon the units are read again after that failed.
const listRetry = 2 * time.Second

// hint follows a word that something may be different.
func (a *Agent) hint(all bool) {
	if all { // the administrator may have repaired what stood in the way
		clear(a.tried)
	}
	if all {
		a.observe(ReadAll)
		return
	}
	wait := hintPause - time.Since(a.lastRead)
	if wait <= 0 || a.observing {
		a.observe(ReadChanged)
		return
	}
	if a.hinted {
		return // the reading that waits already tells of this, too
	}
	a.hinted = true
	a.spawn(func(ctx context.Context) {
		select {
		case <-time.After(wait):
			a.post(func() { a.hinted = false; a.observe(ReadChanged) })
		case <-ctx.Done():
		}
	})
}

// observe reads the units in a goroutine. A second reading asked for meanwhile follows the first, however often it was
// asked for: that is what keeps a flood of signals cheap.
func (a *Agent) observe(depth Depth) {
	if a.observing {
		a.again, a.depth = true, max(a.depth, depth)
		return
	}
	if depth == ReadAll {
		a.readAll = time.Now()
	}
	a.observing = true
	a.asked++
	number, names := a.asked, a.names()
	a.spawn(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, listLimit)
		defer cancel()
		list, err := a.opts.Systemd.List(ctx, names, depth)
		a.post(func() { a.learn(number, list, err) })
	})
}

func (a *Agent) names() []string {
	if a.plan == nil {
		return nil
	}
	names := make([]string, len(a.plan.Units))
	for i, u := range a.plan.Units {
		names[i] = u.Name
	}
	return names
}

// learn takes in one reading of the units.
func (a *Agent) learn(number uint64, list []UnitStatus, err error) {
	a.observing = false
	a.lastRead = time.Now()
	if a.ctx.Err() != nil {
		return
	}
	if err != nil {
		if a.systemdErr == nil {
			a.opts.Log.Warn("cannot read the units from systemd", "err", err)
		}
		a.systemdErr = err
		a.spawn(a.lookAgain)
	} else {
		if a.systemdErr != nil {
			a.opts.Log.Info("systemd answers again")
		}
		a.systemdErr = nil
		a.observations = number
		a.seen = map[string]UnitStatus{}
		for _, s := range list {
			a.seen[s.Name] = s
		}
		a.settleAdmissions(number)
		a.derive()
	}
	if !a.reloading && (!a.configured || a.planned != a.opts.Systemd.Version()) {
		a.readConfig(nil)
	}
	close(a.learned)
	a.learned = make(chan struct{})
	a.judge()
	if a.again {
		depth := a.depth
		a.again, a.depth = false, ReadChanged
		if depth == ReadChanged {
			a.hint(false)
		} else {
			a.observe(depth)
		}
	}
}

// lookAgain reads the units once more after a while, since a hint may not come.
func (a *Agent) lookAgain(ctx context.Context) {
	select {
	case <-time.After(listRetry):
		a.post(func() { a.observe(ReadAll) })
	case <-ctx.Done():
	}
}

// derive computes every unit's state anew and tells of those that are different.
func (a *Agent) derive() {
	states := map[string]verdict{}
	known := a.known()
	for name := range known {
		f := a.factsOf(name)
		a.count(name, a.tierOf(name), f.seen)
		v := next(a.states[name].State, f)
		states[name] = v
		if old, was := a.states[name]; !was || old.State != v.State || old.Reason != v.Reason {
			a.tell(name, f, old, v, was)
		}
	}
	a.states = states
	a.counts.forgetLives(known)
	a.noteServing()
	a.reapDrains()
}

// known names every unit that is planned or loaded as ours.
func (a *Agent) known() map[string]bool {
	known := map[string]bool{}
	for _, name := range a.names() {
		known[name] = true
	}
	for name, s := range a.seen {
		if s.Tier != "" {
			known[name] = true
		}
	}
	return known
}

func (a *Agent) factsOf(name string) facts {
	return facts{unit: a.unit(name), seen: a.seen[name], problem: a.problems[name], drain: a.drains[name], gave: a.gave[name], pressed: a.guard.pressed[name]}
}

// unit is a unit as planned, empty when it is not in tiers.toml.
func (a *Agent) unit(name string) units.Unit {
	if a.plan == nil {
		return units.Unit{}
	}
	u, _ := a.plan.Unit(name)
	return u
}

// tell writes one event and one line of log for a change of state.
func (a *Agent) tell(name string, f facts, old, v verdict, was bool) {
	if !was && v.State == api.Stopped {
		return // a unit that was only made visible
	}
	tier := f.seen.Tier
	if tier == "" {
		tier = f.unit.Tier
	}
	text := name + " is " + string(v.State)
	if v.Reason != "" {
		text += ": " + v.Reason
	}
	if old.State != v.State {
		a.turned(name, old, v)
	}
	if was && v.State == api.Failed && v.Class == api.ClassBudget {
		a.outgrew(f.unit)
	}
	log := a.opts.Log.With("tier", tier, "unit", name)
	if old.State != "" {
		log = log.With("was", old.State)
	}
	if v.Reason != "" {
		log = log.With("reason", v.Reason)
	}
	log.Info("unit is " + string(v.State))
	a.events.add(api.Event{Kind: "tier", Tier: tier, Unit: name, State: v.State, Text: text})
}

// turned learns from a change of state. What a change of ours works on is told by its tasks.
func (a *Agent) turned(name string, old, v verdict) {
	switch {
	case v.State == api.Ready:
		if old.State == api.Starting {
			a.noteLoad(name)
		}
		a.forgive(a.tierOf(name))
		a.isBack(a.tierOf(name))
	case a.locks[name]:
	case v.State == api.Failed && old.State == api.Starting:
		a.setBack(name, endError(a.tierOf(name), name, v, a.refusal(name)))
	case v.State == api.Stopped && old.State == api.Failed: // somebody cleared the failure away
		delete(a.setbacks, name)
	}
}
