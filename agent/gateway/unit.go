package gateway

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// unit holds what the gateway has open to one engine. The pool's lock guards its fields.
type unit struct {
	socket    string
	transport *http.Transport
	calls     map[*call]struct{}
	conns     map[*conn]struct{}
	leaving   bool        // no further request: true from draining on
	gone      bool        // no further connection
	bound     *time.Timer // ends the requests of a draining unit
}

// call is one request in flight.
type call struct {
	cancel context.CancelCauseFunc
}

// uvicorn and llama-server's HTTP library both close an idle connection after 5 s: the gateway is to be first, else it
// would send a request into a connection that is just being closed. A new unix connection costs about 50 µs.
const (
	idleConnection  = 3 * time.Second
	idleConnections = 64
)

func (p *pool) newUnit(socket string) *unit {
	u := &unit{socket: socket, calls: map[*call]struct{}{}, conns: map[*conn]struct{}{}}
	u.transport = &http.Transport{
		DisableCompression:     true, // the body is the client's business
		MaxIdleConnsPerHost:    idleConnections,
		IdleConnTimeout:        idleConnection,
		MaxResponseHeaderBytes: 1 << 20,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return p.dial(ctx, u)
		},
	}
	return u
}

// dial connects to the engine. net/http goes on with a connect whose request has been cancelled and keeps the
// connection for the next one: a unit that leaves must refuse it here, or its engine could not end. A request that got its
// lease just before may still connect.
func (p *pool) dial(ctx context.Context, u *unit) (net.Conn, error) {
	var d net.Dialer
	raw, err := d.DialContext(ctx, "unix", u.socket)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: raw}
	c.closed = func() { p.closed(u, c) }
	p.mu.Lock()
	defer p.mu.Unlock()
	if u.gone || u.leaving && len(u.calls) == 0 {
		_ = raw.Close()
		return nil, errTierGone
	}
	u.conns[c] = struct{}{}
	return c, nil
}

// cut ends everything at once.
func (u *unit) cut() {
	u.leaving, u.gone = true, true
	u.stopBound()
	for c := range u.calls {
		c.cancel(errTierGone)
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

// closeConns closes the connections themselves rather than asking the transport to, which would miss one that is on
// its way back to the idle ones.
func (u *unit) closeConns() {
	for c := range u.conns {
		delete(u.conns, c)
		_ = c.Conn.Close()
	}
}

// conn is a connection to an engine that tells the pool when it is closed.
type conn struct {
	net.Conn
	once   sync.Once
	closed func()
}

func (c *conn) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.closed)
	return err
}

// CloseWrite ends the client's half of an upgraded connection.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}
