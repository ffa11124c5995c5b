// Package gateway turns a request into a tier that is ready, then proxies to it.
//
// It listens on one port per tier and on one port for all of them, and forwards over the engines' unix sockets. All
// it knows is tierd's last Table: it goes on with that one when tierd is away. Its listeners and that table lie in
// systemd's fd store, so that neither a crash nor a restart refuses a client.
package gateway

import (
	"cmp"
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/gateway/wire"
)

// Control is what the gateway asks of tierd; *api.Client is one.
type Control interface {
	// Metrics is what tierd counts, for those who scrape the gateway.
	Metrics(ctx context.Context) (api.Metrics, error)
	// Table waits until there is a table with Seq > after, or until tierd's own time limit, then returns the latest.
	Table(ctx context.Context, after uint64) (api.Table, error)
	Report(ctx context.Context, report api.GatewayReport) error
	// Ensure returns nil once the tier is ready, or an *api.Error that says why it will not be.
	Ensure(ctx context.Context, tier string) error
}

// Config is what main hands in. Zero limits mean the defaults.
type Config struct {
	Control   Control
	Overview  Overview // asked for the page; nil: it shows only what the gateway knows itself
	Log       *slog.Logger
	Notify    *Notifier           // nil when no service manager listens
	Inherited *Inherited          // descriptors from systemd's fd store or from a predecessor
	Reload    <-chan chan<- error // a wish to hand over; answered with nil once the successor serves

	MaxBody  int64 // bytes of a request body, unless the table says; default 64 MiB
	MaxConns int   // connections of clients, unless the table says; default 1024

	StopBound   time.Duration // what requests in flight get at SIGTERM; default 30 s
	RetireBound time.Duration // what they get after a handover; default 15 min
	Spawn       SpawnFunc     // starts the successor; nil means that a reload is refused
}

func (c *Config) setDefaults() {
	if c.MaxBody == 0 {
		c.MaxBody = 64 << 20
	}
	if c.MaxConns == 0 {
		c.MaxConns = 1024
	}
	if c.StopBound == 0 {
		c.StopBound = 30 * time.Second
	}
	if c.RetireBound == 0 {
		c.RetireBound = 15 * time.Minute
	}
	if c.Inherited == nil {
		c.Inherited = &Inherited{}
	}
	if c.Notify == nil {
		c.Notify = &Notifier{}
	}
}

// Gateway serves every listener by one handler. The goroutine of Run owns the listeners; requests see only the view,
// which is never changed once it is stored, and the pool, which has its own lock.
type Gateway struct {
	cfg    Config
	log    *slog.Logger
	pool   *pool
	hold   *hold
	source Source
	server *wire.Server
	ports  *listeners
	page   *page
	memory *tableMemory
	view   atomic.Pointer[view]

	metrics *metrics

	retiring atomic.Bool   // answers carry Connection: close
	changed  chan struct{} // something that a report to tierd tells is new
	active   chan struct{} // so are the requests in flight, which may wait a little
}

// New makes a gateway; nothing is opened before Run.
func New(cfg Config) *Gateway {
	cfg.setDefaults()
	g := &Gateway{cfg: cfg, log: cfg.Log, changed: make(chan struct{}, 1), active: make(chan struct{}, 1)}
	g.pool = newPool(cfg.Log, g.kick, g.nudge)
	g.metrics = newMetrics(g)
	g.hold = newHold(g.pool, cfg.Control, cfg.Log, g.nudge)
	g.source = g.hold
	g.page = newPage(g.newFeed())
	g.server = g.newServer()
	g.ports = newListeners(cfg.Log, fdStore{cfg.Notify}, cfg.MaxConns, g.metrics.refused, func(l limitedListener) {
		// Serve ends when its listener is closed, and that is the only way in which it ends.
		go func() { _ = g.server.Serve(l) }()
	})
	return g
}

// kick asks for a report to tierd. It never blocks: one waiting kick stands for all of them.
func (g *Gateway) kick() { poke(g.changed) }

// nudge is a kick that may wait until activityPause after the last report.
func (g *Gateway) nudge() { poke(g.active) }

func poke(ch chan<- struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// apply makes a table the one in force. Requests that run keep their route. The pool comes first: whoever is told that a tier
// drains can be sure that it takes no new request.
func (g *Gateway) apply(t api.Table) {
	t = keptAccess(t, g.view.Load())
	g.pool.apply(t.Routes, t.Leaving...)
	g.metrics.follow(t.Routes)
	g.ports.slots.set(cmp.Or(t.MaxConnections, g.cfg.MaxConns))
	g.hold.apply(t.Routes)
	g.view.Store(newView(t))
}

// maxBody is the most bytes that a request may have.
func (g *Gateway) maxBody() int64 {
	return cmp.Or(int64(g.view.Load().table.MaxBody), g.cfg.MaxBody)
}

// report is what tierd is to know now.
func (g *Gateway) report() api.GatewayReport {
	r := api.GatewayReport{Listeners: g.ports.report()}
	r.InFlight, r.Idle, r.Drained = g.pool.report()
	for tier, n := range g.hold.waiting() {
		r.InFlight[tier] += n // who waits for a tier is about to use it
		delete(r.Idle, tier)
	}
	r.Leaving = g.pool.leavers()
	return r
}

// setElder notes what a predecessor still serves; nil when it has ended.
func (g *Gateway) setElder(load map[string]int) {
	g.pool.setElder(load)
	g.hold.setElder(load)
}
