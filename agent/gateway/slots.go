package gateway

import "sync"

// slots bound how many connections of clients there are. The bound may change; who is connected then stays.
type slots struct {
	mu         sync.Mutex
	used, most int
}

func newSlots(most int) *slots { return &slots{most: most} }

// take takes a slot if there is one.
func (s *slots) take() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used >= s.most {
		return false
	}
	s.used++
	return true
}

func (s *slots) give() {
	s.mu.Lock()
	s.used--
	s.mu.Unlock()
}

func (s *slots) set(most int) {
	s.mu.Lock()
	s.most = most
	s.mu.Unlock()
}

func (s *slots) count() (used, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used, s.most
}
