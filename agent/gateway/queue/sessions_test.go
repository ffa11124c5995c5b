package queue

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestFamilies(t *testing.T) {
	type ask struct{ id, parent, want ID }
	for _, c := range []struct {
		rule string
		asks []ask
	}{
		{"a session is its own family", []ask{{1, 0, 1}, {2, 0, 2}}},
		{"a sub-agent is in the family of its session", []ask{{1, 0, 1}, {2, 1, 1}, {3, 1, 1}}},
		{"so is a sub-agent's sub-agent", []ask{{2, 1, 1}, {3, 2, 1}, {4, 3, 1}}},
		{"and a request that does not repeat whom it works for", []ask{{2, 1, 1}, {2, 0, 1}}},
		{"a parent alone names the family", []ask{{2, 1, 1}, {0, 2, 1}, {0, 9, 9}}},
		{"nobody is a family, too", []ask{{0, 0, 0}}},
		{"sessions that name each other end somewhere", []ask{{1, 2, 2}, {2, 1, 2}, {1, 2, 2}}},
	} {
		s := NewSessions(10)
		for i, a := range c.asks {
			if got, _ := s.Enter(a.id, a.parent, time.Time{}); got != a.want {
				t.Errorf("%s: request %d is of family %d, want %d", c.rule, i, got, a.want)
			}
		}
	}
}

func TestTheMemoryOfSessionsIsBounded(t *testing.T) {
	now := time.Now()
	s := NewSessions(3)
	for id := ID(1); id <= 100; id++ {
		s.Enter(1000, 7, now) // always in use
		s.Enter(id, 5, now)
		if len(s.byID) > 3 {
			t.Fatalf("remembers %d", len(s.byID))
		}
	}
	if family, _ := s.Enter(1000, 0, now); family != 7 {
		t.Errorf("the session that is always in use was forgotten: family %d", family)
	}
	if family, _ := s.Enter(1, 0, now); family != 1 {
		t.Errorf("one that was not in use is remembered: family %d", family)
	}
	n := 0
	for one := s.newest; one != nil; one = one.older {
		if s.byID[one.id] != one || one.older != nil && one.older.newer != one {
			t.Fatal("the order is broken")
		}
		n++
	}
	if n != len(s.byID) {
		t.Errorf("%d in order, %d remembered", n, len(s.byID))
	}
}

func TestASessionThatAsksTooFastIsSlowed(t *testing.T) {
	s, now := NewSessions(3), time.Now()
	for i := range Burst {
		if _, wait := s.Enter(1, 0, now); wait != 0 {
			t.Fatalf("request %d of a burst waits %v", i+1, wait)
		}
	}
	for i := range 4 {
		if _, wait := s.Enter(1, 0, now); wait != time.Duration(i+1)*Interval {
			t.Errorf("request %d beyond waits %v", i+1, wait)
		}
	}
	if _, wait := s.Enter(2, 0, now); wait != 0 {
		t.Errorf("another session waits %v", wait)
	}
	if _, wait := s.Enter(0, 0, now); wait != 0 {
		t.Errorf("who names no session waits %v", wait)
	}
	// One that gave up while it was held leaves its place to the next.
	s.Return(1)
	if _, wait := s.Enter(1, 0, now); wait != 4*Interval {
		t.Errorf("after one that gave up: %v", wait)
	}
	s.Return(99)
	if _, wait := s.Enter(1, 0, now.Add(time.Minute)); wait != 0 {
		t.Errorf("after a minute: %v", wait)
	}
}

// In the loop that OpenCode falls into, each request follows the end of the last at once.
func TestTheEndlessLoopOfRetriesIsSlowed(t *testing.T) {
	s, now := NewSessions(3), time.Now()
	n := 0
	for end := now.Add(20 * time.Second); now.Before(end); n++ {
		_, wait := s.Enter(1, 0, now)
		now = now.Add(wait + 100*time.Millisecond)
	}
	if n < 50 || n > 56 {
		t.Errorf("%d requests in 20 s", n)
	}
}

// In any stretch of time a session gets no more than the burst and one each interval, and one that stays below is never held.
func TestPace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, now := NewSessions(3), time.Now()
		var through []time.Time
		for range rapid.IntRange(1, 200).Draw(t, "requests") {
			now = now.Add(time.Duration(rapid.IntRange(0, 1500).Draw(t, "pause")) * time.Millisecond)
			_, wait := s.Enter(1, 0, now)
			if wait < 0 {
				t.Fatal("a wait below zero")
			}
			if rapid.IntRange(0, 9).Draw(t, "gives up") == 0 && wait > 0 {
				s.Return(1)
				continue
			}
			through = append(through, now.Add(wait))
			now = now.Add(wait)
		}
		for i := range through {
			for j := i; j < len(through); j++ {
				if most := Burst + int(through[j].Sub(through[i])/Interval); j-i+1 > most {
					t.Fatalf("%d in %v", j-i+1, through[j].Sub(through[i]))
				}
			}
		}
		_, wait := s.Enter(2, 0, now)
		for range 100 {
			now = now.Add(Interval)
			if _, w := s.Enter(2, 0, now); w+wait > 0 {
				t.Fatal("a steady pace is held")
			}
		}
	})
}

func BenchmarkEnter(b *testing.B) {
	s, now := NewSessions(1024), time.Now()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.Enter(ID(i%64+1), 0, now)
	}
}
