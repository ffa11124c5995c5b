package wire

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// freshGrace is how long a server that ends waits for the first request of a connection that was just made.
const freshGrace = 5 * time.Second

// Server serves HTTP/1.0 and HTTP/1.1 to clients. Its fields are set before Serve.
type Server struct {
	// Handler gets every request. It must not keep the ResponseWriter, which is a *Response, nor the body. The request's
	// context ends when the client hangs up, once the body has been read; its cause then is ErrClientGone.
	Handler http.Handler
	// Refuse writes the answer to what is no request that could be handed on.
	Refuse func(w http.ResponseWriter, status int, reason string)
	Log    *slog.Logger

	closing atomic.Bool
	mu      sync.Mutex
	conns   map[*conn]struct{}
	most    int // of conns, since memory was given back
}

// Serve answers the connections of a listener until it is closed, and returns its error.
func (s *Server) Serve(l net.Listener) error {
	for pause := time.Duration(0); ; {
		raw, err := l.Accept()
		if err != nil {
			// Too many open files: the next one may be closed soon.
			if temporary, ok := err.(interface{ Temporary() bool }); ok && temporary.Temporary() {
				pause = min(max(2*pause, 5*time.Millisecond), time.Second)
				s.Log.Warn("cannot accept a connection", "err", err, "pause", pause)
				time.Sleep(pause)
				continue
			}
			return err
		}
		pause = 0
		c := newConn(s, raw)
		s.mu.Lock()
		if s.conns == nil {
			s.conns = make(map[*conn]struct{})
		}
		s.conns[c] = struct{}{}
		s.most = max(s.most, len(s.conns))
		s.mu.Unlock()
		go c.serve()
	}
}

// crowd is how many connections have to come together for their memory to be worth giving back.
const crowd = 100

// forget takes a connection off the list. When most of a crowd have gone their memory goes back to the kernel, since the
// runtime would keep it until its next collection, which without traffic is two minutes away.
func (s *Server) forget(c *conn) {
	s.mu.Lock()
	delete(s.conns, c)
	left := len(s.conns) <= s.most/8 && s.most >= crowd
	if left {
		s.most = len(s.conns)
	}
	s.mu.Unlock()
	if left {
		runtime.GC() // after this one the pools still have what they had
		debug.FreeOSMemory()
	}
}

// Shutdown lets every request that has begun come to its end, and closes the connections that have none. The listeners are
// the caller's to close before. It returns the context's error when that ends first.
func (s *Server) Shutdown(ctx context.Context) error {
	s.closing.Store(true)
	pause := time.NewTimer(0)
	defer pause.Stop()
	for next := time.Millisecond; ; next = min(2*next, 100*time.Millisecond) {
		if s.closeIdle() == 0 {
			return nil
		}
		pause.Reset(next)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-pause.C:
		}
	}
}

// closeIdle closes what has no request, and counts what is left.
func (s *Server) closeIdle() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		late := time.Since(c.born) > freshGrace
		if c.state.CompareAndSwap(idle, ended) || late && c.state.CompareAndSwap(fresh, ended) {
			_ = c.raw.Close()
		}
	}
	return len(s.conns)
}

// Close cuts every connection.
func (s *Server) Close() error {
	s.closing.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.raw.Close()
	}
	return nil
}
