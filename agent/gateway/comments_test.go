package gateway

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// beatingSource holds a request, with a beat every millisecond, until it is let go.
type beatingSource struct {
	Source
	letGo chan struct{}
}

func (s beatingSource) Acquire(ctx context.Context, ask Ask) (*Lease, error) {
	for {
		select {
		case <-s.letGo:
			return s.Source.Acquire(ctx, ask)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(time.Millisecond):
			if ask.Beat != nil {
				ask.Beat()
			}
		}
	}
}

// refusingSource has no lease for anybody.
type refusingSource struct{}

func (refusingSource) Acquire(context.Context, Ask) (*Lease, error) {
	return nil, notReady(api.Route{Tier: "coder", State: api.Failed, Reason: "no \"memory\""})
}

// commentRig is a gateway whose tier coder is waited for.
func commentRig(t *testing.T, keepalive string, handler http.HandlerFunc) (*rig, chan struct{}) {
	coder := route(t, "coder", startEngine(t, handler).socket)
	coder.Keepalive = keepalive
	rig := startRig(t, Config{}, coder)
	letGo := make(chan struct{})
	rig.source = beatingSource{rig.pool, letGo}
	rig.publish(t) // the handler sees what was written before its view
	return rig, letGo
}

const streamBody = `{"model":"coder","messages":[],"stream":true}`

// openStream sends a request and returns its answer once the first bytes of it are there.
func openStream(t *testing.T, rig *rig, body string) (*http.Response, *bufio.Reader) {
	t.Helper()
	res, err := http.Post(rig.tierURL("coder", "/v1/chat/completions"), "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return res, bufio.NewReader(res.Body)
}

func TestAStreamThatWaitsIsBegunWithComments(t *testing.T) {
	rig, letGo := commentRig(t, keepaliveComments, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Engine", "late")
		io.WriteString(w, "data: [DONE]\n\n")
	})
	res, in := openStream(t, rig, streamBody)
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("begun with %d %v", res.StatusCode, res.Header)
	}
	for range 3 {
		if line, err := in.ReadString('\n'); err != nil || line != ": waiting for tier coder\n" {
			t.Fatalf("got %q, %v", line, err)
		}
		in.ReadString('\n')
	}
	close(letGo)
	rest, err := io.ReadAll(in)
	if err != nil || !strings.HasSuffix(string(rest), "\n\ndata: [DONE]\n\n") && string(rest) != "data: [DONE]\n\n" {
		t.Errorf("then %q, %v", rest, err)
	}
}

func TestAStreamBegunEarlyEndsWithAnErrorAndABreak(t *testing.T) {
	for rule, c := range map[string]struct {
		engine http.HandlerFunc
		want   string
	}{
		"of the engine's, as one line": {func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(400)
			io.WriteString(w, "{\n \"error\": {\"message\": \"exceeds the available context size\",\n \"code\": 400}}")
		}, `data: {"error":{"message":"exceeds the available context size","code":400}}` + "\n\n"},
		"of an engine that speaks no JSON": {func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(500)
			io.WriteString(w, "Internal\nServer Error")
		}, `data: {"error":{"message":"The engine answered with status 500: Internal\nServer Error","type":"server_error","param":null,"code":"engine_error"}}` + "\n\n"},
		"of an engine that says nothing": {func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, `"code":"tier_broken"}}` + "\n\n"},
		"of the gateway's own":           {nil, `no \"memory\". See`},
	} {
		rig, letGo := commentRig(t, keepaliveComments, func(w http.ResponseWriter, r *http.Request) { c.engine(w, r) })
		if c.engine == nil {
			rig.source = beatingSource{refusingSource{}, letGo}
			rig.publish(t)
		}
		_, in := openStream(t, rig, streamBody)
		close(letGo)
		rest, err := io.ReadAll(in)
		at := strings.Index(string(rest), "data: ")
		if err == nil || at < 0 || !strings.Contains(string(rest[at:]), c.want) || strings.Count(string(rest[at:]), "\n") != 2 {
			t.Errorf("%s: %q, %v", rule, rest, err)
		}
	}
}

func TestNothingIsSentEarlyUnlessItIsAskedFor(t *testing.T) {
	for rule, c := range map[string]struct{ keepalive, body string }{
		"the tier has no comments":    {"", streamBody},
		"the answer is no stream":     {keepaliveComments, `{"model":"coder","messages":[{"stream":true}]}`},
		"the stream is declined":      {keepaliveComments, `{"stream":false,"messages":[]}`},
		"the body is no JSON":         {keepaliveComments, `stream=true`},
		"`stream` is not quite true ": {keepaliveComments, `{"stream":truest}`},
	} {
		rig, letGo := commentRig(t, c.keepalive, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) })
		answer := make(chan int, 1)
		go func() {
			res, _ := fetch(t, "POST", rig.tierURL("coder", "/x"), c.body)
			answer <- res.StatusCode
		}()
		eventually(t, "the request waits", func() bool { return rig.ports.connected() > 0 })
		time.AfterFunc(5*time.Millisecond, func() { close(letGo) })
		if got := <-answer; got != http.StatusTeapot {
			t.Errorf("%s: got %d", rule, got)
		}
	}
}

func TestAClientThatLeavesABegunStreamEndsItsHold(t *testing.T) {
	left := make(chan struct{})
	rig, _ := commentRig(t, keepaliveComments, nil)
	rig.source = leftSource{left, true}
	rig.publish(t)
	res, _ := openStream(t, rig, streamBody)
	res.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	select {
	case <-left:
	case <-time.After(patience):
		t.Fatal("the hold goes on for nobody")
	}
}

// leftSource tells when its client has gone. beats: it keeps the client patient meanwhile.
type leftSource struct {
	left  chan struct{}
	beats bool
}

func (s leftSource) Acquire(ctx context.Context, ask Ask) (*Lease, error) {
	if s.beats {
		ask.Beat()
	}
	<-ctx.Done()
	close(s.left)
	return nil, context.Cause(ctx)
}

func TestCommentsGoOnUntilTheEngineAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := httptest.NewRecorder()
		c := &comments{w: w, tier: "coder"}
		c.goOn() // not begun: nothing is sent, however long the engine takes
		time.Sleep(time.Hour)
		if c.stop() || w.Body.Len() > 0 {
			t.Errorf("begun with %q", w.Body)
		}
		c.write()
		c.goOn()
		time.Sleep(3*nextBeat + time.Second)
		if !c.stop() {
			t.Error("it was not begun")
		}
		time.Sleep(time.Hour)
		if got := strings.Count(w.Body.String(), ": waiting for tier coder\n\n"); got != 4 {
			t.Errorf("%d comments", got)
		}
	})
}

func TestAClientThatHangsUpEndsItsHold(t *testing.T) {
	left := make(chan struct{})
	rig := startRig(t, Config{}, route(t, "coder", "/nowhere"))
	rig.source = leftSource{left, false}
	rig.publish(t)
	c, err := net.Dial("tcp", address(rig.table.Routes[0].Port))
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}")
	c.Close()
	select {
	case <-left:
	case <-time.After(patience):
		t.Fatal("the hold goes on for nobody")
	}
}
