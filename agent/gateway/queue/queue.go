// Package queue decides which request is served next at a tier, which slot of the engine it gets, and how fast one session
// may ask. It is pure: it is told what happens and when, and neither locks nor waits nor reads a clock.
package queue

import (
	"errors"
	"time"
)

// ID names a session or a family of sessions; 0 is what belongs to none. It is a hash of what the client sent, so that
// nothing here keeps a client's text.
type ID uint64

// ErrFull says that as many requests wait as may.
var ErrFull = errors.New("the queue is full")

// Queue is the line in front of one tier. Families of sessions take turns: of those that wait, the one with the fewest
// requests in service is next, and among equals the one whose last turn was longest ago. So a session with twenty sub-agents
// gets no more of a tier than one that works alone. Within a family it is first come, first served.
//
// With n families, a limit of c and no request that takes longer than s, the first waiting request of a family waits no
// longer than s·(1 + n/c), rounded up: after s its family has nothing in service any more, and then each of the others can
// go ahead of it once. TestNobodyStarves holds it to that.
//
// Callers ask Next after whatever may have made room: Open, SetLimit, SetOthers, Switch, Done.
type Queue struct {
	open   bool
	limit  int // requests in service at the same time; 0: any number
	room   int // requests that may wait
	others int // in service by another process

	inFlight int
	waiting  int
	epoch    uint64 // counts the engines that the tier has had
	clock    uint64 // orders turns

	families map[ID]*family
	line     []*family // those with waiting requests, in no order
	light    list      // those that need no turn
	idle     int       // families without a request, which are remembered
}

// family is the sessions that share one turn.
type family struct {
	id       ID
	inFlight int
	waiting  list
	turn     uint64 // when it had its last turn; for one that nobody remembers, when it began to wait
	idle     bool
}

// Turn is the right to be served. The zero Turn is that of a request that needs none.
type Turn struct {
	family  *family
	epoch   uint64
	counted bool
}

// Request is one that waits. Owner is the caller's.
type Request struct {
	Family ID
	Light  bool // needs no turn, only a tier that is ready
	Since  time.Time
	Owner  any

	turn       Turn
	family     *family
	waits      bool
	prev, next *Request
}

// Turn is what the request has got from Next.
func (r *Request) Turn() Turn { return r.turn }

// New makes the queue of a tier that is not ready. At most room requests may wait.
func New(room int) *Queue {
	return &Queue{room: room, families: make(map[ID]*family)}
}

// Open tells whether the tier takes requests.
func (q *Queue) Open(open bool) { q.open = open }

// SetLimit sets how many requests may be in service at the same time; 0: any number.
func (q *Queue) SetLimit(n int) { q.limit = n }

// SetOthers tells how many requests another process has in service at the same engine. They count against the limit.
func (q *Queue) SetOthers(n int) { q.others = n }

// Switch tells that another engine serves the tier now: what is in service elsewhere no longer counts.
func (q *Queue) Switch() {
	q.epoch++
	q.inFlight = 0
	for _, f := range q.families {
		f.inFlight = 0
		q.rest(f)
	}
}

// Try gives a turn to a request that need not wait, and false to one that has to.
func (q *Queue) Try(id ID, light bool) (Turn, bool) {
	if !q.open || !light && (len(q.line) > 0 || q.full()) {
		return Turn{}, false
	}
	if light {
		return Turn{}, true
	}
	return q.serve(id), true
}

// Wait puts a request into the line, or returns ErrFull.
func (q *Queue) Wait(r *Request) error {
	if q.waiting >= q.room {
		return ErrFull
	}
	q.waiting++
	r.waits, r.turn = true, Turn{}
	if r.Light {
		q.light.push(r)
		return nil
	}
	f := q.family(r.Family)
	if f.waiting.first == nil {
		q.line = append(q.line, f)
	}
	if f.turn == 0 {
		q.clock++
		f.turn = q.clock
	}
	r.family = f
	f.waiting.push(r)
	return nil
}

// Leave takes a request out of the line, and tells whether it still was in it: else it has its turn already.
func (q *Queue) Leave(r *Request) bool {
	if !r.waits {
		return false
	}
	q.remove(r)
	return true
}

// Next takes the request whose turn it is out of the line and gives it its turn; nil when none may go.
func (q *Queue) Next() *Request {
	if !q.open {
		return nil
	}
	if r := q.light.first; r != nil {
		q.remove(r)
		return r
	}
	if q.full() {
		return nil
	}
	f := q.next()
	if f == nil {
		return nil
	}
	r := f.waiting.first
	r.turn = q.serve(f.id)
	q.remove(r)
	return r
}

// Done ends a turn.
func (q *Queue) Done(t Turn) {
	if !t.counted || t.epoch != q.epoch {
		return
	}
	q.inFlight--
	if t.family != nil {
		t.family.inFlight--
		q.rest(t.family)
	}
}

// Waiting is the number of requests in the line.
func (q *Queue) Waiting() int { return q.waiting }

// InFlight is the number of turns that have not ended.
func (q *Queue) InFlight() int { return q.inFlight }

// Oldest is since when the first of those in the line has waited; zero when nobody does.
func (q *Queue) Oldest() time.Time {
	var oldest time.Time
	look := func(r *Request) {
		if r != nil && (oldest.IsZero() || r.Since.Before(oldest)) {
			oldest = r.Since
		}
	}
	look(q.light.first)
	for _, f := range q.line {
		look(f.waiting.first)
	}
	return oldest
}

// First is any of those in the line, nil when it is empty.
func (q *Queue) First() *Request {
	if q.light.first != nil {
		return q.light.first
	}
	if len(q.line) > 0 {
		return q.line[0].waiting.first
	}
	return nil
}
