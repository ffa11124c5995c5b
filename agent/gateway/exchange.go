package gateway

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync"

	"github.com/tierd/tierd/agent/gateway/wire"
)

// heads are for the heads of requests to engines.
var heads = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// maxHeadKept bounds what the pool keeps.
const maxHeadKept = 32 << 10

// exchange is a request that an engine has begun to answer.
type exchange struct {
	conn *conn
	res  *http.Response
	// quiet ends the watch for a client that hangs up. False: it has, and the connection is closed for that.
	quiet func() bool
}

// send puts the request to the engine. It is done once more when the engine closed the connection before it had taken the
// request, as it may with a kept one just then. One that worked on it died of it, perhaps.
func (g *Gateway) send(r *http.Request, l *Lease, u *url.URL, body parts) (*exchange, error) {
	head := heads.Get().(*[]byte)
	*head = appendOutgoing((*head)[:0], r, u, body)
	sent := true
	defer func() {
		// An answer may take an hour, so that the memory of its question is given back now.
		if sent && cap(*head) <= maxHeadKept {
			heads.Put(head)
		}
	}()
	for attempt := 0; ; attempt++ {
		c, err := l.connect(r.Context(), attempt > 0)
		if err != nil {
			return nil, err
		}
		e := &exchange{conn: c}
		// A client that hangs up ends its request at the engine, which sees its connection close.
		e.quiet = context.AfterFunc(r.Context(), func() { _ = c.Close() })
		e.res, err = c.Do(r.Method, *head, body)
		if err == nil {
			sent = !c.Sending()
			return e, nil
		}
		_, unread := errors.AsType[*wire.UnreadError](err)
		again := unread && attempt == 0 && r.Context().Err() == nil && !l.gone()
		e.end(l, false)
		if !again {
			return nil, err
		}
	}
}

// end gives the connection back when the answer came whole, or closes it. llama-server promises to keep one after an answer in
// chunks as well, and then closes it within a millisecond (build 11669): the next request would be thrown away.
func (e *exchange) end(l *Lease, whole bool) {
	whole = e.quiet() && whole && !(l.Route.Engine == engineLlama && e.res.ContentLength < 0)
	if e.conn.Done(e.res, whole) {
		l.keep(e.conn)
	} else {
		_ = e.conn.Close()
	}
}
