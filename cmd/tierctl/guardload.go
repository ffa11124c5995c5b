package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/rocm"
	"github.com/tierd/tierd/units"
)

// load is memory that `tierctl guard test` takes, and under which conditions. It runs in a process of its own, which the
// kernel ends before any other, and which ends with the one that started it.
type load struct {
	size  uint64 // in all, at most
	quick uint64 // available memory down to which there is no pause: what lies above all lines is no test
	rate  uint64 // a second, from there on
	floor uint64 // available memory at which everything is given back at once

	available func() (uint64, error)
	take      func(n uint64) error
}

// loadReport is one line of the process that takes the memory.
type loadReport struct {
	Time      time.Time `json:"time"`
	Taken     uint64    `json:"taken"`
	Available uint64    `json:"available"`
	Phase     string    `json:"phase"` // "quick", "paced", "holding", "floor": the last one before it ends by itself
}

// loadStep is how often the load looks at what is available, and at the least reports. Taken at the rate, a step is a small
// part of what lies between two lines.
const loadStep = 5 * time.Millisecond

// quickStep is what is taken between two looks where there is no pause.
const quickStep = 32 << 20

// run takes memory and reports, until it may take no more, then holds it. hold ends the taking early; the end of ctx, or of
// the memory that is available, ends everything.
func (l load) run(ctx context.Context, hold <-chan struct{}, report func(loadReport) error) error {
	tick := time.NewTicker(loadStep)
	defer tick.Stop()
	r := loadReport{Phase: "quick"}
	last := time.Now()
	for {
		available, err := l.available()
		if err != nil {
			return err
		}
		r.Time, r.Available = time.Now(), available
		switch {
		case available < l.floor:
			r.Phase = "floor"
		case r.Taken >= l.size:
			r.Phase = "holding"
		case r.Phase == "quick" && available <= l.quick:
			r.Phase = "paced"
		}
		if err := report(r); err != nil || r.Phase == "floor" {
			return err
		}
		if r.Phase != "quick" {
			select {
			case <-ctx.Done():
				return nil
			case <-hold:
				hold, r.Phase = nil, "holding"
			case <-tick.C:
			}
		}
		n := l.step(r, time.Since(last))
		last = time.Now()
		if err := l.take(n); err != nil {
			return fmt.Errorf("cannot take %s more, after %s: %w", units.Bytes(n), units.Bytes(r.Taken), err)
		}
		r.Taken += n
	}
}

// step is how much comes next, after so long: a kernel with a slow clock, and one that is busy, leave out ticks.
func (l load) step(r loadReport, since time.Duration) uint64 {
	step := uint64(0)
	switch r.Phase {
	case "quick":
		step = min(quickStep, r.Available-min(r.Available, l.quick))
	case "paced":
		step = uint64(float64(l.rate) * min(since, 4*loadStep).Seconds()) // but never in leaps
	default:
		return 0
	}
	page := uint64(os.Getpagesize())
	return min((step+page-1)/page*page, l.size-r.Taken)
}

// guardLoadCommand is the process that takes the memory. It is hidden: nobody else has use for it.
func (a *app) guardLoadCommand() *cobra.Command {
	var l load
	var dmaHeap bool
	cmd := &cobra.Command{
		Use:    "load",
		Short:  "Take memory, for tierctl guard test",
		Long:   "Take memory in steps, a report a line. A line on standard input ends the taking, its end\nends the process.",
		Hidden: true,
		Args:   takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			// Nothing else may be chosen in its place, by the kernel or by whatever goes by this score.
			if err := os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0); err != nil {
				return fmt.Errorf("cannot make this process the first that the kernel ends: %w", err)
			}
			l.available = availableNow
			l.take = takePages
			if dmaHeap {
				heap, err := openHeap()
				if err != nil {
					return err
				}
				l.take = heap.take
			}
			out := json.NewEncoder(a.stdout)
			ctx, hold := commandsFrom(cmd.Context(), a.stdin)
			return l.run(ctx, hold, func(r loadReport) error { return out.Encode(r) })
		},
	}
	cmd.Flags().Uint64Var(&l.size, "size", 0, "bytes in all")
	cmd.Flags().Uint64Var(&l.quick, "quick", 0, "available memory down to which there is no pause")
	cmd.Flags().Uint64Var(&l.rate, "rate", 0, "bytes a second from there on")
	cmd.Flags().Uint64Var(&l.floor, "floor", 0, "available memory at which everything is given back")
	cmd.Flags().BoolVar(&dmaHeap, "dma-heap", false, "take it from the DMA heap, in no process and no cgroup")
	return cmd
}

// commandsFrom reads what the one that started this process says: a line ends the taking, the end of the input everything. It
// comes also when that one is killed, since nobody else holds the other end.
func commandsFrom(ctx context.Context, in io.Reader) (context.Context, <-chan struct{}) {
	ctx, end := context.WithCancel(ctx)
	hold := make(chan struct{})
	go func() {
		defer end()
		lines := bufio.NewScanner(in)
		for first := true; lines.Scan(); first = false {
			if first {
				close(hold)
			}
		}
	}()
	return ctx, hold
}

// availableNow is what a new process could have.
func availableNow() (uint64, error) {
	m, err := rocm.Meminfo("/")
	if err != nil {
		return 0, err
	}
	free := m.Free()
	if free == nil {
		return 0, errors.New("the kernel does not tell how much memory is available")
	}
	return *free, nil
}

// takePages takes memory of this process for good, and writes to all of it something that neither zram nor the kernel's
// merging of pages makes smaller.
func takePages(n uint64) error {
	if n == 0 {
		return nil
	}
	mem, err := unix.Mmap(-1, 0, int(n), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return err
	}
	fill(mem)
	return nil
}

// fill writes numbers of a xorshift generator (Marsaglia 2003, 64 bits), at several gigabytes a second.
func fill(mem []byte) {
	x := rand.Uint64() | 1
	for ; len(mem) >= 8; mem = mem[8:] {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		binary.NativeEndian.PutUint64(mem, x)
	}
}
