package gateway

import (
	"slices"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// report counts the requests by tier, says for how long those without one have had none, and names the units that are to
// go and that nothing here uses any more.
func (p *pool) report() (inFlight map[string]int, idle map[string]float64, drained []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	inFlight, idle = make(map[string]int), make(map[string]float64)
	for _, r := range p.routes {
		drained = p.count(r, inFlight, drained)
	}
	for _, r := range p.leaving {
		drained = p.count(r, inFlight, drained)
	}
	for tier, r := range p.routes {
		if ended, known := p.ended[r.Unit]; known && inFlight[tier] == 0 {
			idle[tier] = time.Since(ended).Seconds()
		}
	}
	slices.Sort(drained)
	return inFlight, idle, drained
}

// count adds the requests of a unit to those of its tier, and the unit to those that are drained when it is.
func (p *pool) count(r api.Route, inFlight map[string]int, drained []string) []string {
	n := p.inFlightOn(r.Unit)
	if n > 0 {
		inFlight[r.Tier] += n
	}
	u := p.units[r.Unit]
	if leaves(r) && n == 0 && (u == nil || len(u.conns) == 0 && len(u.calls) == 0) {
		drained = append(drained, r.Unit)
	}
	return drained
}

func (p *pool) inFlightOn(unit string) int {
	n := p.elder[unit]
	if u := p.units[unit]; u != nil {
		n += u.uses
	}
	return n
}

func leaves(r api.Route) bool { return r.State == api.Draining || r.State == api.Stopping }

// leavers counts what each unit that is to go still has in flight.
func (p *pool) leavers() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	load := make(map[string]int)
	note := func(r api.Route) {
		if n := p.inFlightOn(r.Unit); n > 0 && leaves(r) {
			load[r.Unit] = n
		}
	}
	for _, r := range p.routes {
		note(r)
	}
	for _, r := range p.leaving {
		note(r)
	}
	return load
}

// load is the number of requests by unit, those of a predecessor included.
func (p *pool) load() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	load := make(map[string]int)
	for name, n := range p.elder {
		load[name] = n
	}
	for name, u := range p.units {
		if n := len(u.calls); n > 0 {
			load[name] += n
		}
	}
	return load
}
