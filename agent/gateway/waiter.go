package gateway

import (
	"context"
	"errors"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/gateway/queue"
)

// How long a stream that waits is left without a byte, where the route asks for comments, and then from one to the next.
const (
	firstBeat = 5 * time.Second
	nextBeat  = 10 * time.Second
)

// Pauses before a request is tried again whose engine took no connection, doubled up to the last. tierd hears of the end of
// an engine within milliseconds, so that its table ends most of these; a full backlog of connects ends sooner.
const (
	unsentFirst = 10 * time.Millisecond
	unsentLast  = time.Second
	unsentTries = 11 // five seconds
)

// waiter is one request that waits.
type waiter struct {
	queue.Request
	hold     *hold
	tier     *heldTier
	ask      Ask
	began    time.Time
	deadline time.Time
	pause    time.Duration // before it joins the line
	slow     bool          // because its session asks too fast
	wake     chan struct{} // has room for one; filled when the request got its turn, or err
	err      *failure
	table    uint64 // by which it was let through
}

// again makes ask the next attempt of a request whose lease came to nothing: no byte has gone to the client.
func (ask *Ask) again(l *Lease, why error) {
	ask.Unsent, ask.family, ask.session, ask.spent = why, l.ask.family, l.ask.session, l.ask.spent
	if !isNotReady(why) {
		ask.tries++
	}
}

// pause is how long an attempt waits after the last one.
func (ask *Ask) pause() time.Duration {
	if ask.tries == 0 {
		return 0
	}
	return min(unsentFirst<<(ask.tries-1), unsentLast)
}

// begin makes a request wait, or returns the failure for one that may not. The hold's lock is held.
func (h *hold) begin(t *heldTier, ask Ask, family queue.ID, pause time.Duration) (*waiter, error) {
	now := time.Now()
	left := time.Duration(t.route.Hold*float64(time.Second)) - ask.spent
	refuse := func(err error) (*waiter, error) {
		if f, ok := errors.AsType[*failure](err); ok {
			t.counts.Refuse(f.code)
		}
		if pause > 0 && ask.tries == 0 {
			h.sessions.Return(ask.session)
		}
		return nil, err
	}
	switch {
	case h.stopped:
		return refuse(stopping(ask.Tier))
	case ask.tries > unsentTries || ask.Unsent != nil && (left <= 0 || ask.Probe):
		return refuse(ask.Unsent)
	case ask.Probe || !t.ready() && (left <= 0 || t.route.State == api.Blocked):
		return refuse(notReady(t.route))
	case left <= 0:
		return refuse(t.tooLong(ask.spent))
	}
	w := &waiter{
		hold: h, tier: t, ask: ask, began: now, deadline: now.Add(left), pause: pause, slow: pause > 0 && ask.tries == 0,
		wake: make(chan struct{}, 1),
	}
	w.Request = queue.Request{Family: family, Light: ask.Light, Since: now, Owner: w}
	if w.slow {
		t.counts.Slowed++
	}
	if !t.ready() {
		t.counts.Held++
	}
	if t.waiting() == 0 {
		defer h.active()
	}
	if pause > 0 {
		t.pausing++
	} else if f := h.join(w); f != nil {
		return refuse(f)
	}
	return w, nil
}

// join puts a waiter into its tier's line. The hold's lock is held.
func (h *hold) join(w *waiter) *failure {
	t := w.tier
	switch {
	case t.gone:
		return notFound("model_not_found", "There is no tier %q any more.", w.ask.Tier)
	case h.stopped:
		return stopping(w.ask.Tier)
	case t.queue.Wait(&w.Request) != nil:
		return queueFull(t)
	}
	h.settle(t)
	return nil
}

// wait returns when the request has its lease, or will not get one.
func (w *waiter) wait(ctx context.Context) (*Lease, error) {
	end := time.NewTimer(time.Until(w.deadline))
	defer end.Stop()
	var pause, beat <-chan time.Time
	if w.pause > 0 {
		timer := time.NewTimer(w.pause)
		defer timer.Stop()
		pause = timer.C
	}
	var beats *time.Timer
	if w.ask.Beat != nil {
		beats = time.NewTimer(firstBeat)
		defer beats.Stop()
		beat = beats.C
	}
	for {
		select {
		case <-w.wake:
			lease, err := w.woken(ctx)
			if lease != nil || err != nil {
				return w.finish(lease, err)
			}
		case <-pause:
			if err := w.joinAfterPause(); err != nil {
				return w.finish(nil, err)
			}
		case <-beat:
			w.beat()
			beats.Reset(nextBeat)
		case <-ctx.Done():
			w.leave(true)
			return w.finish(nil, context.Cause(ctx))
		case <-end.C:
			if w.leave(false) {
				return w.finish(nil, w.overdue())
			}
			end.Reset(0) // it has just got its turn: that comes first
		}
	}
}

// woken takes the lease for the turn. Both results are nil when the tier had gone meanwhile and the wait goes on.
func (w *waiter) woken(ctx context.Context) (*Lease, error) {
	if w.err != nil {
		return nil, w.err
	}
	h := w.hold
	lease, err := h.take(ctx, w.ask, w.tier, w.Turn(), w.table)
	if err == nil || !isNotReady(err) {
		return lease, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if f := h.join(w); f != nil {
		return nil, f
	}
	return nil, nil
}

func (w *waiter) joinAfterPause() error {
	w.hold.mu.Lock()
	defer w.hold.mu.Unlock()
	w.tier.pausing--
	w.pause = 0
	if f := w.hold.join(w); f != nil {
		return f
	}
	return nil
}

// beat keeps a client that needs it patient.
func (w *waiter) beat() {
	w.hold.mu.Lock()
	comments := w.tier.route.Keepalive == keepaliveComments
	w.hold.mu.Unlock()
	if comments {
		w.ask.Beat()
	}
}

// leave ends the wait. It returns false when the request has its turn or its error, which is given back only when the
// client is gone.
func (w *waiter) leave(gone bool) bool {
	h, t := w.hold, w.tier
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case w.pause > 0:
		t.pausing--
		if w.slow {
			h.sessions.Return(w.ask.session)
		}
	case t.queue.Leave(&w.Request):
	case !gone:
		return false
	case w.err == nil:
		t.queue.Done(w.Turn())
	}
	if gone {
		t.counts.Left++
	}
	h.settle(t)
	return true
}

// overdue is the failure of a request that has waited for as long as it may.
func (w *waiter) overdue() error {
	w.hold.mu.Lock()
	defer w.hold.mu.Unlock()
	if w.ask.tries > 0 && w.tier.ready() {
		return w.ask.Unsent
	}
	return w.tier.tooLong(w.ask.spent + time.Since(w.began))
}

// finish counts what came of the wait.
func (w *waiter) finish(lease *Lease, err error) (*Lease, error) {
	h := w.hold
	h.mu.Lock()
	defer h.mu.Unlock()
	waited := time.Since(w.began)
	w.tier.counts.Waited(waited)
	if lease != nil {
		lease.ask.spent += waited
	} else if f, ok := errors.AsType[*failure](err); ok {
		w.tier.counts.Refuse(f.code)
	}
	if w.tier.waiting() == 0 {
		h.active()
	}
	return lease, err
}
