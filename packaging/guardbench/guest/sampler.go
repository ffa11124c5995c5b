package main

import (
	"fmt"
	"runtime"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/packaging/guardbench/trial"
)

// Times of a run.
const (
	period  = 5 * time.Millisecond
	settle  = 2500 * time.Millisecond // after the last that happened, a run is over
	longest = 18 * time.Second        // at most: with zram the load takes minutes to get all
	endless = 25 * time.Second        // at most, of a load without end
)

// sampler looks at memory every 5 ms, before everybody else, and notes when processes end. It makes its system calls without
// telling Go's scheduler, which could otherwise give its place to another thread.
type sampler struct {
	limit        time.Duration
	leaker       *unit
	units        []*unit // tiers, and the load if there is one
	fds          []unix.PollFd
	meminfo, psi int
	buffer       []byte
	begin        int64 // CLOCK_MONOTONIC, nanoseconds
	samples      []trial.Sample
	exits        []int64 // microseconds since begin; 0: still there
}

func newSampler(leaker *unit, units []*unit, limit time.Duration) (*sampler, error) {
	s := &sampler{limit: limit, leaker: leaker, units: units, buffer: make([]byte, 16<<10), exits: make([]int64, len(units))}
	for _, u := range units {
		fd, err := unix.PidfdOpen(u.pid, 0)
		if err != nil {
			return nil, fmt.Errorf("cannot watch %s: %w", u.name, err)
		}
		s.fds = append(s.fds, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	var err error
	if s.meminfo, err = unix.Open("/proc/meminfo", unix.O_RDONLY, 0); err != nil {
		return nil, err
	}
	if s.psi, err = unix.Open("/proc/pressure/memory", unix.O_RDONLY, 0); err != nil {
		return nil, err
	}
	s.samples = make([]trial.Sample, int(limit/period)+64)
	for i := range s.samples { // so that every page is there
		s.samples[i].At = 1
	}
	s.samples = s.samples[:0]
	return s, nil
}

func monotonic() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return t.Nano()
}

// watch tells the leaker to go and returns when all is over.
func (s *sampler) watch(begin func()) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := schedule(unix.SCHED_FIFO, 50); err != nil {
		return fmt.Errorf("cannot come before others: %w", err)
	}
	defer schedule(unix.SCHED_NORMAL, 0) // what this thread starts later would inherit it
	leaker := slices.Index(s.units, s.leaker)
	s.begin = monotonic()
	begin()
	next := s.begin
	last := int64(0) // microseconds at which something happened
	for len(s.samples) < cap(s.samples) {
		next += int64(period)
		t := unix.NsecToTimespec(next)
		unix.RawSyscall6(unix.SYS_CLOCK_NANOSLEEP, unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, uintptr(unsafe.Pointer(&t)), 0, 0, 0)
		now := monotonic()
		if now > next+int64(period) {
			next = now // no bursts after a stall
		}
		at := (now - s.begin) / 1000
		if s.look(at) {
			last = at
		}
		full := int64(s.leaker.page.Full.Load())
		if full > 0 {
			last = max(last, (full-s.begin)/1000)
		}
		over := full > 0 || s.exits[leaker] > 0
		if over && at-last > settle.Microseconds() || at > s.limit.Microseconds() {
			break
		}
	}
	return nil
}

func schedule(policy, priority uint32) error {
	return unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: policy, Priority: priority}, 0)
}

// look takes one sample. Whether a process has ended since the last one.
func (s *sampler) look(at int64) (ended bool) {
	one := trial.Sample{At: at}
	text := s.read(s.meminfo)
	one.Available = field(text, memAvailable) << 10
	one.SwapFree = field(text, swapFree) << 10
	one.Full = field(after(s.read(s.psi), fullLine), total)
	s.samples = append(s.samples, one)
	var zero unix.Timespec
	n, _, _ := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&s.fds[0])), uintptr(len(s.fds)), uintptr(unsafe.Pointer(&zero)), 0, 0, 0)
	if int(n) <= 0 {
		return false
	}
	for i := range s.fds {
		if s.fds[i].Revents != 0 {
			s.exits[i], s.fds[i].Fd, s.fds[i].Revents = max(at, 1), -1, 0
			ended = true
		}
	}
	return ended
}

const (
	memAvailable = "MemAvailable:"
	swapFree     = "SwapFree:"
	fullLine     = "full "
	total        = "total="
)

// after is what follows a text in another.
func after(text []byte, mark string) []byte {
	for i := 0; i+len(mark) <= len(text); i++ {
		if string(text[i:i+len(mark)]) == mark {
			return text[i+len(mark):]
		}
	}
	return nil
}

func (s *sampler) read(fd int) []byte {
	n, _, errno := unix.RawSyscall6(unix.SYS_PREAD64, uintptr(fd), uintptr(unsafe.Pointer(&s.buffer[0])), uintptr(len(s.buffer)), 0, 0, 0)
	if errno != 0 {
		return nil
	}
	return s.buffer[:n]
}

func (s *sampler) close() {
	unix.Close(s.meminfo)
	unix.Close(s.psi)
	for _, f := range s.fds {
		if f.Fd >= 0 {
			unix.Close(int(f.Fd))
		}
	}
}

// seen puts what was noted into the record.
func (s *sampler) seen(r *trial.Record) {
	r.Samples, r.Exits, r.Terms = s.samples, map[string]int64{}, map[string]int64{}
	for i, u := range s.units {
		if s.exits[i] > 0 {
			r.Exits[u.name] = s.exits[i]
		}
		if term := int64(u.page.Term.Load()); term > 0 {
			r.Terms[u.name] = (term - s.begin) / 1000
		}
	}
	if full := int64(s.leaker.page.Full.Load()); full > 0 {
		r.Full = (full - s.begin) / 1000
	}
	r.Taken = int64(s.leaker.page.Taken.Load())
}
