package gateway

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// upgradeTo is the protocol that a request asks to change to, "" for none.
func upgradeTo(h http.Header) string {
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(name), "upgrade") {
				return h.Get("Upgrade")
			}
		}
	}
	return ""
}

// upgrade joins the client's connection to the engine's after a 101, until one of them ends or the tier has to go.
func (g *Gateway) upgrade(w http.ResponseWriter, r *http.Request, l *Lease, res *http.Response) error {
	engine, ok := res.Body.(io.ReadWriteCloser)
	if !ok || upgradeTo(r.Header) == "" || !strings.EqualFold(upgradeTo(r.Header), res.Header.Get("Upgrade")) {
		return broken(l.Route, errors.New("it changed to a protocol that was not asked for"))
	}
	for key, values := range endToEnd(res.Header) {
		w.Header()[key] = values
	}
	w.Header().Set("Connection", "Upgrade")
	w.Header().Set("Upgrade", res.Header.Get("Upgrade"))
	w.WriteHeader(http.StatusSwitchingProtocols)
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer client.Close()
	// The server's deadlines were for a request; this connection may be silent for as long as both like.
	_ = client.SetDeadline(time.Time{})
	if err := buffered.Flush(); err != nil {
		return nil // the connection is no longer the server's: there is nothing to answer
	}
	done := make(chan struct{}, 2)
	pass := func(to io.Writer, from io.Reader) {
		_, _ = io.Copy(to, from)
		done <- struct{}{}
	}
	go pass(engine, buffered) // what the client sent along with its request comes first
	go pass(client, engine)
	select {
	case <-done:
	case <-l.Context.Done():
	}
	_ = client.Close()
	_ = engine.Close()
	<-done
	return nil
}

// reset closes a connection so that the peer sees an error and not an end.
func reset(c net.Conn) {
	if linger, ok := c.(interface{ SetLinger(int) error }); ok {
		_ = linger.SetLinger(0)
	}
	_ = c.Close()
}
