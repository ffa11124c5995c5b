package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"syscall"
	"time"
)

// writePause is how long a client may take no byte before its request is given up, and the engine freed.
const writePause = 5 * time.Minute

// hopByHop are the headers that concern one connection (RFC 9110 section 7.6.1), and those that are for the gateway
// alone: a key must never reach an engine, which may be a cloud server; Expect was answered when the body was read.
var hopByHop = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Connection": true, "Te": true, "Trailer": true,
	"Transfer-Encoding": true, "Upgrade": true, "Proxy-Authenticate": true, "Proxy-Authorization": true,
	"Authorization": true, "X-Api-Key": true, "Expect": true,
}

// buffers are for the copying of answers; the pool keeps them from becoming garbage of every request.
var buffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// forward sends the request over the lease and the answer back. Up to the answer's header a failure is returned;
// after it the client's connection is aborted, since a clean end would pass off half an answer as a whole one.
func (g *Gateway) forward(w http.ResponseWriter, r *http.Request, l *Lease, t *target) error {
	head, body := l.withSlot(t.bodyFor(l.Route.Served))
	res, err := send(l, outgoing(l, r, t), head, body)
	if err != nil {
		return g.notAnswered(r, l, err)
	}
	t.seen.answered(res.StatusCode)
	defer res.Body.Close()
	if res.StatusCode == http.StatusSwitchingProtocols {
		return g.upgrade(w, r, l, res)
	}
	if err := passOn(w, res); err != nil {
		if r.Context().Err() == nil {
			t.seen.broke()
			g.log.Warn("broke off an answer because the engine did", "tier", l.Route.Tier, "unit", l.Route.Unit, "err", causeOr(l.Context, err))
		}
		abort(w, r)
	}
	return nil
}

// unsent is the failure of a request that may be sent once more: the engine took no connection, or tierd had the tier go
// before there was an answer. An engine that broke off by itself may have died of the request.
type unsent struct{ error }

// Unwrap makes the failure inside what the client gets when there is no other attempt.
func (u *unsent) Unwrap() error { return u.error }

// notAnswered is the failure for a request of which the client has got nothing.
func (g *Gateway) notAnswered(r *http.Request, l *Lease, err error) error {
	if r.Context().Err() != nil {
		panic(http.ErrAbortHandler) // nobody is there to read an answer
	}
	if errors.Is(context.Cause(l.Context), errTierGone) || errors.Is(err, errTierGone) {
		f := notReady(l.Route)
		f.retryAfter = retryLeaving
		f.message = fmt.Sprintf("Tier %q stopped before it answered. `tierctl status` shows what comes next.", l.Route.Tier)
		return &unsent{f}
	}
	op, ok := errors.AsType[*net.OpError](err)
	refused := ok && op.Op == "dial"
	var errno syscall.Errno
	if errors.As(err, &errno) {
		err = errno // "connection refused" says it; the socket's path is no business of the client's
	} else if errors.Is(err, io.EOF) {
		err = errors.New("it closed the connection")
	}
	if refused {
		return &unsent{broken(l.Route, err)}
	}
	return broken(l.Route, err)
}

// outgoing makes the request that the engine gets.
func outgoing(l *Lease, r *http.Request, t *target) *http.Request {
	u := *t.url
	u.Scheme, u.Host, u.User, u.Fragment = "http", "engine", nil, ""
	out := &http.Request{
		Method: r.Method, URL: &u, Host: r.Host, Header: endToEnd(r.Header),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}
	if out.Header["User-Agent"] == nil {
		out.Header["User-Agent"] = nil // keeps net/http from adding its own
	}
	if protocol := upgradeTo(r.Header); protocol != "" {
		out.Header["Connection"] = []string{"Upgrade"}
		out.Header["Upgrade"] = []string{protocol}
	}
	for _, te := range r.Header["Te"] {
		if strings.Contains(strings.ToLower(te), "trailers") {
			out.Header["Te"] = []string{"trailers"}
		}
	}
	return out
}

// send does the round trip. It is done once more when a kept connection turned out to be dead: the engine had closed
// it before it saw the request. A new connection that breaks means that the engine died of the request, perhaps.
func send(l *Lease, out *http.Request, head, body []byte) (*http.Response, error) {
	for attempt := 0; ; attempt++ {
		reused := false
		ctx := httptrace.WithClientTrace(l.Context, &httptrace.ClientTrace{
			GotConn: func(info httptrace.GotConnInfo) { reused = info.Reused },
		})
		try := out.WithContext(ctx)
		if body != nil {
			try.Body = io.NopCloser(io.MultiReader(bytes.NewReader(head), bytes.NewReader(body)))
			try.ContentLength = int64(len(head) + len(body))
		}
		res, err := l.RoundTrip(try)
		if err == nil || attempt > 0 || !reused || l.Context.Err() != nil {
			return res, err
		}
	}
}

// passOn copies an answer. Everything of unknown length goes out as it comes in; an answer of known length that came
// in whole is left to the server to send in one packet with its header.
func passOn(w http.ResponseWriter, res *http.Response) error {
	head := w.Header()
	for key, values := range endToEnd(res.Header) {
		head[key] = values
	}
	announced := len(res.Trailer)
	for key := range res.Trailer {
		head.Add("Trailer", key)
	}
	w.WriteHeader(res.StatusCode)
	control := http.NewResponseController(w)
	stream := res.ContentLength < 0
	if stream {
		_ = control.Flush()
	}
	if err := passBody(w, control, res, stream); err != nil {
		return err
	}
	for key, values := range res.Trailer {
		if announced == 0 {
			key = http.TrailerPrefix + key
		}
		head[key] = values
	}
	return nil
}

func passBody(w http.ResponseWriter, control *http.ResponseController, res *http.Response, stream bool) error {
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	var written int64
	for {
		n, err := res.Body.Read(*buffer)
		if n > 0 {
			written += int64(n)
			partial := stream || written < res.ContentLength
			if partial {
				_ = control.SetWriteDeadline(time.Now().Add(writePause))
			}
			if _, err := w.Write((*buffer)[:n]); err != nil {
				return err
			}
			if partial {
				if err := control.Flush(); err != nil {
					return err
				}
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// endToEnd copies a header without what concerns one connection. The values are shared: nobody changes them.
func endToEnd(h http.Header) http.Header {
	out := make(http.Header, len(h))
	for key, values := range h {
		if !hopByHop[key] {
			out[key] = values
		}
	}
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			delete(out, http.CanonicalHeaderKey(strings.TrimSpace(name)))
		}
	}
	return out
}

// abort ends the client's connection so that it cannot take what it has for a whole answer. To HTTP/1.0 the end of
// the connection is the end of the answer, so that one gets a reset.
func abort(w http.ResponseWriter, r *http.Request) {
	if !r.ProtoAtLeast(1, 1) {
		if raw, _, err := http.NewResponseController(w).Hijack(); err == nil {
			reset(raw)
		}
	}
	panic(http.ErrAbortHandler)
}

func causeOr(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}
