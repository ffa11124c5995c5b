package gateway

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"github.com/tierd/tierd/agent/gateway/wire"
)

// forward sends the request over the lease and the answer back. Up to the answer's header a failure is returned;
// after it the client's connection is aborted, since a clean end would pass off half an answer as a whole one.
func (g *Gateway) forward(w http.ResponseWriter, r *http.Request, l *Lease, t *target, early *comments) error {
	e, err := g.send(r, l, t.url, l.withSlot(t.bodyFor(&l.Route)))
	begun := early.stop()
	if err != nil {
		return g.notAnswered(w, r, l, err)
	}
	t.seen.answered(e.res.StatusCode)
	if e.res.StatusCode == http.StatusSwitchingProtocols {
		defer e.end(l, false)
		return g.upgrade(w, r, l, e)
	}
	if begun && e.res.StatusCode != http.StatusOK {
		defer e.end(l, false)
		return early.engineFailure(e.res)
	}
	err = wire.Of(w).Relay(e.res, e.conn.Engine)
	e.end(l, err == nil)
	if err != nil {
		var client *wire.ClientError
		if r.Context().Err() == nil && !errors.As(err, &client) {
			t.seen.broke()
			g.log.Warn("broke off an answer because the engine did", "tier", l.Route.Tier, "unit", l.Route.Unit, "err", goneOr(l, err))
		}
		wire.Of(w).Abort()
	}
	return nil
}

// unsent is the failure of a request that may be sent once more: the engine took no connection or not the request, or
// tierd had the tier go before there was an answer. An engine that broke off by itself after that may have died of it.
type unsent struct{ error }

// Unwrap makes the failure inside what the client gets when there is no other attempt.
func (u *unsent) Unwrap() error { return u.error }

// notAnswered is the failure for a request of which the client has got nothing.
func (g *Gateway) notAnswered(w http.ResponseWriter, r *http.Request, l *Lease, err error) error {
	if r.Context().Err() != nil {
		wire.Of(w).Abort() // nobody is there to read an answer
		return nil
	}
	if l.gone() {
		f := notReady(l.Route)
		f.retryAfter = retryLeaving
		f.message = fmt.Sprintf("Tier %q stopped before it answered. `tierctl status` shows what comes next.", l.Route.Tier)
		return &unsent{f}
	}
	op, ok := errors.AsType[*net.OpError](err)
	_, unread := errors.AsType[*wire.UnreadError](err)
	untouched := unread || ok && op.Op == "dial"
	var errno syscall.Errno
	if errors.As(err, &errno) {
		err = errno // "connection refused" says it; the socket's path is no business of the client's
	} else if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errors.New("it closed the connection")
	}
	if untouched {
		return &unsent{broken(l.Route, err)}
	}
	return broken(l.Route, err)
}

// forEngine tells whether a header goes on to the engine. Keys are for the gateway alone, since an engine may be a cloud
// server; Expect was answered when the body was read; the length is told anew.
func forEngine(name string) bool {
	switch name {
	case "Authorization", "X-Api-Key", "Expect", "Content-Length", "Host":
		return false
	}
	return !wire.HopByHop(name)
}

// appendOutgoing makes the head of the request that the engine gets.
func appendOutgoing(b []byte, r *http.Request, u *url.URL, body parts) []byte {
	host := r.Host
	if host == "" {
		host = "engine"
	}
	b = wire.AppendRequest(b, r.Method, u.RequestURI(), host)
	listed := r.Header["Connection"]
	for name, values := range r.Header {
		if !forEngine(name) || len(listed) > 0 && wire.Listed(listed, name) {
			continue
		}
		for _, value := range values {
			b = wire.AppendField(b, name, value)
		}
	}
	if protocol := upgradeTo(r.Header); protocol != "" {
		b = wire.AppendField(append(b, "Connection: Upgrade\r\n"...), "Upgrade", protocol)
	}
	for _, te := range r.Header["Te"] {
		if strings.Contains(strings.ToLower(te), "trailers") {
			b = append(b, "Te: trailers\r\n"...)
			break
		}
	}
	return wire.AppendEnd(b, r.Method, body)
}

// goneOr tells why an answer broke off.
func goneOr(l *Lease, err error) error {
	if l.gone() {
		return errTierGone
	}
	return err
}
