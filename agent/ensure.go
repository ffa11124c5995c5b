package agent

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

// wish is a tier that requests wait for. It belongs to the loop.
type wish struct {
	waiting []chan *api.Error // of each call of Ensure; takes one value, nil when the tier is ready
	change  *change           // that was begun for it; nil while what others began is waited for
}

// Ensure returns once the tier is ready, or with an *api.Error that says why it will not be. It joins whatever brings the
// tier up already, waits for whatever ends it, and then has it started. When ctx ends, the wish is taken back: a start that
// no other call waits for is aborted unless its load was let in. tierd's own end aborts nothing: who waits asks its successor.
func (a *Agent) Ensure(ctx context.Context, tier string) error {
	served, err := inLoop(ctx, a, func() (bool, error) { return a.serves(tier), a.away() })
	if err != nil || served {
		return err
	}
	if err := a.lookAgainFor(ctx, tier); err != nil {
		return err
	}
	answer, err := inLoop(ctx, a, func() (chan *api.Error, error) { return a.wishFor(tier), a.away() })
	if err != nil {
		return err
	}
	select {
	case refused := <-answer:
		if refused != nil {
			return refused
		}
		return nil
	case <-a.ended:
		return errEnded
	case <-ctx.Done():
		if !errors.Is(context.Cause(ctx), errEnding) {
			a.post(func() { a.takeBack(tier, answer) })
		}
		return ctx.Err()
	}
}

// away is unavailable, for somebody who may ask again: systemd is back within seconds as a rule.
func (a *Agent) away() error {
	var e *api.Error
	if errors.As(a.unavailable(), &e) {
		e.RetryAfter = listRetry.Seconds()
		return e
	}
	return nil
}

// wishFor notes one more call that waits for the tier; the loop looks at it before it does anything else.
func (a *Agent) wishFor(tier string) chan *api.Error {
	w := a.wishes[tier]
	if w == nil {
		w = &wish{}
		a.wishes[tier] = w
	}
	answer := make(chan *api.Error, 1)
	w.waiting = append(w.waiting, answer)
	a.judge() // others may give way from now on for what stands in the line already
	return answer
}

// takeBack forgets a call whose caller has gone.
func (a *Agent) takeBack(tier string, answer chan *api.Error) {
	w := a.wishes[tier]
	if w == nil || !slices.Contains(w.waiting, answer) {
		return
	}
	w.waiting = slices.DeleteFunc(w.waiting, func(x chan *api.Error) bool { return x == answer })
	if len(w.waiting) > 0 {
		return
	}
	delete(a.wishes, tier)
	c := w.change
	if c == nil || c.Done() || c.kept {
		return
	}
	unit := c.tasks[0].unit
	if _, admitted := a.admitted[unit]; admitted || a.states[unit].State == api.Ready {
		return // it may finish, and is idle then
	}
	a.opts.Log.Info("no request waits any more", "tier", tier, "unit", unit, "change", c.ID)
	c.abort()
}

// answer ends a wish with what every call of it is told.
func (a *Agent) answer(tier string, refused *api.Error) {
	for _, waits := range a.wishes[tier].waiting {
		waits <- refused
	}
	delete(a.wishes, tier)
}

// endWishes tells who waits for a tier ("" is any) that it was ordered to stop. Whoever asks from now on has it started again.
func (a *Agent) endWishes(tier string) {
	for name := range a.wishes {
		if tier == "" || name == tier {
			a.answer(name, &api.Error{Kind: api.KindAborted, Message: name + " was ordered to stop while a request waited for it"})
		}
	}
}

// wished tells whether requests wait for a tier that they may start: others may give way for it then.
func (a *Agent) wished(tier string) bool { return a.wishes[tier] != nil && !a.manual(tier) }

func (a *Agent) manual(tier string) bool {
	if a.plan == nil {
		return false
	}
	t, known := a.plan.Config.Tier(tier)
	return known && t.Start == units.StartManual
}

// grant looks at every wish: after each thing that the loop hears, so that nobody has to ask again.
func (a *Agent) grant() {
	if len(a.wishes) == 0 || a.systemdErr != nil || a.observations == 0 || a.ctx.Err() != nil {
		return
	}
	for _, tier := range slices.Sorted(maps.Keys(a.wishes)) {
		w := a.wishes[tier]
		want := a.preferred(tier)
		switch what, refused := decide(a.wishFacts(tier, w, want)); what {
		case granted:
			a.answer(tier, nil)
		case refusedIt:
			a.answer(tier, refused)
		case startIt:
			w.change = a.startFor(tier, want.Name)
		}
	}
}

// startFor begins the start of a unit that requests wait for.
func (a *Agent) startFor(tier, unit string) *change {
	id := a.begin("ensure", "ensure "+tier, "ensure "+tier, []string{tier},
		[]job{{op: opStart, tier: tier, unit: unit, evict: true, known: true}}, nil)
	return a.changes[slices.IndexFunc(a.changes, func(c *change) bool { return c.ID == id })]
}

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
}

// verdicts on a wish.
type deedFor int

const (
	keepWaiting deedFor = iota
	granted
	refusedIt
	startIt
)

// decide says what becomes of a wish. A start is begun only where nobody else is at work on the tier.
func decide(f wishFacts) (deedFor, *api.Error) {
	switch {
	case f.serves:
		return granted, nil
	case f.ended != nil:
		return refusedIt, f.ended
	case f.coming:
		return keepWaiting, nil
	case f.blocked != nil:
		return refusedIt, f.blocked
	case f.manual:
		return refusedIt, &api.Error{Kind: api.KindConfig, Hint: "tierctl start " + f.tier,
			Message: fmt.Sprintf("%s is not up, and no request starts it: tiers.toml says start = \"manual\"", f.tier)}
	case f.busy:
		return keepWaiting, nil
	case f.setback != nil:
		return refusedIt, f.setback
	}
	return startIt, nil
}

func (a *Agent) wishFacts(tier string, w *wish, want units.Unit) wishFacts {
	f := wishFacts{tier: tier, serves: a.serves(tier), manual: a.manual(tier), setback: a.setbackOf(want.Name)}
	if w.change != nil && w.change.Done() {
		f.ended = a.withPause(w.change.Err, want.Name)
		w.change = nil
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
