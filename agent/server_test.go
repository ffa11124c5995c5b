package agent

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// The agent is what the server was written for.
var _ Control = (*Agent)(nil)

func newTestServer(t *testing.T) (*Server, *fakeControl) {
	t.Helper()
	control := newFakeControl()
	return NewServer(control, quiet(), testRoot(t)), control
}

// eventually waits for what another goroutine is about to do.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for limit := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

func TestClientAndServerOverASocket(t *testing.T) {
	s, control := newTestServer(t)
	path, _ := serve(t, s)
	c := api.New(path)
	defer c.Close()
	ctx := context.Background()

	status, err := c.Status(ctx)
	if err != nil || status.Version != "1" || len(status.Tiers) != 1 || *status.Tiers[0].MemoryCurrent != 7<<30 {
		t.Errorf("status: %+v, %v", status, err)
	}
	_, err = c.Tier(ctx, "planner")
	var e *api.Error
	if !errors.As(err, &e) || e.Kind != api.KindNotFound {
		t.Errorf("unknown tier: %v", err)
	}
	change, err := c.Act(ctx, "coder", api.TierRequest{Action: "stop"})
	if os.Getuid() == 0 {
		if err != nil || change != "7" {
			t.Errorf("act: %q, %v", change, err)
		}
	} else if !errors.As(err, &e) || e.Kind != api.KindForbidden {
		t.Errorf("act without rights: %q, %v", change, err)
	}
	close(control.done)
	if got, err := c.WaitChange(ctx, "7", 0); err != nil || got.State != "done" {
		t.Errorf("wait: %+v, %v", got, err)
	}
}

func TestEndCutsWaitsAndStreamsAndLeavesTheSocket(t *testing.T) {
	s, control := newTestServer(t)
	path, end := serve(t, s)
	client := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", path)
	}}}
	answers := make(chan string, 2)
	var begun sync.WaitGroup
	begun.Add(1) // the stream's header; the wait is seen by the agent
	go func() {
		resp, err := client.Get("http://tierd/v1/changes/7/wait?timeout=10m")
		if err != nil {
			answers <- err.Error()
			return
		}
		text, err := io.ReadAll(resp.Body)
		answers <- string(text) + message(err)
	}()
	go func() {
		resp, err := client.Get("http://tierd/v1/events")
		begun.Done()
		if err != nil {
			answers <- err.Error()
			return
		}
		text, err := io.ReadAll(resp.Body)
		answers <- "stream:" + string(text) + message(err)
	}()
	begun.Wait()
	eventually(t, "the wait reaches the agent", func() bool { return len(control.notes()) > 0 })
	if err := end(); err != nil {
		t.Errorf("Serve: %v", err)
	}
	for range 2 {
		switch got := <-answers; {
		case got == "stream:":
		case strings.Contains(got, `"kind":"not-available"`) && strings.Contains(got, "tierd is ending"):
		default:
			t.Errorf("cut with %q", got)
		}
	}
	if control.subscribers() != 0 {
		t.Error("the stream's subscription is left behind")
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the socket is systemd's and should stay: %v", err)
	}
}

func TestServeSaysWhyItCannot(t *testing.T) {
	s, _ := newTestServer(t)
	l := listen(t)
	l.Close()
	if err := s.Serve(context.Background(), l); err == nil {
		t.Error("Serve on a closed listener ends without an error")
	}
}

func TestOrdersAndFaultsAreLogged(t *testing.T) {
	var out bytes.Buffer
	control := newFakeControl()
	s := NewServer(control, slog.New(slog.NewTextHandler(&out, nil)), testRoot(t))
	member := peer{uid: 1000, gid: 1000, pid: 55, groups: []uint32{980}, known: true}
	tests := []struct {
		name, method, path, body string
		err                      error
		want                     string
	}{
		{"an order with who gave it", "POST", "/v1/tiers/coder", `{"action":"stop"}`, nil, `msg="took an order" path=/v1/tiers/coder request="{\"action\":\"stop\"}" uid=1000 pid=55 change=7`},
		{"a refused order with the reason", "POST", "/v1/stack", `{"action":"up"}`, &api.Error{Kind: api.KindBudget, Message: "no room"}, `msg="refused an order" path=/v1/stack request="{\"action\":\"up\"}" uid=1000 pid=55 err="no room"`},
		{"reading is not logged", "GET", "/v1/status", "", nil, ""},
		{"a fault of tierd's own is", "GET", "/v1/modes", "", io.ErrUnexpectedEOF, `msg="cannot answer" method=GET path=/v1/modes err="unexpected EOF"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			out.Reset()
			control.err = test.err
			ask(s, member, test.method, test.path, test.body)
			if got := out.String(); test.want == "" && got != "" || !strings.Contains(got, test.want) {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestRawRequestsThatAreNoRequests(t *testing.T) {
	s, _ := newTestServer(t)
	path, _ := serve(t, s)
	tests := []struct{ name, text, want string }{
		{"a header beyond the limit", "GET /v1/status HTTP/1.1\r\nHost: t\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", "HTTP/1.1 431"},
		{"not HTTP", "hello\r\n\r\n", "HTTP/1.1 400"},
		{"a body beyond the limit that is announced only", "POST /v1/stack HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 999999\r\nConnection: close\r\n\r\n", "HTTP/1.1 4"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, err := net.Dial("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(time.Minute))
			if _, err := io.WriteString(c, test.text); err != nil && test.want == "" {
				t.Fatal(err)
			}
			got := make([]byte, len(test.want))
			if _, err := io.ReadFull(c, got); err != nil || string(got) != test.want {
				t.Errorf("got %q, %v; want %q", got, err, test.want)
			}
		})
	}
}
