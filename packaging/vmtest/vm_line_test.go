package vmtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/tierd/tierd/packaging/vmtest/wire"
)

// farEnd serves the other end of a line as an agent does, and returns a VM that has nothing but this one.
func farEnd(t *testing.T, agent http.HandlerFunc) *VM {
	t.Helper()
	here, there := net.Pipe()
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: agent, Protocols: &protocols}
	go server.Serve(&oneListener{conns: []net.Conn{there}})
	t.Cleanup(func() {
		server.Close()
		here.Close()
	})
	client, err := lineClient(context.Background(), here)
	if err != nil {
		t.Fatal(err)
	}
	return &VM{Client: client, line: here}
}

// oneListener hands out its connections and then none.
type oneListener struct {
	mu    sync.Mutex
	conns []net.Conn
}

func (l *oneListener) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.conns) == 0 {
		return nil, net.ErrClosed
	}
	conn := l.conns[0]
	l.conns = l.conns[1:]
	return conn, nil
}

func (l *oneListener) Close() error   { return nil }
func (l *oneListener) Addr() net.Addr { return &net.UnixAddr{Name: "line", Net: "unix"} }

func TestTheAgentsGreetingIsWaitedFor(t *testing.T) {
	for rule, c := range map[string]struct{ said, err string }{
		"its words":         {wire.Greeting, ""},
		"another's words":   {"login: xxxxxxxxxxxxxxxxxxxx", "login:"},
		"an end before all": {"tierd", io.ErrUnexpectedEOF.Error()},
	} {
		err := awaitGreeting(strings.NewReader(c.said))
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v", rule, err)
		}
	}
}

func TestEveryHostIsReachedOnTheOneLine(t *testing.T) {
	v := farEnd(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host, r.URL.Path) })
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			host := fmt.Sprintf("127.0.0.1:%d", 8000+i)
			res, err := v.HTTP().Get("http://" + host + "/v1/models")
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			text, err := io.ReadAll(res.Body)
			if err != nil || string(text) != host+"/v1/models" {
				t.Errorf("%s answers %q, %v", host, text, err)
			}
		})
	}
	all.Wait()
}

func TestACommandInAVMIsAResultUnlessItsEndIsUnknown(t *testing.T) {
	v := farEnd(t, func(w http.ResponseWriter, r *http.Request) {
		script, _ := io.ReadAll(r.Body)
		frames := wire.NewWriter(w, http.NewResponseController(w).Flush)
		io.WriteString(frames.Of(wire.Stdout), r.Host+r.URL.Path+" ")
		switch string(script) {
		case "works":
			io.WriteString(frames.Of(wire.Stderr), "careful")
			frames.Exit(0)
		case "fails":
			frames.Exit(6)
		case "hangs":
			<-r.Context().Done()
		}
	})
	ctx := context.Background()
	if r, err := v.Run(ctx, "works"); err != nil || r != (Result{"agent/run ", "careful", 0}) {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := v.Run(ctx, "fails"); err != nil || r.Exit != 6 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := v.Must(ctx, "fails"); err == nil || !strings.Contains(err.Error(), "status 6") {
		t.Errorf("got %v", err)
	}
	if _, err := v.Run(ctx, "breaks"); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("an answer without an end: %v", err)
	}
	ended, cancel := context.WithCancel(ctx)
	out, in := io.Pipe()
	go func() {
		io.ReadFull(out, make([]byte, 1)) // it runs
		cancel()
		io.Copy(io.Discard, out)
	}()
	if _, err := v.Execute(ended, "hangs", in, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	// The line is as good as before.
	if r, err := v.Run(ctx, "fails"); err != nil || r.Exit != 6 {
		t.Errorf("%+v, %v", r, err)
	}
	v.line.Close()
	if _, err := v.Run(ctx, "works"); err == nil {
		t.Error("a command has run on a line that is cut")
	}
}
