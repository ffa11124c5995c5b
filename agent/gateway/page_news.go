package gateway

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// Overview is what tierd is asked for the page, only while somebody looks at it.
type Overview interface {
	Status(ctx context.Context) (api.Status, error)
	Budget(ctx context.Context, mode string) (api.Budget, error)
	// Events yields the events with Seq > after and then each new one; an error ends it.
	Events(ctx context.Context, after uint64) iter.Seq2[api.Event, error]
}

const (
	askLimit    = 5 * time.Second // for tierd to answer; a longer one is taken for no answer
	askAgain    = 5 * time.Second // memory changes without an event
	askAtMost   = time.Second     // between two askings, however much happens
	listenPause = 2 * time.Second // before a stream of events that failed is asked for again
	eventsShown = 30
)

// told is what tierd last said.
type told struct {
	status *api.Status // nil: nothing yet
	budget *api.Budget
	heard  time.Time // when status was true
	silent string    // why tierd does not answer; "": it does, or was not asked yet
	events []api.Event
}

// answer is what came of asking once.
type answer struct {
	status api.Status
	budget *api.Budget // nil: there is none, though tierd answered
	err    error
	at     time.Time
}

// take notes an answer. What tierd said before stays known when it says nothing more.
func (n *told) take(a answer) {
	if a.err != nil {
		n.silent = a.err.Error()
		return
	}
	n.status, n.budget, n.heard, n.silent = &a.status, a.budget, a.at, ""
}

// add notes an event and forgets the oldest.
func (n *told) add(e api.Event) {
	n.events = append(n.events, e)
	if extra := len(n.events) - eventsShown; extra > 0 {
		n.events = slices.Delete(n.events, 0, extra)
	}
}

// askOnce asks for status and budget.
func askOnce(ctx context.Context, o Overview) answer {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	a := answer{at: time.Now()}
	if a.status, a.err = o.Status(ctx); a.err != nil {
		return a
	}
	// tierd answers without one when it cannot read the host, and for that the tiers are not to be hidden.
	if b, err := o.Budget(ctx, ""); err == nil {
		a.budget = &b
	}
	return a
}

// ask sends answers until ctx ends: soon after a wish, and now and then without one.
func ask(ctx context.Context, o Overview, wishes <-chan struct{}, answers chan<- answer) {
	for ctx.Err() == nil {
		select {
		case answers <- askOnce(ctx, o):
		case <-ctx.Done():
			return
		}
		wait(ctx, askAtMost)
		rest := time.NewTimer(askAgain - askAtMost)
		select {
		case <-wishes:
		case <-rest.C:
		case <-ctx.Done():
		}
		rest.Stop()
	}
}

// listen sends tierd's events until ctx ends, those that it remembers first.
func listen(ctx context.Context, o Overview, events chan<- api.Event) {
	var last uint64
	for ctx.Err() == nil {
		for e, err := range o.Events(ctx, last) {
			if err != nil {
				break
			}
			last = e.Seq
			select {
			case events <- e:
			case <-ctx.Done():
				return
			}
		}
		wait(ctx, listenPause)
	}
}
