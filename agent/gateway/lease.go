package gateway

import (
	"context"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/gateway/queue"
)

// Source is the seam between routing and forwarding: it hands out the right to send one request to a tier. The pool never
// waits; the hold, which is around it, does.
type Source interface {
	// Acquire returns a lease that the caller must release, or a *failure that explains to the client why there is
	// none. It may wait until ctx ends, which is when the client hangs up.
	Acquire(ctx context.Context, ask Ask) (*Lease, error)
}

// Ask is what a request wants, and who wants it.
type Ask struct {
	Tier    string
	Session string // X-Session-Id; "" when the client names none
	Parent  string // X-Parent-Session-Id: the session that this one works for
	Light   bool   // the engine answers without working on a prompt, so that it needs no turn: /props, /tokenize, a GET
	Probe   bool   // it asks how the engine is, and never waits: it must not be what a tier is started for

	// Path and Body are what the engine gets; they tell whether it can be told a slot.
	Path string
	Body []byte

	// Beat, unless nil, is called while a stream waits whose client needs a byte now and then. It runs within Acquire.
	Beat func()

	// Unsent is set for another attempt, see again: the failure of the last one.
	Unsent          error
	tries           int           // attempts that the engine took no connection for
	spent           time.Duration // in waits before this one
	session, family queue.ID
}

// Lease is the right to send one request to one engine.
type Lease struct {
	Route api.Route
	// Slot is the one of llama-server's that the request is to have, counted from one; 0: the engine chooses.
	Slot    int
	release func()

	pool *pool
	unit *unit
	call *call

	// What the hold knows of the lease; after, unless nil, is called at its end.
	after func(*Lease)
	held  *heldTier
	turn  queue.Turn
	slots *queue.Slots
	ask   Ask
}

// connect gives the lease's request a connection to the engine. fresh: one that no request has used yet.
func (l *Lease) connect(ctx context.Context, fresh bool) (*conn, error) {
	if l.gone() {
		return nil, errTierGone
	}
	return l.pool.connect(ctx, l.unit, fresh)
}

// keep gives back a connection that is fit for another request.
func (l *Lease) keep(c *conn) { l.pool.keep(l.unit, c, mostIdle(l.Route)) }

// gone tells that the tier had to go, and that the lease's connections were closed for that.
func (l *Lease) gone() bool { return l.call.cut.Load() }

// Release ends the lease, whose connections must have been given back or closed.
func (l *Lease) Release() {
	l.release()
	if l.after != nil {
		l.after(l)
	}
}
