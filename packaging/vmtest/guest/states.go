package main

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// states knows how systemd's units are, as of the last answer. Asking is kept apart from sampling: systemd answers late
// when it has much to do, which is just when the samples matter most.
type states struct {
	mu    sync.Mutex
	known map[string]string
}

// unasked is the state of a unit that systemd has said nothing about yet.
const unasked = "unasked"

// of is the unit's ActiveState as last heard. A unit that is new here is asked for from now on.
func (s *states) of(unit string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = map[string]string{}
	}
	if s.known[unit] == "" {
		s.known[unit] = unasked
	}
	return s.known[unit]
}

// refresh asks for every unit once.
func (s *states) refresh(ask func(unit string) (string, error)) error {
	s.mu.Lock()
	units := slices.Sorted(maps.Keys(s.known))
	s.mu.Unlock()
	for _, unit := range units {
		state, err := ask(unit)
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.known[unit] = state
		s.mu.Unlock()
	}
	return nil
}

// follow refreshes again and again until that fails.
func (s *states) follow(ask func(unit string) (string, error), every time.Duration) error {
	for {
		if err := s.refresh(ask); err != nil {
			return err
		}
		time.Sleep(every)
	}
}
