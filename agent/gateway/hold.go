package gateway

import (
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"sync"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/gateway/queue"
)

// Bounds on what the hold keeps.
const (
	// queueRoom is how many requests may wait for one tier. Each keeps a connection, of which there are 1024, and its body.
	queueRoom = 256
	// sessionRoom is how many sessions are remembered; one takes 100 bytes.
	sessionRoom = 1024
)

// hold is the Source that waits. A request for a tier that is ready and has a turn goes through at once: one lock, no timer,
// nothing allocated. Others wait for tierd to have the tier ready, and for their turn, at most for as long as the route says.
//
// Its lock comes before none and after none: the pool is never called with it held.
type hold struct {
	source  Source
	control ensurer
	log     *slog.Logger
	active  func() // must not block; called when a tier gets its first waiting request or loses its last
	base    context.Context
	cancel  context.CancelFunc
	seed    maphash.Seed
	after   func(*Lease) // ended, made once

	mu       sync.Mutex
	table    uint64 // counts the tables
	tiers    map[string]*heldTier
	sessions *queue.Sessions
	elder    map[string]int // requests by unit that a predecessor still serves
	heir     bool           // a successor serves beside this process
	stopped  bool
}

// ensurer is the part of Control that has tiers brought up.
type ensurer interface {
	Ensure(ctx context.Context, tier string) error
}

func newHold(source Source, control ensurer, log *slog.Logger, active func()) *hold {
	h := &hold{
		source: source, control: control, log: log, active: active, seed: maphash.MakeSeed(),
		tiers: map[string]*heldTier{}, sessions: queue.NewSessions(sessionRoom),
	}
	h.base, h.cancel = context.WithCancel(context.Background())
	h.after = h.ended
	return h
}

// Acquire hands out a lease when the tier is ready and the request has its turn.
func (h *hold) Acquire(ctx context.Context, ask Ask) (*Lease, error) {
	h.mu.Lock()
	t := h.tiers[ask.Tier]
	if t == nil {
		h.mu.Unlock()
		return h.source.Acquire(ctx, ask) // says that there is no such tier
	}
	family, slow := h.enter(&ask)
	pause := max(slow, ask.pause())
	if pause == 0 {
		if turn, ok := t.queue.Try(family, ask.Light); ok {
			table := h.table
			h.mu.Unlock()
			lease, err := h.take(ctx, ask, t, turn, table)
			if err == nil || !isNotReady(err) {
				return lease, err
			}
			h.mu.Lock()
			if t.route.Hold <= 0 || ask.Probe {
				h.mu.Unlock()
				return nil, err
			}
		}
	}
	w, err := h.begin(t, ask, family, pause)
	h.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return w.wait(ctx)
}

// enter finds the family of a request, and for how long it is to be held because its session asks too fast. The second
// attempt of a request is no request of its own.
func (h *hold) enter(ask *Ask) (family queue.ID, slow time.Duration) {
	if ask.Light || ask.Session == "" && ask.Parent == "" {
		return 0, 0
	}
	ask.session = h.id(ask.Session)
	if ask.Unsent != nil {
		return ask.family, 0
	}
	ask.family, slow = h.sessions.Enter(ask.session, h.id(ask.Parent), time.Now())
	return ask.family, slow
}

func (h *hold) id(name string) queue.ID {
	if name == "" {
		return 0
	}
	return queue.ID(max(maphash.String(h.seed, name), 1))
}

// take gets the lease for a turn, or gives the turn back. The pool learns of a table before the hold does: where it says
// that the tier is not ready, a table is on its way here, and nobody is let through before.
func (h *hold) take(ctx context.Context, ask Ask, t *heldTier, turn queue.Turn, table uint64) (*Lease, error) {
	lease, err := h.source.Acquire(ctx, ask)
	if err != nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		t.queue.Done(turn)
		if isNotReady(err) && h.table == table {
			t.queue.Open(false)
		}
		h.settle(t)
		return nil, err
	}
	lease.held, lease.turn, lease.ask, lease.after = t, turn, ask, h.after
	lease.ask.Body = nil // the caller's
	if lease.Route.Engine == engineLlama && lease.Route.Parallel > 1 && !ask.Light {
		session := ask.session
		if session != 0 && !slottable(ask.Path, ask.Body) {
			session = 0
		}
		h.mu.Lock()
		h.nameSlot(lease, session)
		h.mu.Unlock()
	}
	return lease, nil
}

// ended is told of the end of every lease.
func (h *hold) ended(l *Lease) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := l.held
	if l.slots != nil {
		l.slots.Free(l.Slot)
	}
	t.queue.Done(l.turn)
	if t.queue.Waiting() > 0 {
		h.settle(t)
	}
}

// apply makes a table the one in force here.
func (h *hold) apply(routes []api.Route) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.table++
	named := make(map[string]bool, len(routes))
	for _, r := range routes {
		named[r.Tier] = true
		t := h.tiers[r.Tier]
		if t == nil {
			t = &heldTier{queue: queue.New(queueRoom)}
			h.tiers[r.Tier] = t
		}
		t.follow(r)
		t.queue.SetOthers(h.elder[r.Unit])
		if r.State == api.Blocked {
			h.fail(t, notReady(r))
		}
		h.settle(t)
	}
	for name, t := range h.tiers {
		if !named[name] {
			t.gone = true
			delete(h.tiers, name)
			h.fail(t, notFound("model_not_found", "There is no tier %q any more.", name))
			h.settle(t)
		}
	}
}

// setElder notes what a predecessor still serves; it counts against the limits here, until it has ended.
func (h *hold) setElder(load map[string]int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.elder = load
	for _, t := range h.tiers {
		t.queue.SetOthers(load[t.route.Unit])
		h.settle(t)
	}
}

// setHeir tells that a successor serves beside this process. What is held here goes on to be held, and is served.
func (h *hold) setHeir() {
	h.mu.Lock()
	h.heir = true
	h.mu.Unlock()
}

// stop answers all that wait, and from now on all that would have to.
func (h *hold) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = true
	for _, t := range h.tiers {
		h.fail(t, stopping(t.route.Tier))
		h.settle(t)
	}
	h.cancel()
}

// waiting counts the requests that wait, by tier.
func (h *hold) waiting() map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	waiting := make(map[string]int)
	for name, t := range h.tiers {
		if n := t.waiting(); n > 0 {
			waiting[name] = n
		}
	}
	return waiting
}

// stats tells of every tier what became of its requests.
func (h *hold) stats() map[string]queue.Stats {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	all := make(map[string]queue.Stats, len(h.tiers))
	for name, t := range h.tiers {
		all[name] = t.snapshot(now)
	}
	return all
}

func isNotReady(err error) bool {
	f, ok := errors.AsType[*failure](err)
	return ok && f.code == codeNotReady
}
