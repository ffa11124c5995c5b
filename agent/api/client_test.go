package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// tierd is a server with the handler of one test.
func tierd(t *testing.T, handle http.HandlerFunc) *Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handle}
	go server.Serve(l)
	c := New(path)
	t.Cleanup(func() {
		c.Close()
		server.Close()
	})
	return c
}

func answer(w http.ResponseWriter, status int, env Envelope) {
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(env); err != nil {
		panic(err)
	}
}

func TestATraceIsHandedOnAsItIs(t *testing.T) {
	c := tierd(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/guard/trace" {
			t.Errorf("asked for %s", r.URL)
		}
		sync200(w, []json.RawMessage{json.RawMessage(`{"at":1,"later":true}`)})
	})
	lines, err := c.GuardTrace(context.Background())
	if err != nil || len(lines) != 1 || string(lines[0]) != `{"at":1,"later":true}` {
		t.Errorf("%s, %v", lines, err)
	}
}

func sync200(w http.ResponseWriter, result any) {
	text, err := json.Marshal(result)
	if err != nil {
		panic(err)
	}
	answer(w, http.StatusOK, Envelope{Type: "sync", Result: text})
}

func TestEveryMethodAsksItsRoute(t *testing.T) {
	ctx := context.Background()
	tests := []struct {
		name string
		call func(*Client) error
		want string // method, path and body
	}{
		{"Status", func(c *Client) error { _, err := c.Status(ctx); return err }, "GET /v1/status "},
		{"Tier", func(c *Client) error { _, err := c.Tier(ctx, "coder"); return err }, "GET /v1/tiers/coder "},
		{"a name is escaped", func(c *Client) error { _, err := c.Tier(ctx, "a/b?c"); return err }, "GET /v1/tiers/a%2Fb%3Fc "},
		{"Plan", func(c *Client) error { _, err := c.Plan(ctx, "a b"); return err }, "GET /v1/plan?mode=a+b "},
		{"Guard", func(c *Client) error { _, err := c.Guard(ctx); return err }, "GET /v1/guard "},
		{"Budget", func(c *Client) error { _, err := c.Budget(ctx, "full"); return err }, "GET /v1/budget?mode=full "},
		{"Host", func(c *Client) error { _, err := c.Host(ctx); return err }, "GET /v1/host "},
		{"Guard", func(c *Client) error { _, err := c.Guard(ctx); return err }, "GET /v1/guard "},
		{"Act", func(c *Client) error {
			_, err := c.Act(ctx, "coder", TierRequest{Action: "switch", Variant: "llama"})
			return err
		}, `POST /v1/tiers/coder {"action":"switch","variant":"llama"}`},
		{"Stack", func(c *Client) error { _, err := c.Stack(ctx, StackRequest{Action: "up", Mode: "full"}); return err }, `POST /v1/stack {"action":"up","mode":"full"}`},
		{"Reload", func(c *Client) error { _, _, err := c.Reload(ctx, true); return err }, `POST /v1/config {"action":"reload","restart":true}`},
		{"Change", func(c *Client) error { _, err := c.Change(ctx, "7"); return err }, "GET /v1/changes/7 "},
		{"Abort", func(c *Client) error { return c.Abort(ctx, "7") }, `POST /v1/changes/7 {"action":"abort"}`},
		{"Table", func(c *Client) error { _, err := c.Table(ctx, 9); return err }, "GET /v1/gateway/table?after=9&timeout=10m "},
		{"Ensure", func(c *Client) error { return c.Ensure(ctx, "coder") }, `POST /v1/gateway/ensure {"tier":"coder"}`},
		{"Report", func(c *Client) error {
			return c.Report(ctx, GatewayReport{Listeners: []Listener{{Port: 8000}}})
		}, `POST /v1/gateway/report {"listeners":[{"tier":"","port":8000}]}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got string
			c := tierd(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				got = r.Method + " " + r.URL.RequestURI() + " " + string(body)
				sync200(w, struct{}{})
			})
			if err := test.call(c); err != nil || got != test.want {
				t.Errorf("asked %q, %v; want %q", got, err, test.want)
			}
		})
	}
}

func TestListsAndResults(t *testing.T) {
	ctx := context.Background()
	c := tierd(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/tiers":
			sync200(w, []Tier{{Name: "coder"}, {Name: "orch"}})
		case "/v1/modes":
			sync200(w, []Mode{{Name: "full", Default: true}})
		case "/v1/changes":
			sync200(w, []Change{{ID: "7", State: "done"}})
		case "/v1/config":
			answer(w, http.StatusAccepted, Envelope{Type: "async", Change: "8", Result: json.RawMessage(`{"changed":["orch"]}`)})
		}
	})
	if tiers, err := c.Tiers(ctx); err != nil || len(tiers) != 2 || tiers[1].Name != "orch" {
		t.Errorf("tiers: %+v, %v", tiers, err)
	}
	if modes, err := c.Modes(ctx); err != nil || len(modes) != 1 || !modes[0].Default {
		t.Errorf("modes: %+v, %v", modes, err)
	}
	if changes, err := c.Changes(ctx); err != nil || len(changes) != 1 || !changes[0].Done() {
		t.Errorf("changes: %+v, %v", changes, err)
	}
	if result, change, err := c.Reload(ctx, true); err != nil || change != "8" || len(result.Changed) != 1 {
		t.Errorf("reload: %+v, %q, %v", result, change, err)
	}
}

func TestAnswersThatAreNotTierds(t *testing.T) {
	tests := []struct {
		name   string
		status int
		text   string
		kind   ErrorKind
		want   string
	}{
		{"an error keeps its kind", 409, `{"type":"error","error":{"kind":"budget","message":"no room","hint":"tierctl budget","class":"refused"}}`, KindBudget, "no room"},
		{"no JSON", 502, `<html>`, KindInternal, "it answered HTTP 502 with something else than JSON"},
		{"JSON of another kind", 200, `{"ok":true}`, KindInternal, `it answered HTTP 200 with type ""`},
		{"an error without an error", 500, `{"type":"error"}`, KindInternal, `it answered HTTP 500 with type "error"`},
		{"a result of another shape", 200, `{"type":"sync","result":{"tiers":5}}`, KindInternal, "its answer to /v1/status cannot be read"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := tierd(t, func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(test.status)
				io.WriteString(w, test.text)
			})
			_, err := c.Status(context.Background())
			var e *Error
			if !errors.As(err, &e) || e.Kind != test.kind || !strings.Contains(e.Message, test.want) {
				t.Errorf("got %+v", err)
			}
		})
	}
}

func TestTierdThatCannotBeReached(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	tests := []struct{ name, path, want, hint string }{
		{"no socket", filepath.Join(dir, "none"), "there is no socket at ", "tierd's own is /run/tierd/tierd.sock"},
		{"a socket that nobody listens on", stale, "nothing listens on ", "tierd's own is /run/tierd/tierd.sock"},
		{"a path beyond what a socket may have", filepath.Join(dir, strings.Repeat("x", 200)), "broke", "systemctl status"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := New(test.path).Status(context.Background())
			var e *Error
			if !errors.As(err, &e) || e.Kind != KindUnavailable || !strings.Contains(e.Message, test.want) || !strings.Contains(e.Hint, test.hint) || !Unavailable(err) {
				t.Errorf("got %+v", e)
			}
		})
	}
}

func TestTierdsOwnSocketThatCannotBeReached(t *testing.T) {
	for _, test := range []struct {
		err  error
		hint string
	}{
		{os.ErrNotExist, "sudo systemctl start tierd"},
		{syscall.ECONNREFUSED, "sudo systemctl restart tierd.socket"},
	} {
		var e *Error
		err := New("").unreachable(context.Background(), &net.OpError{Op: "dial", Err: test.err})
		if !errors.As(err, &e) || e.Hint != test.hint {
			t.Errorf("%v: got %+v", test.err, e)
		}
	}
}

func TestASocketThatMayNotBeOpened(t *testing.T) {
	c := New("/x/tierd.sock")
	err := c.unreachable(context.Background(), &net.OpError{Op: "dial", Err: os.ErrPermission})
	if !Unavailable(err) || err.Error() != "cannot reach tierd: you may not open /x/tierd.sock" {
		t.Errorf("got %v", err)
	}
}

func TestAConnectionThatBreaksIsNotATierdThatIsAbsent(t *testing.T) {
	c := tierd(t, func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) })
	_, err := c.Stack(context.Background(), StackRequest{Action: "down"})
	if !Unavailable(err) || !strings.HasPrefix(err.Error(), "cannot tell what tierd did: ") {
		t.Errorf("got %v", err)
	}
}

func TestTheEndOfTheContextIsHandedBack(t *testing.T) {
	release := make(chan struct{})
	free := sync.OnceFunc(func() { close(release) })
	t.Cleanup(free)
	c := tierd(t, func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if _, err := c.Table(ctx, 0); !errors.Is(err, context.DeadlineExceeded) || Unavailable(err) {
		t.Errorf("got %v", err)
	}
}

func TestTheDefaultSocket(t *testing.T) {
	if c := New(""); c.path != ControlSocket {
		t.Errorf("got %s", c.path)
	}
}

func TestUnavailable(t *testing.T) {
	for err, want := range map[error]bool{
		&Error{Kind: KindUnavailable}: true, &Error{Kind: KindConflict}: false, context.Canceled: false,
	} {
		if Unavailable(err) != want {
			t.Errorf("%v: %t", err, !want)
		}
	}
	if Unavailable(nil) {
		t.Error("no error is no unavailable tierd")
	}
}
