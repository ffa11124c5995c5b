package gateway

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestRequestsReachTheTierOfTheirPort(t *testing.T) {
	said := func(name string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			io.WriteString(w, name+" "+r.Method+" "+r.URL.RequestURI()+" "+string(body))
		}
	}
	a, b := startEngine(t, said("a")), startEngine(t, said("b"))
	rig := startRig(t, Config{}, route(t, "orch", a.socket), route(t, "coder", b.socket))
	for _, c := range []struct{ tier, path, body, want string }{
		{"orch", "/v1/chat/completions", `{"model":"orch"}`, `a POST /v1/chat/completions {"model":"orch"}`},
		{"coder", "/v1/chat/completions?x=1", `{"messages":[]}`, `b POST /v1/chat/completions?x=1 {"messages":[]}`},
		{"coder", "/unknown%2Fpath", `plain`, `b POST /unknown%2Fpath plain`},
		{"", "/v1/completions", `{"model":"coder"}`, `b POST /v1/completions {"model":"coder"}`},
		{"", "/upstream/orch/slots?y=2", ``, `a POST /slots?y=2 `},
	} {
		if _, got := fetch(t, "POST", rig.tierURL(c.tier, c.path), c.body); got != c.want {
			t.Errorf("%s on %q: got %q, want %q", c.path, c.tier, got, c.want)
		}
	}
}

func TestWhatConcernsOneConnectionIsNotPassedOn(t *testing.T) {
	var got http.Header
	engine := startEngine(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Clone()
		w.Header().Set("Connection", "X-Hop")
		w.Header().Set("X-Hop", "engine's")
		w.Header().Set("X-Kept", "yes")
		w.Header()["Set-Cookie"] = []string{"a=1", "b=2"}
		w.WriteHeader(http.StatusTeapot)
	})
	rig := startRig(t, Config{}, route(t, "coder", engine.socket))
	res, _ := fetch(t, "POST", rig.tierURL("coder", "/x"), `{}`,
		"Connection", "X-Mine", "X-Mine", "secret", "Authorization", "Bearer key", "X-Api-Key", "key", "Proxy-Authorization", "key",
		"Keep-Alive", "timeout=5", "X-Session-Id", "s1", "Te", "trailers, deflate", "User-Agent", "")
	for _, name := range []string{"X-Mine", "Authorization", "X-Api-Key", "Proxy-Authorization", "Keep-Alive", "User-Agent", "Connection"} {
		if got.Get(name) != "" {
			t.Errorf("the engine got %s: %q", name, got.Get(name))
		}
	}
	if got.Get("X-Session-Id") != "s1" || got.Get("Te") != "trailers" || got.Get("Content-Type") != "application/json" {
		t.Errorf("the engine got %v", got)
	}
	if res.StatusCode != http.StatusTeapot || res.Header.Get("X-Kept") != "yes" || res.Header.Get("X-Hop") != "" || len(res.Header["Set-Cookie"]) != 2 {
		t.Errorf("the client got %d %v", res.StatusCode, res.Header)
	}
	if res.Header.Get(errorHeader) != "" {
		t.Error("an engine's answer is marked as the gateway's")
	}
}

func TestAStreamIsPassedOnEventByEvent(t *testing.T) {
	next := make(chan struct{})
	events := []string{": ping\n\n", "data: {\"a\":1}\n\n", ":\n\n", "data: [DONE]\n\n"}
	engine := startEngine(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(200)
		w.(http.Flusher).Flush()
		for _, event := range events {
			<-next
			io.WriteString(w, event)
			w.(http.Flusher).Flush()
		}
	})
	rig := startRig(t, Config{}, route(t, "coder", engine.socket))
	// The header is there before the first event is.
	res, err := http.Post(rig.tierURL("coder", "/v1/chat/completions"), "application/json", strings.NewReader(`{"stream":true}`))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	for _, event := range events {
		next <- struct{}{}
		buffer := make([]byte, len(event))
		if _, err := io.ReadFull(res.Body, buffer); err != nil || string(buffer) != event {
			t.Fatalf("got %q, %v; want %q", buffer, err, event)
		}
	}
	if rest, err := io.ReadAll(res.Body); err != nil || len(rest) != 0 {
		t.Fatalf("after the end: %q, %v", rest, err)
	}
}

func TestTrailersPass(t *testing.T) {
	engine := startEngine(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "body")
		w.Header().Set("X-Sum", "42")
		w.Header().Set(http.TrailerPrefix+"X-Late", "7")
	})
	rig := startRig(t, Config{}, route(t, "coder", engine.socket))
	res, body := fetch(t, "GET", rig.tierURL("coder", "/"), "")
	if body != "body" || res.Trailer.Get("X-Sum") != "42" {
		t.Errorf("got %q with %v", body, res.Trailer)
	}
}

