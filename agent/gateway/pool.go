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
	"github.com/tierd/tierd/agent/gateway/queue"
)

// Source is the seam between routing and forwarding: it hands out the right to send one request to a tier. The pool never
// waits; the hold, which is around it, does.
type Source interface {
	// Acquire returns a lease that the caller must release, or a *failure that explains to the client why there is
	// none. It may wait until ctx ends, which is when the client hangs up.
	Acquire(ctx context.Context, ask Ask) (*Lease, error)
}

// Ask is what a request wants, and who wants it.
type Ask struct {
	Tier    string
	Session string // X-Session-Id; "" when the client names none
	Parent  string // X-Parent-Session-Id: the session that this one works for
	Light   bool   // the engine answers without working on a prompt, so that it needs no turn: /props, /tokenize, a GET
	Probe   bool   // it asks how the engine is, and never waits: it must not be what a tier is started for

	// Path and Body are what the engine gets; they tell whether it can be told a slot.
	Path string
	Body []byte

	// Beat, unless nil, is called while a stream waits whose client needs a byte now and then. It runs within Acquire.
	Beat func()

	// Unsent is set for another attempt, see again: the failure of the last one.
	Unsent          error
	tries           int           // attempts that the engine took no connection for
	spent           time.Duration // in waits before this one
	session, family queue.ID
}

// Lease is the right to send one request to one engine.
type Lease struct {
	Route api.Route
	// Slot is the one of llama-server's that the request is to have, counted from one; 0: the engine chooses.
	Slot    int
	release func()

	pool *pool
	unit *unit
	call *call

	// What the hold knows of the lease; after, unless nil, is called at its end.
	after func(*Lease)
	held  *heldTier
	turn  queue.Turn
	slots *queue.Slots
	ask   Ask
}

// connect gives the lease's request a connection to the engine. fresh: one that no request has used yet.
func (l *Lease) connect(ctx context.Context, fresh bool) (*conn, error) {
	if l.gone() {
		return nil, errTierGone
	}
	return l.pool.connect(ctx, l.unit, fresh)
}

// keep gives back a connection that is fit for another request.
func (l *Lease) keep(c *conn) { l.pool.keep(l.unit, c, mostIdle(l.Route)) }

// gone tells that the tier had to go, and that the lease's connections were closed for that.
func (l *Lease) gone() bool { return l.call.cut.Load() }

// Release ends the lease, whose connections must have been given back or closed.
func (l *Lease) Release() {
	l.release()
	if l.after != nil {
		l.after(l)
	}
}

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
