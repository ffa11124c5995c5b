package gateway

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/gateway/queue"
)

// engineLlama is the kind of engine that has slots.
const engineLlama = "llama"

// heldTier is what the hold knows of one tier. The hold's lock guards it.
type heldTier struct {
	route   api.Route
	queue   *queue.Queue
	slots   *queue.Slots // nil unless it is a llama-server with several
	counts  queue.Stats
	pausing int                // requests that are slowed, or wait for another attempt
	trouble string             // why the last call of tierd failed
	denied  string             // tierd's last no, which the log has; "" once the tier was ready
	cancel  context.CancelFunc // ends the call of tierd that has the tier ready; nil: there is none
	gone    bool               // no longer in the table
}

// follow takes in the tier's new route. Another unit has nothing in service yet and empty slots.
func (t *heldTier) follow(r api.Route) {
	if r.Unit != t.route.Unit || r.Socket != t.route.Socket {
		t.queue.Switch()
		t.slots = nil
	}
	slots := 0
	if r.Engine == engineLlama && r.Parallel > 1 {
		slots = r.Parallel
	}
	if slots == 0 {
		t.slots = nil
	} else if t.slots == nil || t.slots.Len() != slots {
		t.slots = queue.NewSlots(slots)
	}
	t.route = r
	t.queue.SetLimit(r.Concurrency)
	t.queue.Open(r.State == api.Ready)
	if r.State == api.Ready {
		t.denied = ""
	}
}

func (t *heldTier) ready() bool { return t.route.State == api.Ready }

func (t *heldTier) waiting() int { return t.queue.Waiting() + t.pausing }

func (t *heldTier) snapshot(now time.Time) queue.Stats {
	s := t.counts
	s.Buckets = slices.Clone(s.Buckets)
	s.Refused = maps.Clone(s.Refused)
	s.Waiting, s.InFlight = t.waiting(), t.queue.InFlight()
	if since := t.queue.Oldest(); !since.IsZero() {
		s.Longest = now.Sub(since)
	}
	return s
}

// nameSlot gives a lease its slot. Beside another process nobody knows which slots are free.
func (h *hold) nameSlot(l *Lease, session queue.ID) {
	t := l.held
	if t.slots == nil || t.route.Unit != l.Route.Unit {
		return
	}
	if h.heir || h.elder[l.Route.Unit] > 0 {
		session = 0
	}
	l.slots = t.slots
	l.Slot = t.slots.Take(session)
}

// settle lets through all that may go, and has tierd called as long as somebody waits for it.
func (h *hold) settle(t *heldTier) {
	for r := t.queue.Next(); r != nil; r = t.queue.Next() {
		w := r.Owner.(*waiter)
		w.table = h.table
		w.wake <- struct{}{}
	}
	needed := t.queue.Waiting() > 0 && !t.ready() && !t.gone
	switch {
	case needed && t.cancel == nil:
		ctx, cancel := context.WithCancel(h.base)
		t.cancel = cancel
		go h.ensure(ctx, t, t.route.Tier)
	case !needed && t.cancel != nil:
		t.cancel()
		t.cancel = nil
	}
}

// fail answers all that wait in a tier's line.
func (h *hold) fail(t *heldTier, f *failure) {
	for r := t.queue.First(); r != nil; r = t.queue.First() {
		t.queue.Leave(r)
		w := r.Owner.(*waiter)
		w.err = f
		w.wake <- struct{}{}
	}
}
