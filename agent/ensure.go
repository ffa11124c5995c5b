package agent

import (
	"context"
	"errors"
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
	pause := false
	served, err := inLoop(ctx, a, func() (bool, error) {
		pause = a.setbackOf(a.preferred(tier).Name) != nil || a.rests(tier)
		return a.serves(tier), a.away()
	})
	if err != nil || served {
		return err
	}
	if !pause { // a host is not read for each of many requests that are told the same
		if err := a.lookAgainFor(ctx, tier); err != nil {
			return err
		}
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
		case grantIt:
			a.answer(tier, nil)
		case refuseIt:
			a.answer(tier, refused)
		case startIt:
			w.change = a.startFor(tier, want.Name)
		}
	}
}

// startFor begins the start of a unit that requests wait for.
func (a *Agent) startFor(tier, unit string) *change {
	id := a.begin("ensure", "start "+tier+" for a request", "ensure "+tier, []string{tier},
		[]job{{op: opStart, tier: tier, unit: unit, evict: true, known: true}}, nil)
	return a.changes[slices.IndexFunc(a.changes, func(c *change) bool { return c.ID == id })]
}
