package main

import (
	"fmt"
	"time"
)

// memory is what a gateway has resident, in bytes.
type memory struct{ fresh, resident, peak uint64 }

// measureMemory gives a fresh gateway 100,000 requests and 1,000 streams.
func measureMemory(r *rig, path string) (memory, error) {
	var m memory
	last := len(r.running) - 1
	if err := r.running[last].stop(); err != nil {
		return m, err
	}
	r.running = r.running[:last]
	g, err := r.startGateway(path)
	if err != nil {
		return m, err
	}
	r.running = append(r.running, g)
	r.targets[len(r.targets)-1].pids = []int{g.pid()}
	if m.fresh, _, err = resident(g.pid()); err != nil {
		return m, err
	}
	for _, j := range []job{
		{Kind: smallJob, Conns: 4, Requests: 100_000},
		{Kind: streamJob, Conns: 50, Requests: 1000, Events: 20, Every: 5 * time.Millisecond},
	} {
		j.Address = r.tierd.address()
		if _, err := r.client.do(j); err != nil {
			return m, fmt.Errorf("memory: %w", err)
		}
	}
	m.resident, m.peak, err = resident(g.pid())
	return m, err
}
