package queue

import (
	"slices"
	"testing"
	"time"
)

func TestWaitsAreCountedByTheirLength(t *testing.T) {
	var s Stats
	for _, d := range []time.Duration{0, 10 * time.Millisecond, 11 * time.Millisecond, time.Second, 5 * time.Minute} {
		s.Waited(d)
	}
	want := make([]uint64, len(Bounds)+1)
	want[0], want[1], want[3], want[len(Bounds)] = 2, 1, 1, 1
	if !slices.Equal(s.Buckets, want) || s.Waits != 5 || s.WaitSum < 301.02 || s.WaitSum > 301.03 {
		t.Errorf("%+v", s)
	}
	s.Refuse("a")
	s.Refuse("a")
	if s.Refused["a"] != 2 {
		t.Errorf("refused %v", s.Refused)
	}
}