// rawEngine answers every connection by a function of its own.
func rawEngine(t *testing.T, serve func(n int, c net.Conn, r *http.Request)) string {
	t.Helper()
	socket := filepath.Join(shortDir(t), "engine.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for in := bufio.NewReader(c); ; {
					r, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					body, _ := io.ReadAll(r.Body)
					r.Body = io.NopCloser(bytes.NewReader(body))
					serve(n, c, r)
				}
			}()
		}
	}()
	return socket
}

func TestABrokenAnswerIsNeverEndedCleanly(t *testing.T) {
	for rule, head := range map[string]string{
		"in chunks":             "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ndata:\r\n",
		"in the middle of one":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\ndata:",
		"with a length":         "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ndata:",
		"before the first byte": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		socket := rawEngine(t, func(_ int, c net.Conn, _ *http.Request) {
			io.WriteString(c, head)
			c.Close()
		})
		rig := startRig(t, Config{}, route(t, "coder", socket))
		for _, proto := range []string{"HTTP/1.1", "HTTP/1.0"} {
			c, err := net.Dial("tcp", address(rig.table.Routes[0].Port))
			if err != nil {
				t.Fatal(err)
			}
			io.WriteString(c, "POST /x "+proto+"\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}")
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err == nil {
				var body []byte
				body, err = io.ReadAll(res.Body)
				if err == nil {
					t.Errorf("%s, %s: a whole answer of %d: %q", rule, proto, res.StatusCode, body)
				}
			}
			c.Close()
		}
	}
}

func TestAnEngineThatGivesNoAnswer(t *testing.T) {
	dead := rawEngine(t, func(_ int, c net.Conn, _ *http.Request) { c.Close() })
	for rule, c := range map[string]struct{ socket, says string }{
		"nobody listens":                     {"/nowhere/engine.sock", "no such file or directory"},
		"the connection ends with no answer": {dead, "closed the connection"},
	} {
		rig := startRig(t, Config{}, route(t, "coder", c.socket))
		res, body := fetch(t, "POST", rig.tierURL("coder", "/x"), `{}`)
		message := errorMessage(t, body)
		if res.StatusCode != 502 || !strings.Contains(message, c.says) || !strings.Contains(message, `"coder" (tier-coder.service)`) {
			t.Errorf("%s: %d %q", rule, res.StatusCode, message)
		}
		if strings.Contains(message, "engine.sock") {
			t.Errorf("%s: the message names the socket: %q", rule, message)
		}
	}
}

// An engine closes a kept connection when it likes, also while the next request is on its way.
func TestARequestThatTheEngineDidNotReadIsSentAgain(t *testing.T) {
	const answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	socket := filepath.Join(shortDir(t), "engine.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var read atomic.Int32
	go func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
				continue // the rig looks whether its port is open
			}
			read.Add(1)
			io.WriteString(c, answer)
			if raw, err := c.(*net.UnixConn).SyscallConn(); n == 0 && err == nil {
				_ = raw.Read(func(fd uintptr) bool { // the second one is there
					_, _, err := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK)
					return err == nil
				})
				c.Close()
			}
		}
	}()
	rig := startRig(t, Config{}, route(t, "coder", socket))
	for range 2 {
		if res, got := fetch(t, "POST", rig.tierURL("coder", "/x"), ""); got != "ok" {
			t.Fatalf("%d %q", res.StatusCode, got)
		}
		eventually(t, "the connection is kept", func() bool { n, _, _ := rig.pool.report(); return len(n) == 0 })
	}
	if n := read.Load(); n != 2 {
		t.Errorf("the engine read %d requests, want 2", n)
	}
}

