package queue

import "time"

// What one session may ask before it is slowed: a burst, then one request each interval. An agent's own work stays far
// below it. OpenCode asks again without bound and without pause after a stream that ended badly (188 requests in 20 s);
// slowed, that is 56.
const (
	Burst    = 16
	Interval = 500 * time.Millisecond
)

// Sessions remembers which sessions belong together, and how fast each asks. It keeps the room latest ones.
type Sessions struct {
	room           int
	byID           map[ID]*session
	newest, oldest *session
}

type session struct {
	id           ID
	root         ID        // the session that started the family
	due          time.Time // when the next request would come at a steady pace
	newer, older *session
}

// NewSessions makes a memory for room sessions.
func NewSessions(room int) *Sessions {
	return &Sessions{room: room, byID: make(map[ID]*session)}
}

// Enter notes a request of a session (0: it named none) that works for parent (0: for nobody). It returns the family, and
// for how long the request is to be held because the session asks too fast. Sub-agents of sub-agents are in the family of
// the first session as long as those between are remembered.
func (s *Sessions) Enter(id, parent ID, now time.Time) (family ID, wait time.Duration) {
	if parent != 0 {
		family = parent
		if p := s.byID[parent]; p != nil && p.root != 0 {
			family = p.root
		}
	}
	if id == 0 {
		return family, 0
	}
	one := s.touch(id)
	if parent != 0 {
		one.root = family
	}
	if family = one.root; family == 0 {
		family = id
	}
	if one.due.Before(now) {
		one.due = now
	}
	wait = max(one.due.Sub(now)-(Burst-1)*Interval, 0)
	one.due = one.due.Add(Interval)
	return family, wait
}

// Return takes back a request that was held and has hung up, since it came to nothing: else a client with little patience
// would never be let through.
func (s *Sessions) Return(id ID) {
	if one := s.byID[id]; one != nil {
		one.due = one.due.Add(-Interval)
	}
}

// touch finds a session and makes it the newest; the oldest is forgotten when there are too many.
func (s *Sessions) touch(id ID) *session {
	one := s.byID[id]
	switch {
	case one == nil && len(s.byID) >= s.room:
		one = s.oldest
		s.unlink(one)
		delete(s.byID, one.id)
		*one = session{id: id}
	case one == nil:
		one = &session{id: id}
	case one == s.newest:
		return one
	default:
		s.unlink(one)
	}
	s.byID[id] = one
	one.older = s.newest
	if s.newest != nil {
		s.newest.newer = one
	} else {
		s.oldest = one
	}
	s.newest = one
	return one
}

func (s *Sessions) unlink(one *session) {
	if one.newer != nil {
		one.newer.older = one.older
	} else {
		s.newest = one.older
	}
	if one.older != nil {
		one.older.newer = one.newer
	} else {
		s.oldest = one.newer
	}
	one.newer, one.older = nil, nil
}
