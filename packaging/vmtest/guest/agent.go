package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/packaging/vmtest/wire"
)

// serve is the agent: HTTP/2 over a serial line, so that a VM needs no network. The protocol brings what is wanted here:
// many requests at once on one line, streams in both directions, and a request that is given up ends on this side too.
func serve(args []string, _ io.Writer) error {
	if len(args) != 1 {
		return errors.New("usage: guest agent LINE")
	}
	serial, err := openSerial(args[0])
	if err != nil {
		return err
	}
	// The other side speaks only after this, so nothing that it sends meets a line that still echoes.
	if _, err := io.WriteString(serial, wire.Greeting); err != nil {
		return err
	}
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: routes(), Protocols: &protocols}
	return server.Serve(newOneConn(serialConn{serial}))
}

func routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST agent/run", runCommand)
	mux.Handle("tierd/", proxyTo("unix", "/run/tierd/tierd.sock"))
	mux.HandleFunc("/", proxyToPort)
	return mux
}

// openSerial opens a terminal line for bytes as they are, termios(3) "raw".
func openSerial(path string) (*os.File, error) {
	// Not blocking, so that the runtime's poller waits for it and deadlines work.
	serial, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	raw, err := serial.SyscallConn()
	if err != nil {
		return nil, err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		mode := unix.Termios{Cflag: unix.CS8 | unix.CREAD | unix.CLOCAL | unix.B115200}
		mode.Cc[unix.VMIN] = 1
		failed = unix.IoctlSetTermios(int(fd), unix.TCSETSF, &mode)
	})
	if err := errors.Join(err, failed); err != nil {
		return nil, fmt.Errorf("cannot make %s a raw line: %w", path, err)
	}
	return serial, nil
}

// serialConn is a serial line as what net/http serves.
type serialConn struct{ *os.File }

func (serialConn) LocalAddr() net.Addr  { return lineAddr{} }
func (serialConn) RemoteAddr() net.Addr { return lineAddr{} }

type lineAddr struct{}

func (lineAddr) Network() string { return "serial" }
func (lineAddr) String() string  { return "serial" }

// oneConn is a listener with one connection. Its Accept ends when that connection does: the agent then has no more to do.
type oneConn struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newOneConn(c net.Conn) *oneConn {
	l := &oneConn{conns: make(chan net.Conn, 1), closed: make(chan struct{})}
	l.conns <- closing{c, l}
	return l
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *oneConn) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *oneConn) Addr() net.Addr { return lineAddr{} }

// closing closes the listener with the connection.
type closing struct {
	net.Conn
	l *oneConn
}

func (c closing) Close() error { return errors.Join(c.Conn.Close(), c.l.Close()) }