func TestARequestThatAnEngineMayHaveDiedOfIsNotRepeated(t *testing.T) {
	for rule, at := range map[string]int32{"on a new connection": 1, "on one that was kept": 2} {
		var requests atomic.Int32
		socket := rawEngine(t, func(_ int, c net.Conn, _ *http.Request) {
			if requests.Add(1) >= at {
				time.Sleep(150 * time.Millisecond) // the work that it dies of
				c.Close()
				return
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		})
		rig := startRig(t, Config{}, route(t, "coder", socket))
		for n := int32(1); n < at; n++ {
			fetch(t, "POST", rig.tierURL("coder", "/x"), `{}`)
			eventually(t, "the connection is kept", func() bool { n, _, _ := rig.pool.report(); return len(n) == 0 })
		}
		if res, body := fetch(t, "POST", rig.tierURL("coder", "/x"), `{}`); res.StatusCode != 502 || !strings.Contains(errorMessage(t, body), "closed the connection") {
			t.Errorf("%s: got %d %s", rule, res.StatusCode, body)
		}
		if n := requests.Load(); n != at {
			t.Errorf("%s: the engine saw %d requests", rule, n)
		}
	}
}

// llama-server says that it keeps the connection, and then shuts its half and throws away what comes.
func TestNothingIsSentOnAConnectionThatStreamed(t *testing.T) {
	for kind, want := range map[string]int32{"llama": 3, "vllm": 1} {
		var conns atomic.Int32
		socket := rawEngine(t, func(n int, c net.Conn, _ *http.Request) {
			conns.Store(int32(n + 1))
			io.WriteString(c, "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5, max=100\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
		})
		coder := route(t, "coder", socket)
		coder.Engine = kind
		rig := startRig(t, Config{}, coder)
		for range 3 {
			if res, got := fetch(t, "POST", rig.tierURL("coder", "/x"), `{}`); got != "ok" {
				t.Errorf("%s: %d %q", kind, res.StatusCode, got)
			}
			eventually(t, "it is over", func() bool { n, _, _ := rig.pool.report(); return len(n) == 0 })
		}
		if n := conns.Load(); n != want {
			t.Errorf("%s: three streams took %d connections, want %d", kind, n, want)
		}
	}
}

// An engine that is killed leaves requests that it never took.
func TestARequestInTheQueueOfADeadEngineWaitsForTheNext(t *testing.T) {
	socket := filepath.Join(shortDir(t), "engine.sock")
	busy, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	coder := route(t, "coder", socket)
	coder.Hold = 60
	rig := startRig(t, Config{}, coder)
	got := make(chan string)
	go func() {
		_, text := fetch(t, "POST", rig.tierURL("coder", "/x"), `{}`)
		got <- text
	}()
	raw, err := busy.(*net.UnixListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is in the queue", func() bool {
		var n int
		_ = raw.Control(func(fd uintptr) { n, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0) })
		return n == 1
	})
	busy.Close() // and removes the socket
	next, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "served") })}
	defer server.Close()
	go server.Serve(next)
	if text := <-got; text != "served" {
		t.Errorf("it got %q", text)
	}
}

func TestAClientThatGoesEndsItsRequestAtTheEngine(t *testing.T) {
	for rule, first := range map[string]string{"before the answer": "", "in the middle of a stream": "data: 1\n\n"} {
		gone := make(chan struct{})
		arrived := make(chan struct{})
		engine := startEngine(t, func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			if first != "" {
				io.WriteString(w, first)
				w.(http.Flusher).Flush()
			}
			close(arrived)
			<-r.Context().Done()
			close(gone)
		})
		rig := startRig(t, Config{}, route(t, "coder", engine.socket))
		ctx, leave := context.WithCancel(context.Background())
		req, _ := http.NewRequestWithContext(ctx, "POST", rig.tierURL("coder", "/x"), strings.NewReader(`{"stream":true}`))
		go func() {
			if res, err := http.DefaultClient.Do(req); err == nil {
				io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
		}()
		<-arrived
		leave()
		select {
		case <-gone:
		case <-time.After(patience):
			t.Fatalf("%s: the engine goes on for nobody", rule)
		}
		eventually(t, "nothing is in flight", func() bool { n, _, _ := rig.pool.report(); return len(n) == 0 })
	}
}

func TestConnectionsToAnEngineAreUsedAgain(t *testing.T) {
	var conns atomic.Int32
	socket := rawEngine(t, func(n int, c net.Conn, _ *http.Request) {
		conns.Store(int32(n + 1))
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	})
	rig := startRig(t, Config{}, route(t, "coder", socket))
	for range 20 {
		fetch(t, "POST", rig.tierURL("coder", "/x"), `{}`)
		// The client has its answer a moment before the connection is back.
		eventually(t, "the connection is kept", func() bool { n, _, _ := rig.pool.report(); return len(n) == 0 })
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("20 requests took %d connections", n)
	}
}

func TestManyClientsGetTheirOwnAnswers(t *testing.T) {
	engine := startEngine(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 20 {
			io.WriteString(w, "data: "+strconv.Itoa(i)+" "+string(body)+"\n\n")
			w.(http.Flusher).Flush()
		}
	})
	rig := startRig(t, Config{}, route(t, "coder", engine.socket))
	var all sync.WaitGroup
	for n := range 16 {
		all.Go(func() {
			client := http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for k := range 10 {
				body := `{"n":` + strconv.Itoa(n*100+k) + `,"model":"coder"}`
				var want strings.Builder
				for i := range 20 {
					want.WriteString("data: " + strconv.Itoa(i) + " " + body + "\n\n")
				}
				res, err := client.Post(rig.tierURL("", "/x"), "application/json", strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				got, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil || string(got) != want.String() {
					t.Errorf("got %q, %v", got, err)
				}
			}
		})
	}
	all.Wait()
}
