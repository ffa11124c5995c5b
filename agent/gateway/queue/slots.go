package queue

// Slots are those of a llama-server with several. Each keeps the prompt of the last request that it served, so a session
// that comes back to its slot has its prompt worked on already.
//
// A slot is named only while every request in service has one named: an engine that chooses for one of them takes a free
// one, nobody here knows which, and a request for a slot by name waits for that slot even when others are free. So a
// request without a session, or on a path that takes no slot, leaves the choice to the engine for all that begin beside it.
type Slots struct {
	all     []slot
	unnamed int
	clock   uint64
}

type slot struct {
	session ID
	busy    bool
	used    uint64
}

// NewSlots makes the slots of an engine that has just started.
func NewSlots(n int) *Slots { return &Slots{all: make([]slot, n)} }

// Len is the number of slots.
func (s *Slots) Len() int { return len(s.all) }

// Take gives a request the slot that its session had last if that is free, else the free one that was unused for longest.
// Slots are counted from one; 0 leaves the choice to the engine. session is 0 for a request that can name none.
func (s *Slots) Take(session ID) int {
	best := -1
	if session != 0 && s.unnamed == 0 {
		best = s.choose(session)
	}
	if best < 0 {
		s.unnamed++
		return 0
	}
	s.clock++
	s.all[best] = slot{session: session, busy: true, used: s.clock}
	return best + 1
}

func (s *Slots) choose(session ID) int {
	best := -1
	for i, one := range s.all {
		switch {
		case one.busy:
		case one.session == session:
			return i
		case best < 0 || one.used < s.all[best].used:
			best = i
		}
	}
	return best
}

// Free takes back what Take gave.
func (s *Slots) Free(n int) {
	if n == 0 {
		s.unnamed--
		return
	}
	s.clock++
	s.all[n-1].busy, s.all[n-1].used = false, s.clock
}
