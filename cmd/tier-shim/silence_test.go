package main

import (
	"bufio"
	"io"
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
