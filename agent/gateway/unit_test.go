package gateway

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/gateway/wire"
)

func TestAnIdleConnectionIsClosedBeforeTheEngineWould(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := testPool(t, api.Route{Tier: "a", Unit: "tier-a.service", State: api.Ready})
		u := newUnit("/nowhere")
		kept := func() (engine net.Conn) {
			raw, engine := net.Pipe()
			c := &conn{Engine: wire.NewEngine(raw)}
			c.closed = func() { p.closed(u, c) }
			u.conns[c] = struct{}{}
			p.keep(u, c, idleConnections)
			return engine
		}
		first := kept()
		time.Sleep(2 * time.Second)
		second := kept()
		for _, engine := range []net.Conn{first, second} {
			start := time.Now()
			if _, err := engine.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("got %v", err)
			}
			if took := time.Since(start); took > idleConnection {
				t.Errorf("it was open for %v more", took)
			}
		}
		synctest.Wait()
		if len(u.idle) != 0 || len(u.conns) != 0 || u.rest != nil {
			t.Errorf("%d idle of %d connections", len(u.idle), len(u.conns))
		}
	})
}

// In llama-server a thread serves a connection until it is closed, and there are four more than slots.
func TestIdleConnectionsLeaveAnEngineThreadsForOthers(t *testing.T) {
	const parallel, requests = 2, 40
	l, err := net.Listen("unix", filepath.Join(shortDir(t), "engine.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	together := make(chan struct{}) // closed when all threads have a request
	var first atomic.Int32
	for range parallel + 4 {
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				for in := bufio.NewReader(c); ; {
					r, err := http.ReadRequest(in)
					if err != nil {
						break
					}
					_, _ = io.Copy(io.Discard, r.Body)
					if first.Add(1) == parallel+4 {
						close(together)
					}
					<-together
					io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				}
				c.Close()
			}
		}()
	}
	coder := route(t, "coder", l.Addr().String())
	coder.Parallel, coder.Concurrency = parallel, parallel
	rig := startRig(t, Config{}, coder)
	var all sync.WaitGroup
	for range requests {
		all.Go(func() {
			began := time.Now()
			fetch(t, "POST", rig.tierURL("coder", "/tokenize"), `{}`)
			if took := time.Since(began); took >= idleConnection {
				t.Errorf("a request waited %v, until idle connections were closed", took)
			}
		})
	}
	all.Wait()
	rig.pool.mu.Lock()
	defer rig.pool.mu.Unlock()
	if n := len(rig.pool.units[coder.Unit].idle); n > parallel {
		t.Errorf("%d idle connections are kept", n)
	}
}

func TestAnEngineWhoseQueueIsFullIsWaitedFor(t *testing.T) {
	dir, err := os.MkdirTemp("", "gw")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "engine.sock")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: socket}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil { // room for one
		t.Fatal(err)
	}
	queued, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer queued.Close()
	rig := startRig(t, Config{}, route(t, "coder", socket))
	answer := make(chan string, 1)
	go func() {
		_, body := fetch(t, "POST", rig.tierURL("coder", "/x"), `{}`)
		answer <- body
	}()
	eventually(t, "the request has its lease", func() bool { n, _, _ := rig.pool.report(); return n["coder"] == 1 })
	l, err := net.FileListener(os.NewFile(uintptr(fd), "engine"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "at last") })}
	go server.Serve(l)
	defer server.Close()
	if got := <-answer; got != "at last" {
		t.Errorf("got %q", got)
	}
}

