package gateway

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/gateway/wire"
)

// unit holds what the gateway has open to one engine. The pool's lock guards its fields.
type unit struct {
	socket  string
	calls   map[*call]struct{}
	uses    int // calls that are no probes
	conns   map[*conn]struct{}
	idle    []*conn     // of conns; the one used last is at the end
	leaving bool        // no further request: true from draining on
	gone    bool        // nor a connection for a request that is under way
	bound   *time.Timer // ends the requests of a draining unit
	rest    *time.Timer // closes idle connections; nil: there are none
}

// call is one request in flight.
type call struct {
	cut   atomic.Bool // its tier had to go
	probe bool        // a look at how the engine is: it is no use of the tier, which a monitor must not keep from its idle stop
}

// uvicorn and llama-server's HTTP library both close an idle connection after 5 s: the gateway is to be first, else it
// would send a request into a connection that is just being closed. A new unix connection costs about 50 µs.
const (
	idleConnection  = 3 * time.Second
	idleConnections = 64
)

// A connect to a unix socket whose queue is full fails at once rather than wait; llama-server's queue holds five. It is tried
// again after a pause, doubled up to the last: an engine that accepts nothing must not cost a CPU.
const (
	firstConnectPause = time.Millisecond
	lastConnectPause  = 16 * time.Millisecond
	connectBound      = 5 * time.Second
)

func newUnit(socket string) *unit {
	return &unit{socket: socket, calls: map[*call]struct{}{}, conns: map[*conn]struct{}{}}
}

// connect finds an idle connection that is fit for a request, or makes one when there is none or fresh is wanted.
func (p *pool) connect(ctx context.Context, u *unit, fresh bool) (*conn, error) {
	for !fresh {
		p.mu.Lock()
		last := len(u.idle) - 1
		if last < 0 {
			p.mu.Unlock()
			break
		}
		c := u.idle[last]
		u.idle = u.idle[:last]
		p.mu.Unlock()
		if c.Fit() {
			return c, nil
		}
		_ = c.Close()
	}
	raw, err := dial(ctx, u.socket)
	if err != nil {
		return nil, err
	}
	c := &conn{Engine: wire.NewEngine(raw)}
	c.closed = func() { p.closed(u, c) }
	p.mu.Lock()
	defer p.mu.Unlock()
	if u.gone {
		_ = raw.Close()
		return nil, errTierGone
	}
	u.conns[c] = struct{}{}
	return c, nil
}

func dial(ctx context.Context, socket string) (net.Conn, error) {
	var d net.Dialer
	end := time.Now().Add(connectBound)
	for pause := firstConnectPause; ; pause = min(2*pause, lastConnectPause) {
		raw, err := d.DialContext(ctx, "unix", socket)
		if !errors.Is(err, syscall.EAGAIN) || time.Now().After(end) {
			return raw, err
		}
		wait(ctx, pause)
	}
}

// mostIdle is how many idle connections to an engine are kept. In llama-server a thread waits on each, and there are four more
// than slots: with all of them on idle ones, whoever comes over another connection waits until those are closed.
func mostIdle(r api.Route) int {
	if r.Engine == engineLlama && r.Parallel > 0 {
		return min(r.Parallel, idleConnections)
	}
	return idleConnections
}

// keep takes back a connection that can take another request, unless most are idle already.
func (p *pool) keep(u *unit, c *conn, most int) {
	c.since = time.Now()
	c.Rest()
	p.mu.Lock()
	if u.leaving || len(u.idle) >= most {
		p.mu.Unlock()
		_ = c.Close()
		return
	}
	u.idle = append(u.idle, c)
	if u.rest == nil {
		u.rest = time.AfterFunc(idleConnection, func() { p.closeOld(u) })
	}
	p.mu.Unlock()
}

// closeOld closes the connections that have been idle for too long.
func (p *pool) closeOld(u *unit) {
	p.mu.Lock()
	var old []*conn
	for len(u.idle) > 0 && time.Since(u.idle[0].since) >= idleConnection {
		old, u.idle = append(old, u.idle[0]), u.idle[1:]
	}
	if len(u.idle) > 0 {
		u.rest.Reset(idleConnection - time.Since(u.idle[0].since))
	} else {
		u.idle, u.rest = nil, nil
	}
	p.mu.Unlock()
	for _, c := range old {
		_ = c.Close()
	}
}

// cut ends everything at once.
func (u *unit) cut() {
	u.leaving, u.gone = true, true
	u.stopBound()
	for c := range u.calls {
		c.cut.Store(true)
	}
	u.closeConns()
}

// stay takes back a drain that was called off.
func (u *unit) stay() {
	u.leaving, u.gone = false, false
	u.stopBound()
}

func (u *unit) stopBound() {
	if u.bound != nil {
		u.bound.Stop()
		u.bound = nil
	}
}

// closeConns closes also the connections in use, whose requests then fail.
func (u *unit) closeConns() {
	u.idle = nil
	for c := range u.conns {
		delete(u.conns, c)
		_ = c.Engine.Close()
	}
}

// conn is a connection to an engine that tells the pool when it is closed.
type conn struct {
	*wire.Engine
	since  time.Time // idle
	once   sync.Once
	closed func()
}

// Close may be called more than once, and while a request is under way.
func (c *conn) Close() error {
	err := c.Engine.Close()
	c.once.Do(c.closed)
	return err
}
