package guard

import "time"

const (
	quickest = 10 * time.Millisecond  // between two looks
	slowest  = 500 * time.Millisecond // a line crossed meanwhile has to be fed by FillRate
	holding  = 100 * time.Millisecond // below the soft line, with nothing to do but watch
)

// Pace is how fast the host's memory can go, and whether anything is done about it.
type Pace struct {
	FillRate uint64 `json:"fill_rate"`         // bytes a second that can be taken at most
	DryRun   bool   `json:"dry_run,omitempty"` // nothing will be done, so nobody will go
}

// leastFill is what even a small host can fill in a second: a program that writes to all of its memory reaches that.
const leastFill = 4 * gib

// HostPace is the pace of a host of which nothing but its memory in bytes is known: all of it in eight seconds, 16 GiB/s at
// 128 GiB, and 4 GiB/s at least.
func HostPace(total uint64) Pace { return Pace{FillRate: max(total/8, leastFill)} }

// next is after how long memory could have reached a line, at the rate the host is capable of or twice the one at which it
// falls: a fall that goes on is then met with ever shorter steps, and is seen within one of the quickest.
func (p Pace) next(available, line uint64, slope int64) time.Duration {
	if available <= line {
		return quickest
	}
	return min(max(until(available-line, max(p.FillRate, 2*min(falling(slope), 1<<62))), quickest), slowest)
}

// until is how long an amount lasts at a rate; an hour stands for all that is longer.
func until(amount, rate uint64) time.Duration {
	if rate == 0 || amount/rate >= 3600 {
		return time.Hour
	}
	return time.Duration(float64(amount) / float64(rate) * float64(time.Second))
}

// falling is the rate of a fall in bytes a second; 0 for a rise.
func falling(slope int64) uint64 {
	if slope >= 0 {
		return 0
	}
	return uint64(-slope)
}
