// Package rocm reports what the kernel says of GPUs and memory, from whatever root it is given.
package rocm

import (
	"context"
	"sync"
	"time"
)

// Snapshot is one look at a host. What could not be read is nil and among the Problems; what the kernel does not offer is nil
// and no problem.
type Snapshot struct {
	Time     time.Time
	Memory   Memory
	Swaps    []Swap
	Pressure Pressure
	Kernel   Kernel
	Platform Platform
	GPUs     []GPU    // by number of the card
	Clients  []Client // processes that use an AMD GPU, by pid
	// ClientsComplete tells that every process could be looked into. Without, there may be further clients.
	ClientsComplete bool
	Problems        []Problem
}

// Host reads one host. It may be used by several goroutines at once.
type Host struct {
	// Limit is how long one Snapshot waits for the host, one second unless it is changed before the first. The parts of a
	// Snapshot are read at the same time, so a card that hangs costs the limit once and keeps no other value back.
	Limit time.Duration

	source source
	calls  calls
	notes  *notes // of which files were read; nil: nobody asks

	platform platformCache
}

// Open reads the host whose files are under root: "/" for this one, or a recorded tree.
func Open(root string) *Host { return newHost(newTree(root)) }

func newHost(s source) *Host {
	return &Host{Limit: time.Second, source: s, calls: calls{open: map[string]*call{}}}
}

// Snapshot looks at the host. It returns after Limit at the latest, or when ctx ends, with what is known by then.
func (h *Host) Snapshot(ctx context.Context) Snapshot {
	ctx, cancel := context.WithTimeoutCause(ctx, h.Limit, errLimit)
	defer cancel()
	r := &reading{ctx: ctx, host: h}
	s := Snapshot{Time: time.Now()}
	var all sync.WaitGroup
	all.Go(func() {
		if m := parsed(r.group(), "proc/meminfo", parseMeminfo); m != nil {
			s.Memory = *m
		}
	})
	all.Go(func() { s.Swaps = r.swaps() })
	all.Go(func() { s.Pressure = r.pressure() })
	all.Go(func() { s.Kernel = r.kernel() })
	all.Go(func() { s.Platform = r.platform() })
	all.Go(func() { s.GPUs = r.gpus() })
	all.Go(func() { s.Clients, s.ClientsComplete = r.clients() })
	all.Wait()
	for i := range s.GPUs {
		if s.GPUs[i].AMD {
			s.GPUs[i].setPool(s.Kernel.PagesLimit)
		}
	}
	s.Problems = r.sorted()
	return s
}
