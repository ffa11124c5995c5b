package wire

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// ErrClientGone ends the context of a request whose client hung up.
var ErrClientGone = errors.New("the client hung up")

// restAfter is when a connection that waits for its next request gives its buffer back.
const restAfter = time.Second

// conn is a client's connection and the goroutine that serves it, one request after the other.
type conn struct {
	s       *Server
	raw     net.Conn
	in      *input
	br      *bufio.Reader
	ctx     context.Context
	remote  string
	born    time.Time
	state   atomic.Int32
	cancel  context.CancelCauseFunc // of the request being answered
	current *Response
	post    bool // the last request was a POST
	served  bool // a request was answered
	taken   bool // the connection is no longer HTTP

	writeDeadline time.Time // as it is set
	ownDeadline   bool      // the handler has set one
}

// States, for the server that shuts down. Only fresh and idle ones may be closed by it.
const (
	fresh int32 = iota // not a byte yet
	idle
	busy
	ended
)

func newConn(s *Server, raw net.Conn) *conn {
	c := &conn{s: s, raw: raw, in: newInput(raw), born: time.Now(), remote: raw.RemoteAddr().String()}
	c.in.rest = c.rest
	c.in.gone = func() { c.cancel(ErrClientGone) }
	c.ctx = context.WithValue(context.Background(), http.LocalAddrContextKey, raw.LocalAddr())
	c.br = getReader(c.in)
	return c
}

func (c *conn) serve() {
	defer c.end()
	for c.await() {
		r, err := c.request()
		if err != nil {
			c.refuse(err)
			return
		}
		if !c.answer(r) {
			return
		}
	}
}

// end closes the connection, after a panic too, which costs this client alone.
func (c *conn) end() {
	if p := recover(); p != nil {
		if p != http.ErrAbortHandler {
			c.s.Log.Error("a request caused a panic", "client", c.remote, "panic", p, "stack", string(debug.Stack()))
		}
		if c.current != nil {
			c.current.cut()
		}
	}
	_ = c.raw.Close()
	c.in.disarm()
	if c.cancel != nil {
		c.cancel(nil)
	}
	c.s.forget(c)
}

// await waits for the first byte of a request. False: there is none, or the server ends.
func (c *conn) await() bool {
	if c.br.Buffered() > 0 {
		return c.state.Load() == busy || c.state.CompareAndSwap(fresh, busy)
	}
	pause := HeaderPause
	if c.state.Load() == busy {
		pause = IdlePause
		c.state.Store(idle)
	}
	if c.s.closing.Load() && c.state.Load() == idle {
		return false
	}
	if err := c.firstByte(pause); err != nil {
		return false
	}
	return c.state.CompareAndSwap(idle, busy) || c.state.CompareAndSwap(fresh, busy)
}

// firstByte waits with a buffer for a while, then without one.
func (c *conn) firstByte(pause time.Duration) error {
	if c.br.Size() != smallSize { // it was made for a large head
		c.br = getReader(c.in)
	}
	c.in.readBy(restAfter)
	_, err := c.br.Peek(1)
	if err == nil || !isTimeout(err) {
		return err
	}
	putReader(c.br)
	c.in.readBy(pause - restAfter)
	err = c.in.wait()
	c.br = getReader(c.in)
	return err
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// answer has the handler answer one request. False: the connection is not used again.
func (c *conn) answer(r *http.Request) bool {
	ctx, cancel := context.WithCancelCause(c.ctx)
	c.cancel = cancel
	w := &Response{c: c, length: -1, method: r.Method, http11: r.ProtoAtLeast(1, 1), close: r.Close}
	w.body = requestBody{c: c, src: r.Body, length: r.ContentLength, ended: r.Body == http.NoBody}
	if expect := r.Header.Get("Expect"); expect != "" {
		switch {
		case !hasToken(expect, "100-continue"):
			c.refuse(errExpect)
			return false
		case w.http11 && r.ContentLength != 0:
			w.body.expect = true
		}
	}
	r = r.WithContext(ctx)
	r.RemoteAddr = c.remote
	if w.body.ended {
		c.in.arm()
	} else {
		r.Body = &w.body
	}
	c.current = w
	c.s.Handler.ServeHTTP(w, r)
	keep := !c.taken && w.finish()
	c.disarm()
	cancel(nil)
	c.current, c.served = nil, true
	if c.ownDeadline {
		c.ownDeadline, c.writeDeadline = false, time.Time{}
	}
	return keep
}

// rest gives the buffer back while a request takes long. Nobody reads before disarm.
func (c *conn) rest() {
	if c.br.Buffered() == 0 {
		putReader(c.br)
		c.br = nil
	}
}

// disarm ends the watch for a client that hangs up.
func (c *conn) disarm() {
	c.in.disarm()
	if c.br == nil {
		c.br = getReader(c.in)
	}
}

// refuse answers what could not be read, when there is something to answer, and lets the client read that.
func (c *conn) refuse(err error) {
	var read *net.OpError
	if err == io.EOF || isTimeout(err) || errors.As(err, &read) {
		return // the client has gone, or never came
	}
	ref := asRefusal(err)
	w := &Response{c: c, length: -1, method: http.MethodGet, http11: true, close: true}
	w.body.ended = true
	c.s.Refuse(w, ref.status, ref.reason)
	w.finish()
	c.linger()
}

// linger closes the sending half and reads on for a moment: closing with unread bytes would reset the connection, and the
// client could lose the answer.
func (c *conn) linger() {
	half, ok := c.raw.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	_ = c.raw.SetReadDeadline(time.Now().Add(lingerTime))
	buffer := larges.Get().(*[]byte)
	defer larges.Put(buffer)
	for read := 0; read < maxLinger; {
		n, err := c.raw.Read(*buffer)
		if err != nil {
			return
		}
		read += n
	}
}

// write sends bytes to the client, in as many packets as the kernel likes and no later than now: TCP_NODELAY is on.
func (c *conn) write(b []byte) error {
	c.writeBy()
	_, err := c.raw.Write(b)
	return err
}

// writeBy keeps the deadline for writes at least WritePause away, unless the handler has set its own.
func (c *conn) writeBy() {
	if c.ownDeadline {
		return
	}
	if now := time.Now(); c.writeDeadline.Sub(now) < WritePause {
		c.writeDeadline = now.Add(WritePause + WritePause/4)
		_ = c.raw.SetWriteDeadline(c.writeDeadline)
	}
}
