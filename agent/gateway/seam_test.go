package gateway

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tierd/tierd/agent/api"
)

// waitingSource holds every request until it is let go, as loading on demand will.
type waitingSource struct {
	Source
	letGo chan struct{}
}

func (s waitingSource) Acquire(ctx context.Context, ask Ask) (*Lease, error) {
	select {
	case <-s.letGo:
		return s.Source.Acquire(ctx, ask)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func TestARequestMayWaitForItsLeaseWithNothingSent(t *testing.T) {
	engine := startEngine(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadRequest) // the engine's own status must reach the client
		io.WriteString(w, "exceeds the available context size")
	})
	rig := startRig(t, Config{}, route(t, "coder", engine.socket))
	source := waitingSource{rig.pool, make(chan struct{})}
	rig.source = source
	rig.publish(t) // the handler sees what was written before its view
	answers := make(chan string, 1)
	go func() {
		res, body := fetch(t, "POST", rig.tierURL("coder", "/x"), `{}`)
		answers <- res.Status + ": " + body
	}()
	close(source.letGo)
	if got := <-answers; got != "400 Bad Request: exceeds the available context size" {
		t.Errorf("got %q", got)
	}
}

func TestAUnitThatWasCutTakesNoConnection(t *testing.T) {
	dir, err := os.MkdirTemp("", "gw")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "engine.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p, changes := testPool(t, api.Route{Tier: "a", Unit: "tier-a.service", State: api.Ready, Socket: socket})
	u := newUnit(socket)
	c, err := p.connect(t.Context(), u, false)
	if err != nil || len(u.conns) != 1 {
		t.Fatalf("%v, %d connections", err, len(u.conns))
	}
	// A request that was there before the drain may connect, and once more after its connection broke.
	u.leaving = true
	second, err := p.connect(t.Context(), u, false)
	if err != nil {
		t.Fatalf("while it drains: %v", err)
	}
	second.Close()
	u.gone = true
	if _, err := p.connect(t.Context(), u, false); !errors.Is(err, errTierGone) {
		t.Errorf("a unit that was cut was connected to: %v", err)
	}
	before := *changes
	c.Close()
	c.Close()
	if len(u.conns) != 0 || *changes != before+1 {
		t.Errorf("%d connections, %d changes", len(u.conns), *changes-before)
	}
}

func TestEndToEndHeaders(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfN(rapid.SampledFrom([]string{
			"Accept", "Connection", "Te", "X-A", "X-B", "Upgrade", "Transfer-Encoding", "Content-Type", "Authorization", "Trailer",
		}), 0, 8).Draw(t, "names")
		listed := rapid.SliceOfN(rapid.SampledFrom([]string{"x-a", "X-B", "close", " keep-alive "}), 0, 3).Draw(t, "listed")
		h := http.Header{}
		for _, name := range names {
			h.Set(name, "v")
		}
		h.Set("Connection", strings.Join(listed, ","))
		r := &http.Request{Method: "GET", Host: "localhost", Header: h}
		head := appendOutgoing(nil, r, &url.URL{Path: "/"}, nil)
		out, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
		if err != nil {
			t.Fatalf("%q: %v", head, err)
		}
		for name := range h {
			named := slices.ContainsFunc(listed, func(s string) bool { return strings.EqualFold(strings.TrimSpace(s), name) })
			if want := forEngine(name) && !named; (out.Header[name] != nil) != want {
				t.Fatalf("%s passed: %v, want %v", name, out.Header[name] != nil, want)
			}
		}
	})
}

func TestAnUpgradeThatWasNotAskedForIsRefused(t *testing.T) {
	socket := rawEngine(t, func(_ int, c net.Conn, _ *http.Request) {
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n")
	})
	rig := startRig(t, Config{}, route(t, "coder", socket))
	res, body := fetch(t, "POST", rig.tierURL("coder", "/x"), `{}`)
	if res.StatusCode != 502 || !strings.Contains(errorMessage(t, body), "not asked for") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}
