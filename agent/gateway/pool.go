package gateway

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// errTierGone ends the requests of a tier that stops.
var errTierGone = errors.New("the tier is stopping")

// pool keeps the connections to the engines. It obeys the states in the table: a draining unit takes no new request
// and gets its time limit, a unit that stops is cut off at once, since an engine does not end while a connection to
// it is open.
type pool struct {
	log     *slog.Logger
	changed func() // must not block; called when a unit has become free of requests or connections, or is no longer idle
	active  func() // must not block; called when a tier gets its first request or has answered its last, however soon after the last; probes are none

	mu      sync.Mutex
	routes  map[string]api.Route // by tier
	leaving []api.Route          // of units that serve what they have and get nothing new
	units   map[string]*unit
	elder   map[string]int       // requests by unit that a predecessor still serves
	ended   map[string]time.Time // by unit: when its last request ended
	heir    bool                 // a successor wants to know of every change of load
}

func newPool(log *slog.Logger, changed, active func()) *pool {
	return &pool{log: log, changed: changed, active: active, routes: map[string]api.Route{}, units: map[string]*unit{}, ended: map[string]time.Time{}}
}

// Acquire hands out a lease when the tier is ready by the table, and never waits.
func (p *pool) Acquire(_ context.Context, ask Ask) (*Lease, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.heir {
		defer p.changed()
	}
	route, ok := p.routes[ask.Tier]
	if !ok {
		return nil, notFound("model_not_found", "There is no tier %q any more.", ask.Tier)
	}
	if route.State != api.Ready {
		return nil, notReady(route)
	}
	u := p.units[route.Unit]
	if u == nil || u.socket != route.Socket {
		if u != nil {
			u.cut()
		}
		u = newUnit(route.Socket)
		p.units[route.Unit] = u
	}
	c := &call{probe: ask.Probe}
	u.calls[c] = struct{}{}
	if !c.probe {
		u.uses++
	}
	switch {
	case c.probe || u.uses > 1 || p.heir:
	case time.Since(p.ended[route.Unit]) > activityPause:
		defer p.changed() // it was idle, so that tierd may be about to stop it
	default:
		defer p.active()
	}
	l := &Lease{Route: route, pool: p, unit: u, call: c}
	l.release = func() { p.release(route.Unit, u, c) }
	return l, nil
}

func (p *pool) release(name string, u *unit, c *call) {
	p.mu.Lock()
	delete(u.calls, c)
	last := false
	if !c.probe {
		u.uses--
		last = u.uses == 0
	}
	if last {
		p.ended[name] = time.Now()
	}
	told := p.heir || u.leaving
	if u.leaving && len(u.calls) == 0 {
		u.closeConns()
	}
	p.mu.Unlock()
	if told {
		p.changed()
	}
	if last {
		p.active()
	}
}

// closed is called by a connection that has been closed, without the lock held.
func (p *pool) closed(u *unit, c *conn) {
	p.mu.Lock()
	delete(u.conns, c)
	told := u.leaving && len(u.conns) == 0
	p.mu.Unlock()
	if told {
		p.changed()
	}
}

// apply brings every unit into the state that the table's routes name. One in leaving, which was up before a switch, finishes
// what it has.
func (p *pool) apply(routes []api.Route, leaving ...api.Route) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.routes = make(map[string]api.Route, len(routes))
	p.leaving = leaving
	named := make(map[string]bool, len(routes)+len(leaving))
	for _, r := range routes {
		p.routes[r.Tier] = r
	}
	for _, r := range slices.Concat(routes, leaving) {
		named[r.Unit] = true
		u := p.units[r.Unit]
		switch {
		case u == nil:
		case r.State == api.Ready:
			u.stay()
		case r.State == api.Draining:
			p.drain(u, r)
		default:
			u.cut()
			delete(p.units, r.Unit)
		}
	}
	for name, u := range p.units {
		if !named[name] {
			u.cut()
			delete(p.units, name)
		}
	}
	maps.DeleteFunc(p.ended, func(name string, _ time.Time) bool { return !named[name] })
}

// drain lets the requests of a unit finish until its bound. A second table with the same state starts no second bound.
func (p *pool) drain(u *unit, r api.Route) {
	if u.leaving {
		return
	}
	u.leaving = true
	if len(u.calls) == 0 {
		u.closeConns()
		return
	}
	bound := time.Duration(r.Drain * float64(time.Second))
	u.bound = time.AfterFunc(bound, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if u.leaving && len(u.calls) > 0 {
			p.log.Warn("cut the requests that were in flight when the time to drain was over",
				"tier", r.Tier, "unit", r.Unit, "requests", len(u.calls), "drain", bound)
			u.cut()
		}
	})
}

// setHeir makes every change of the load known from now on.
func (p *pool) setHeir() {
	p.mu.Lock()
	p.heir = true
	p.mu.Unlock()
}

// setElder notes what a predecessor still serves; nil when it has ended.
func (p *pool) setElder(load map[string]int) {
	p.mu.Lock()
	p.elder = load
	p.mu.Unlock()
	p.changed()
}
