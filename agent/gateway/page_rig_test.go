package gateway

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"

	"github.com/tierd/tierd/agent/api"
)

// fakeOverview is what a test has tierd say to the page.
type fakeOverview struct {
	lock   sync.Mutex
	status api.Status
	budget api.Budget
	silent bool
	events []api.Event
	wake   chan struct{}

	statuses, listens int // how often it was asked
}

// say edits what is said.
func (f *fakeOverview) say(edit func(*fakeOverview)) {
	f.lock.Lock()
	defer f.lock.Unlock()
	edit(f)
	if f.wake != nil {
		close(f.wake)
		f.wake = nil
	}
}

// asked tells how often it was asked for the status, and for events.
func (f *fakeOverview) asked() (statuses, listens int) {
	f.lock.Lock()
	defer f.lock.Unlock()
	return f.statuses, f.listens
}

func (f *fakeOverview) Status(context.Context) (api.Status, error) {
	f.lock.Lock()
	defer f.lock.Unlock()
	f.statuses++
	if f.silent {
		return api.Status{}, errors.New("cannot reach tierd")
	}
	s := f.status
	s.Tiers = slices.Clone(s.Tiers)
	return s, nil
}

func (f *fakeOverview) Budget(context.Context, string) (api.Budget, error) {
	f.lock.Lock()
	defer f.lock.Unlock()
	if f.silent {
		return api.Budget{}, errors.New("cannot reach tierd")
	}
	return f.budget, nil
}

func (f *fakeOverview) Events(ctx context.Context, after uint64) iter.Seq2[api.Event, error] {
	return func(yield func(api.Event, error) bool) {
		f.lock.Lock()
		f.listens++
		f.lock.Unlock()
		for ctx.Err() == nil {
			f.lock.Lock()
			var fresh []api.Event
			for _, e := range f.events {
				if e.Seq > after {
					fresh = append(fresh, e)
				}
			}
			if f.wake == nil {
				f.wake = make(chan struct{})
			}
			wake, silent := f.wake, f.silent
			f.lock.Unlock()
			if silent {
				yield(api.Event{}, errors.New("cannot reach tierd"))
				return
			}
			for _, e := range fresh {
				after = e.Seq
				if !yield(e, nil) {
					return
				}
			}
			if len(fresh) > 0 {
				continue
			}
			select {
			case <-wake:
			case <-ctx.Done():
			}
		}
	}
}