func TestADrainThatBeginsBeforeTheConnectLosesNoRequest(t *testing.T) {
	engine := echoing(t, "coder")
	coder := route(t, "coder", engine.socket)
	p, _ := testPool(t, coder)
	lease, err := p.Acquire(t.Context(), Ask{Tier: "coder"})
	if err != nil {
		t.Fatal(err)
	}
	coder.State = api.Draining
	p.apply([]api.Route{coder})
	c, err := lease.connect(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	if res, err := c.Do("GET", []byte("GET /x HTTP/1.1\r\nHost: a\r\n\r\n"), nil); err != nil || res.StatusCode != 200 {
		t.Errorf("%+v, %v", res, err)
	}
	lease.keep(c) // of a unit that drains nothing is kept
	lease.Release()
	if _, _, gone := p.report(); len(gone) != 1 {
		t.Errorf("drained %v", gone)
	}
}

func TestAnswersAsTheClientCanReadThem(t *testing.T) {
	says := map[string]string{
		"/chunked":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
		"/length":   "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nKeep-Alive: timeout=5\r\n\r\nabcde",
		"/early":    "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
		"/unknown":  "HTTP/1.1 209 Something Else\r\nContent-Length: 0\r\n\r\n",
		"/same":     "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: 1\r\n\r\n",
		"/large":    "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("l", 100000),
		"/largeest": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n" + strings.Repeat("l", 100000) + "\r\n0\r\n\r\n",
	}
	socket := rawEngine(t, func(_ int, c net.Conn, r *http.Request) { io.WriteString(c, says[r.URL.Path]) })
	rig := startRig(t, Config{}, route(t, "coder", socket))
	for _, c := range []struct{ request, head, body string }{
		{"GET /chunked HTTP/1.1", "HTTP/1.1 200 OK Transfer-Encoding: chunked", "5\r\nabcde\r\n0\r\n\r\n"},
		{"GET /chunked HTTP/1.0", "HTTP/1.0 200 OK", "abcde"},
		{"GET /length HTTP/1.1", "HTTP/1.1 200 OK Content-Length: 5", "abcde"},
		{"GET /length HTTP/1.0", "HTTP/1.0 200 OK Content-Length: 5", "abcde"},
		{"GET /early HTTP/1.1", "HTTP/1.1 200 OK Content-Length: 0", ""},
		{"GET /unknown HTTP/1.1", "HTTP/1.1 209 status code 209 Content-Length: 0", ""},
		{"GET /same HTTP/1.1", "HTTP/1.1 304 Not Modified Etag: 1", ""},
		{"GET /large HTTP/1.1", "HTTP/1.1 200 OK Content-Length: 100000", strings.Repeat("l", 100000)},
		{"GET /largeest HTTP/1.0", "HTTP/1.0 200 OK", strings.Repeat("l", 100000)},
	} {
		got := talk(t, rig.table.Routes[0].Port, c.request+"\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		head, body, _ := strings.Cut(got, "\r\n\r\n")
		var kept []string
		for line := range strings.SplitSeq(head, "\r\n") {
			if !strings.HasPrefix(line, "Date: ") && line != "Connection: close" {
				kept = append(kept, line)
			}
		}
		if head := strings.Join(kept, " "); head != c.head || body != c.body {
			t.Errorf("%s: %q, %.60q", c.request, head, body)
		}
	}
	// The head of an answer to HEAD has the length of a body that does not come; the next answer is found all the same.
	socket = rawEngine(t, func(_ int, c net.Conn, r *http.Request) {
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
		if r.Method == "GET" {
			io.WriteString(c, "abcde")
		}
	})
	rig = startRig(t, Config{}, route(t, "coder", socket))
	got := talk(t, rig.table.Routes[0].Port, "HEAD /x HTTP/1.1\r\nHost: localhost\r\n\r\nGET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
	if strings.Count(got, "Content-Length: 5") != 2 || strings.Count(got, "abcde") != 1 {
		t.Errorf("got %q", got)
	}
}

// A client that shuts down its half for sending looks like one that hangs up. An answer that is there at once reaches it.
func TestAClientThatSendsNoMoreGetsAnAnswerThatIsThere(t *testing.T) {
	engine := echoing(t, "coder")
	rig := startRig(t, Config{}, route(t, "coder", engine.socket))
	c, err := net.Dial("tcp", address(rig.table.Routes[0].Port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "POST /v1/models-of-mine HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}")
	c.(*net.TCPConn).CloseWrite()
	got, err := io.ReadAll(c)
	if err != nil || len(got) > 0 && !strings.HasPrefix(string(got), "HTTP/1.1 200 OK") {
		t.Errorf("%q, %v", got, err)
	}
}
