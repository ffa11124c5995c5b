package main

import (
	"bufio"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// soon is a silence that a test can wait for, and that nothing here comes close to when it should not.
const soon = 200 * time.Millisecond

func TestAServerThatNeverAnswersIsGivenUp(t *testing.T) {
	c := newCloud(t, "", func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	c.up.timeout = soon
	answer, text := c.post(t, "/v1/completions", `{}`)
	if answer.StatusCode != http.StatusGatewayTimeout || !strings.Contains(text, "did not begin its answer within 200ms") {
		t.Errorf("answer %d %q", answer.StatusCode, text)
	}
	if !strings.Contains(text, `"code":504`) || !strings.Contains(c.said.String(), "did not begin its answer") {
		t.Errorf("answer %q, journal %q", text, c.said.String())
	}
}

func TestAServerThatNeverReadsIsGivenUp(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
		}
	}()
	c := newCloud(t, "", nil)
	c.up.base.Scheme, c.up.base.Host, c.up.timeout = "http", listener.Addr().String(), soon
	answer, text := c.post(t, "/v1/completions", `{"a":"`+strings.Repeat("x", 32<<20)+`"}`) // more than sockets hold
	if answer.StatusCode != http.StatusGatewayTimeout {
		t.Errorf("answer %d %q", answer.StatusCode, text)
	}
}

func TestAStreamThatGoesSilentIsBrokenOff(t *testing.T) {
	c := newCloud(t, "", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "data: x\n\n")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	c.up.timeout = soon
	answer, err := http.Post(c.front.URL+"/v1/completions", "application/json", strings.NewReader(`{"stream":true}`))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if string(text) != "data: x\n\n" || err == nil {
		t.Errorf("got %q and a good end", text)
	}
}

// TestPiecesBeginTheWaitAnew has a stream that is longer than the silence that is allowed, and a client that is slow.
func TestPiecesBeginTheWaitAnew(t *testing.T) {
	c := newCloud(t, "", func(w http.ResponseWriter, r *http.Request) {
		for range 8 {
			io.WriteString(w, ": still there\n")
			w.(http.Flusher).Flush()
			time.Sleep(soon / 4)
		}
	})
	c.up.timeout = soon
	answer, err := http.Post(c.front.URL+"/v1/completions", "application/json", strings.NewReader(`{"stream":true}`))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	lines := 0
	for scan := bufio.NewScanner(answer.Body); scan.Scan(); lines++ {
	}
	if lines != 8 {
		t.Errorf("%d lines of 8", lines)
	}
}

// TestARequestMeetsAConnectionThatWasClosed sends a second request on a connection that upstream closed after the first.
func TestARequestMeetsAConnectionThatWasClosed(t *testing.T) {
	c := newCloud(t, "", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "fine") })
	for i := range 20 {
		if answer, text := c.post(t, "/v1/completions", `{"model":"x"}`); answer.StatusCode != 200 || text != "fine" {
			t.Fatalf("request %d: %d %q", i, answer.StatusCode, text)
		}
		c.server.CloseClientConnections()
	}
}

func TestARequestThatUpstreamHasWorkedOnIsNotRepeated(t *testing.T) {
	var asked atomic.Int32
	c := newCloud(t, "", func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) > 1 {
			time.Sleep(soon) // as a proxy in front of a server gives it up after a minute
			panic(http.ErrAbortHandler)
		}
		io.WriteString(w, "fine")
	})
	c.up.repeat = soon / 4
	c.front.Config.Handler = c.up.handler(log.New(&c.said, "", 0))
	for _, want := range []int{200, 502} {
		if answer, text := c.post(t, "/v1/completions", `{"model":"x"}`); answer.StatusCode != want {
			t.Errorf("answer %d %q, want %d", answer.StatusCode, text, want)
		}
	}
	if n := asked.Load(); n != 2 {
		t.Errorf("upstream was asked %d times for two requests", n)
	}
}

func TestARequestThatBreaksANewConnectionIsNotRepeated(t *testing.T) {
	var asked atomic.Int32
	c := newCloud(t, "", func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		panic(http.ErrAbortHandler)
	})
	answer, text := c.post(t, "/v1/completions", `{"model":"x"}`)
	if answer.StatusCode != http.StatusBadGateway || asked.Load() != 1 {
		t.Errorf("asked %d times, answer %d %q", asked.Load(), answer.StatusCode, text)
	}
}
