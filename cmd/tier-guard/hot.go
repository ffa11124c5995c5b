package main

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/tierd/tierd/agent/guard"
	"golang.org/x/sys/unix"
)

const (
	gpuCalm = 10 * time.Second       // between two samples of GPU memory
	gpuNear = 250 * time.Millisecond // near the line
	blind   = 500 * time.Millisecond // between two tries when the kernel does not tell how much memory there is

	remembered = 48 // looks: half a second where all of them are in haste, half a minute when calm; each takes a KiB that is locked
)

// hot is the goroutine that looks, decides and acts. Nothing in its round allocates, opens a file or waits for another one.
//
// It waits on a timer and not in poll(2): a goroutine that returns from a system call wakes the runtime's monitor, which then
// sleeps in steps of 20 microseconds and cost 2 milliseconds of each second where a look costs 0.1. For the same reason its
// calls are raw ones, and it keeps to no thread: each round would begin with the change from another.
type hot struct {
	*host
	act    actor
	guard  *guard.Guard
	facts  guard.Facts
	table  *table
	timer  *time.Timer
	woken  chan struct{} // by the pressure trigger or by a new table
	notify *notifier
	ring   *guard.Ring
	trace  *tracer // nil: none

	next   atomic.Pointer[table] // what the keeper has made
	seen   atomic.Uint64         // number of the table that is gone by
	told   chan told             // what tierd and the journal are to hear of; never waited for
	ticks  chan struct{}         // to the keeper
	ticked atomic.Int64          // nanoseconds between two ticks; 0: it has nothing to see to now and then
	gpu    chan struct{}         // wakes the sampler
	ended  atomic.Bool
	asked  atomic.Pointer[answer] // somebody wants to know
	counts counts

	lastTick, sampled, fed time.Duration
}

// counts are figures of the hot thread that others read.
type counts struct {
	looks, stops, kills, lost atomic.Uint64 // stops: tiers told to go; kills: those of them that were killed; lost: told to nobody, since the queue was full
	available                 atomic.Uint64 // bytes, at the last look
	blind                     atomic.Bool   // the last look has failed
	poll                      atomic.Int64  // nanoseconds to the next look
	longest                   atomic.Int64  // nanoseconds that a round took at most
}

// told is a decision and what became of it.
type told struct {
	guard.Decision
	wall   time.Time
	errno  unix.Errno // why it could not be done; 0
	dryRun bool
}

func newHot(h *host, first *table, n *notifier) *hot {
	t := &hot{
		host:   h,
		act:    actor{reaper: newReaper()},
		guard:  guard.New(first.lines, first.pace),
		facts:  guard.Facts{Tiers: make([]guard.TierFacts, guard.MaxTiers)},
		table:  first,
		notify: n,
		ring:   guard.NewRing(remembered),
		timer:  time.NewTimer(0),
		woken:  make(chan struct{}, 1),
		told:   make(chan told, 16),
		ticks:  make(chan struct{}, 1),
		gpu:    make(chan struct{}, 1),
	}
	t.ticked.Store(int64(tickEvery))
	t.next.Store(first)
	return t
}

// run goes on until end is called.
func (h *hot) run() {
	for !h.ended.Load() {
		h.pause(h.round())
	}
}

// hand gives the thread another table, and has it look at once.
func (h *hot) hand(t *table) {
	h.next.Store(t)
	nudge(h.woken)
}

func (h *hot) end() {
	h.ended.Store(true)
	nudge(h.woken)
}

// round is one look and what comes of it. It returns when the next has to be.
func (h *hot) round() time.Duration {
	if t := h.next.Load(); t != h.table {
		h.table = t
		h.guard.Set(t.lines, t.pace)
		h.trace.set(t)
		h.seen.Store(t.seq)
		nudge(h.ticks) // files of the one before may be closed
	}
	h.counts.looks.Add(1)
	if !h.look(&h.facts, h.table) {
		h.counts.blind.Store(true)
		h.tick(time.Duration(boottime()))
		return blind
	}
	h.counts.blind.Store(false)
	h.counts.available.Store(h.facts.Available)
	h.goOn()
	h.missing()
	d := h.ring.Step(h.guard, &h.facts)
	errno := h.do(&d)
	h.tell(&d, errno)
	h.trace.look(&h.facts, d)
	h.answer(&d)
	h.tick(h.facts.At)
	h.counts.poll.Store(int64(d.Next))
	if took := boottime() - int64(h.facts.At); took > h.counts.longest.Load() {
		h.counts.longest.Store(took)
	}
	return d.Next
}

