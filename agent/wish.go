package agent

import (
	"errors"
	"fmt"
	"slices"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

// wishFacts are all that decides what becomes of a wish.
type wishFacts struct {
	tier    string
	serves  bool       // it is ready, and nobody stops it
	ended   *api.Error // why the start that was begun for it has failed
	coming  bool       // somebody, or systemd, is about to bring it up
	blocked *api.Error // it cannot start as things are, or is none of tiers.toml
	manual  bool       // requests do not start it
	busy    bool       // a change is at work on it, or it is on its way down
	setback *api.Error // it failed a moment ago, and is left alone for a while
	resting *api.Error // it gave way to memory pressure, and rests for longer than a request waits
}

// ruling is what becomes of a wish.
type ruling int

const (
	waitOn ruling = iota
	grantIt
	refuseIt
	startIt
)

// decide says what becomes of a wish. A start is begun only where nobody else is at work on the tier.
func decide(f wishFacts) (ruling, *api.Error) {
	switch {
	case f.serves:
		return grantIt, nil
	case f.ended != nil:
		return refuseIt, f.ended
	case f.coming:
		return waitOn, nil
	case f.blocked != nil:
		return refuseIt, f.blocked
	case f.manual:
		return refuseIt, &api.Error{Kind: api.KindConfig, Hint: "tierctl start " + f.tier,
			Message: fmt.Sprintf("%s is not up, and no request starts it: tiers.toml says start = \"manual\"", f.tier)}
	case f.resting != nil:
		return refuseIt, f.resting
	case f.busy:
		return waitOn, nil
	case f.setback != nil:
		return refuseIt, f.setback
	}
	return startIt, nil
}

func (a *Agent) wishFacts(tier string, w *wish, want units.Unit) wishFacts {
	f := wishFacts{tier: tier, serves: a.serves(tier), manual: a.manual(tier), setback: a.setbackOf(want.Name)}
	if w.change != nil && w.change.Done() {
		f.ended = a.withPause(w.change.Err, w.change.tasks[0].unit)
		w.change = nil
		if f.ended != nil && f.ended.Class == api.ClassPressure { // the request waits on, if the rest is short enough
			f.ended = nil
		}
	}
	var rests bool
	if f.resting, rests = a.restOf(tier); rests {
		f.busy = true
	}
	f.coming = w.change != nil
	if err := a.checkVariant(tier, ""); err != nil {
		errors.As(err, &f.blocked)
	} else if err := a.blocked(want); err != nil {
		errors.As(err, &f.blocked)
	}
	for name, v := range a.states {
		if a.tierOf(name) != tier {
			continue
		}
		f.coming = f.coming || v.State == api.Starting
		f.busy = f.busy || v.State == api.Stopping || v.State == api.Draining
	}
	for _, t := range a.tasksOf(tier) {
		f.busy = true
		f.coming = f.coming || t.op == opStart && t.left == "" && t.ctx.Err() == nil
	}
	return f
}

// serves tells whether the tier takes requests: the unit that stands for it is ready, and no stop of it is at work.
func (a *Agent) serves(tier string) bool {
	unit := a.shownUnit(tier)
	return a.states[unit].State == api.Ready && !slices.ContainsFunc(a.tasksOf(tier), func(t *task) bool {
		return t.op == opStop && t.unit == unit && len(t.needs)+len(t.after) == 0
	})
}

// tasksOf are the tasks of a tier that have not ended.
func (a *Agent) tasksOf(tier string) []*task {
	var list []*task
	for _, c := range a.changes {
		if c.Done() {
			continue
		}
		for _, t := range c.tasks {
			if t.tier == tier && !t.over() {
				list = append(list, t)
			}
		}
	}
	return list
}

// over tells whether a task has ended.
func (t *task) over() bool {
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}
