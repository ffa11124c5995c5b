package wire

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience bounds every wait of a test; nothing measures time against it.
const patience = 20 * time.Second

// pair is a connected pair of unix sockets.
func pair(t testing.TB) (client, server *net.UnixConn) {
	t.Helper()
	dir, err := os.MkdirTemp("", "wire")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	l, err := net.Listen("unix", dir+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("unix", dir+"/s")
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return c.(*net.UnixConn), s.(*net.UnixConn)
}

// oneListener hands out connections that a test gives it.
type oneListener struct {
	conns chan net.Conn
	once  sync.Once
}

func newOneListener(conns ...net.Conn) *oneListener {
	l := &oneListener{conns: make(chan net.Conn, len(conns))}
	for _, c := range conns {
		l.conns <- c
	}
	return l
}

func (l *oneListener) Accept() (net.Conn, error) {
	c, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (l *oneListener) Close() error   { l.once.Do(func() { close(l.conns) }); return nil }
func (l *oneListener) Addr() net.Addr { return &net.UnixAddr{} }

// newServer refuses in one word and logs to the test.
func newServer(t testing.TB, h http.HandlerFunc) *Server {
	return &Server{
		Handler: h,
		Refuse: func(w http.ResponseWriter, status int, _ string) {
			http.Error(w, "refused", status)
		},
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
}

// seen is what a handler was handed.
type seen struct {
	Method, URI, Host, Proto string
	Header                   []string
	Body                     string
	Broken                   bool // the body ended with an error
}

// recorder is a handler that reads each request and answers with its number.
type recorder struct {
	mu       sync.Mutex
	requests []seen
}

func (rec *recorder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	s := seen{Method: r.Method, URI: r.RequestURI, Host: r.Host, Proto: r.Proto, Body: string(body), Broken: err != nil}
	for name, values := range r.Header {
		for _, value := range values {
			s.Header = append(s.Header, name+"="+value)
		}
	}
	slices.Sort(s.Header)
	rec.mu.Lock()
	rec.requests = append(rec.requests, s)
	n := len(rec.requests)
	rec.mu.Unlock()
	w.Header().Set("Content-Type", "text/plain")
	fmt.Fprintf(w, "request %d", n)
}

// exchangeBytes sends bytes on a connection, then shuts down the sending half, and reads what comes back.
func exchangeBytes(t testing.TB, serve func(net.Conn), sent []byte) []byte {
	t.Helper()
	client, server := pair(t)
	defer client.Close()
	done := make(chan struct{})
	go func() { serve(server); close(done) }()
	client.SetDeadline(time.Now().Add(patience))
	go func() {
		client.Write(sent)
		client.CloseWrite()
	}()
	got, err := io.ReadAll(client)
	if os.IsTimeout(err) {
		t.Fatalf("no end of the answer to %.200q", sent)
	}
	<-done
	return got
}

// through has a Server serve one connection to its end.
func through(t testing.TB, s *Server) func(net.Conn) {
	return func(c net.Conn) {
		l := newOneListener(c)
		go s.Serve(l)
		waitFor(t, "the connection has begun", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(l.conns) == 0 })
		waitFor(t, "the connection has ended", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.conns) == 0 })
		l.Close()
	}
}

func waitFor(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came about that %s", what)
		}
	}
}

// statuses reads the first lines of answers, whose bodies are the recorder's or a refusal.
func statuses(answers []byte) (list []string) {
	for line := range strings.Lines(string(answers)) {
		if at := strings.Index(line, "HTTP/1."); at >= 0 && len(line) >= at+12 {
			list = append(list, line[at+9:at+12])
		}
	}
	return list
}

func lines(text ...string) []byte { return []byte(strings.Join(text, "\r\n") + "\r\n\r\n") }
