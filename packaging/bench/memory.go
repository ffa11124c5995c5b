package main

import (
	"fmt"
	"time"
)

// memory is what a gateway has resident, in bytes.
type memory struct{ fresh, resident, peak uint64 }

// measureMemory gives a fresh gateway 100,000 requests and 1,000 streams.
func measureMemory(r *rig) (memory, error) {
	var m memory
	g, err := r.freshGateway()
	if err != nil {
		return m, err
	}
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