// answer is a copy of what the hot goroutine knows.
type answer struct {
	guard    *guard.Guard
	facts    guard.Facts
	decision guard.Decision
	ring     *guard.Ring // nil: is not asked for
	done     chan struct{}
}

// errNoLook is a hot goroutine that does not answer.
var errNoLook = errors.New("the guard does not come round to its looks")

// ask waits for a copy of what the hot goroutine knows; errNoLook when that does not come round in time.
func (h *hot) ask(ring bool) (*answer, error) {
	a := &answer{guard: guard.New(guard.Lines{}, guard.Pace{}), facts: *newFacts(), done: make(chan struct{}, 1)}
	if ring {
		a.ring = guard.NewRing(remembered)
	}
	h.asked.Store(a)
	nudge(h.woken)
	select {
	case <-a.done:
		return a, nil
	case <-time.After(sendBound):
		return nil, errNoLook
	}
}

// answer copies what was asked for into memory that the asker has brought.
func (h *hot) answer(d *guard.Decision) {
	a := h.asked.Swap(nil)
	if a == nil {
		return
	}
	h.guard.CopyTo(a.guard)
	tiers := append(a.facts.Tiers[:0], h.facts.Tiers...)
	a.facts, a.decision = h.facts, *d
	a.facts.Tiers = tiers
	if a.ring != nil {
		h.ring.CopyTo(a.ring)
	}
	a.done <- struct{}{}
}

// goOn finishes what was begun with tiers that are being killed.
func (h *hot) goOn() {
	for _, w := range h.table.units {
		if !w.killing {
			continue
		}
		if !w.up {
			w.killing = false
		} else if h.act.finish(w, h.facts.At) != 0 {
			w.lost = true
		}
	}
}

// missing has the keeper see to a unit that nobody is in any more: another start of it may be there already.
func (h *hot) missing() {
	for _, w := range h.table.units {
		if !w.up && !w.reported {
			w.reported = true
			nudge(h.ticks)
		}
	}
}

// do does what was decided. What cannot be done is not tried again: the tier is lost, and the next look says so.
func (h *hot) do(d *guard.Decision) (errno unix.Errno) {
	if d.Tier < 0 || d.Act != guard.Ask && d.Act != guard.Stop && d.Act != guard.Kill || h.table.pace.DryRun {
		return 0
	}
	w := h.table.units[d.Tier]
	switch d.Act {
	case guard.Ask:
		errno = h.act.ask(w)
	case guard.Stop:
		errno = h.act.stop(w)
	case guard.Kill:
		errno = h.act.kill(w, h.facts.At)
		h.counts.kills.Add(1)
	}
	if d.Reason != guard.Overdue && d.Reason != guard.Worse { // the others are about one that was told before
		h.counts.stops.Add(1)
	}
	w.lost = w.lost || errno != 0
	return errno
}

// tell puts what is to be heard of into the queue. A full one loses it: the action is done all the same.
func (h *hot) tell(d *guard.Decision, errno unix.Errno) {
	if !d.Tell() && errno == 0 {
		return
	}
	select {
	case h.told <- told{Decision: *d, wall: time.Now(), errno: errno, dryRun: h.table.pace.DryRun}:
	default:
		h.counts.lost.Add(1)
	}
}

// tick has other goroutines do their own, at a time when the processor is awake anyway.
func (h *hot) tick(now time.Duration) {
	if every := time.Duration(h.ticked.Load()); every > 0 && now-h.lastTick >= every {
		h.lastTick = now
		nudge(h.ticks)
	}
	every := gpuCalm
	if h.table.near(h.facts.Available) {
		every = gpuNear
	}
	if now-h.sampled >= every {
		h.sampled = now
		nudge(h.gpu)
	}
	if h.notify.every > 0 && now-h.fed >= h.notify.every {
		h.fed = now
		h.notify.feed()
	}
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// pause waits for the next look, for the pressure trigger or for a new table.
func (h *hot) pause(at time.Duration) {
	h.timer.Reset(at)
	select {
	case <-h.timer.C:
	case <-h.woken:
	}
}
