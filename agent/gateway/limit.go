package gateway

import (
	"fmt"
	"net"
	"sync"
	"time"
)

// limitedListener accepts as long as there is a free slot, and turns the rest away with a sentence rather than let
// them wait in the dark. TCP_NODELAY stays on, which is package net's default: events of a stream must not be held
// back for a fuller packet.
type limitedListener struct {
	*net.TCPListener
	slots *slots
	over  func(code string) // called for each that is turned away
}

const codeFull = "too_many_connections"

const fullBody = `{"error":{"message":"The gateway has as many connections as it may. Close some, or raise max_connections in [gateway] of tiers.toml.",` +
	`"type":"service_unavailable_error","param":null,"code":"` + codeFull + `"}}` + "\n"

var fullAnswer = fmt.Appendf(nil, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: %d\r\n"+
	"Connection: close\r\n%s: %s\r\nContent-Length: %d\r\n\r\n%s", retryBroken, errorHeader, codeFull, len(fullBody), fullBody)

// Accept implements net.Listener.
func (l limitedListener) Accept() (net.Conn, error) {
	for {
		tcp, err := l.AcceptTCP()
		if err != nil {
			return nil, err
		}
		if l.slots.take() {
			return &slotConn{TCPConn: tcp, slots: l.slots}, nil
		}
		l.over(codeFull)
		// The answer fits into the empty send buffer, so that this does not wait for the client.
		_ = tcp.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = tcp.Write(fullAnswer)
		_ = tcp.CloseWrite()
		_ = tcp.Close()
	}
}

// slotConn gives its slot back when it is closed.
type slotConn struct {
	*net.TCPConn
	once  sync.Once
	slots *slots
}

// Close implements net.Conn.
func (c *slotConn) Close() error {
	c.once.Do(c.slots.give)
	return c.TCPConn.Close()
}
