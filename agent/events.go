package agent

import (
	"sync"
	"time"

	"github.com/tierd/tierd/agent/api"
)

const (
	keepEvents  = 500 // for those who come later
	eventBuffer = 256 // for each subscriber
)

// eventLog remembers the last events and hands each to whoever subscribed. It has a lock of its own, so that a
// subscriber never waits for the loop; the loop never waits for a subscriber.
type eventLog struct {
	mu     sync.Mutex
	seq    uint64
	ring   []api.Event
	subs   map[chan api.Event]bool
	closed bool
}

func newEventLog() *eventLog { return &eventLog{subs: map[chan api.Event]bool{}} }

// add numbers an event and hands it on. A subscriber whose buffer is full gets a note instead and is dropped.
func (l *eventLog) add(e api.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seq++
	e.Seq, e.Time = l.seq, time.Now()
	l.ring = append(l.ring, e)
	if len(l.ring) > keepEvents {
		l.ring = append([]api.Event(nil), l.ring[len(l.ring)-keepEvents:]...)
	}
	for ch := range l.subs {
		if len(ch) < eventBuffer { // the channel has one place more, for the note
			ch <- e
			continue
		}
		ch <- api.Event{Seq: e.Seq, Time: e.Time, Kind: "dropped", Text: "events were lost here: they were not read fast enough"}
		delete(l.subs, ch)
		close(ch)
	}
}

// close ends every subscription.
func (l *eventLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for ch := range l.subs {
		delete(l.subs, ch)
		close(ch)
	}
}

// Events returns the remembered events whose Seq is greater than after, the oldest first.
func (a *Agent) Events(after uint64) []api.Event {
	l := a.events
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, e := range l.ring {
		if e.Seq > after {
			return append([]api.Event(nil), l.ring[i:]...)
		}
	}
	return nil
}

// Subscribe returns a channel that gets each event from now on, and a function that ends the subscription. The channel
// is closed when the subscriber does not keep up, after a last event that says so, and when the agent ends.
func (a *Agent) Subscribe() (<-chan api.Event, func()) {
	l := a.events
	ch := make(chan api.Event, eventBuffer+1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		close(ch)
		return ch, func() {}
	}
	l.subs[ch] = true
	return ch, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.subs[ch] {
			delete(l.subs, ch)
			close(ch)
		}
	}
}
