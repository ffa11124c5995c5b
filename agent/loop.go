package agent

import (
	"context"

	"github.com/tierd/tierd/agent/api"
)

// finish lets the loop's goroutines hand in their last results.
func (a *Agent) finish() {
	idle := make(chan struct{})
	go func() { a.children.Wait(); close(idle) }()
	for {
		select {
		case f := <-a.inbox:
			f()
		case <-idle:
			a.events.close()
			return
		}
	}
}

// spawn runs slow work beside the loop. Its result comes back by post.
func (a *Agent) spawn(work func(ctx context.Context)) {
	ctx := a.ctx
	a.children.Go(func() { work(ctx) })
}

// post hands a result to the loop, from one of its goroutines. The loop takes it even while it ends.
func (a *Agent) post(f func()) {
	select {
	case a.inbox <- f:
	case <-a.ended:
	}
}

var errEnded = &api.Error{Kind: api.KindUnavailable, Message: "tierd is ending"}

// inLoop runs f in the loop and returns what it says. It waits until the agent has something to tell.
func inLoop[T any](ctx context.Context, a *Agent, f func() (T, error)) (T, error) {
	var zero T
	select {
	case <-a.ready:
	case <-a.ended:
		return zero, errEnded
	case <-ctx.Done():
		return zero, ctx.Err()
	}
	type result struct {
		value T
		err   error
	}
	answer := make(chan result, 1)
	select {
	case a.inbox <- func() { v, err := f(); answer <- result{v, err} }:
	case <-a.ended:
		return zero, errEnded
	case <-ctx.Done():
		return zero, ctx.Err()
	}
	r := <-answer // the loop never waits, so this comes at once
	return r.value, r.err
}
