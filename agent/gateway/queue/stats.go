package queue

import (
	"slices"
	"time"
)

// Bounds are the upper bounds of the histogram of waits, in seconds; one more bucket holds what is above.
var Bounds = []float64{0.01, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 240}

// Stats counts what became of the requests of one tier since this process started, and tells what is now. A request that
// need not wait is in InFlight alone.
type Stats struct {
	Waiting  int           // now: for the tier to get ready, for a turn, or slowed
	InFlight int           // now: in service, those that need no turn not counted
	Longest  time.Duration // how long the oldest of those that wait has done so

	Waits   uint64   // requests that have waited and no longer do, whatever came of it
	WaitSum float64  // seconds that those have waited
	Buckets []uint64 // of those, by Bounds; not cumulative

	Held    uint64            // requests that came while the tier was not ready
	Slowed  uint64            // requests that were held because their session asked too fast
	Left    uint64            // requests whose client hung up while they waited
	Refused map[string]uint64 // requests that were answered with an error instead of a turn, by the error's code
}

// Waited counts a wait that has ended.
func (s *Stats) Waited(d time.Duration) {
	if s.Buckets == nil {
		s.Buckets = make([]uint64, len(Bounds)+1)
	}
	s.Waits++
	s.WaitSum += d.Seconds()
	i, _ := slices.BinarySearch(Bounds, d.Seconds())
	s.Buckets[i]++
}

// Refuse counts a request that is answered with an error.
func (s *Stats) Refuse(code string) {
	if s.Refused == nil {
		s.Refused = make(map[string]uint64)
	}
	s.Refused[code]++
}
