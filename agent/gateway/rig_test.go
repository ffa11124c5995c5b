package gateway

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// patience bounds every wait of a test; nothing measures time against it.
const patience = 20 * time.Second

// fakeTierd is a Control with a table that a test sets.
type fakeTierd struct {
	mu      sync.Mutex
	table   api.Table
	fresh   chan struct{}
	away    bool
	mute    bool // it takes as long as it may
	metrics api.Metrics
	reports []api.GatewayReport
	asked   []uint64
	told    chan struct{}
	ensure  func(ctx context.Context, tier string) error // nil: waits until ctx ends
	wishes  []string                                     // tiers that were asked for
	ended   int                                          // calls of Ensure that have ended
}

// Ensure does what the test says.
func (f *fakeTierd) Ensure(ctx context.Context, tier string) error {
	f.mu.Lock()
	f.wishes = append(f.wishes, tier)
	ensure := f.ensure
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		f.ended++
		f.mu.Unlock()
	}()
	if ensure != nil {
		return ensure(ctx, tier)
	}
	<-ctx.Done()
	return ctx.Err()
}

func newFakeTierd() *fakeTierd {
	return &fakeTierd{fresh: make(chan struct{}), told: make(chan struct{}, 1)}
}

func (f *fakeTierd) set(t api.Table) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t.Seq = f.table.Seq + 1
	f.table = t
	close(f.fresh)
	f.fresh = make(chan struct{})
}

func (f *fakeTierd) Table(ctx context.Context, after uint64) (api.Table, error) {
	f.mu.Lock()
	f.asked = append(f.asked, after)
	f.mu.Unlock()
	for {
		f.mu.Lock()
		table, fresh, away := f.table, f.fresh, f.away
		f.mu.Unlock()
		switch {
		case away:
			return api.Table{}, errors.New("tierd is away")
		case table.Seq > after:
			return table, nil
		}
		select {
		case <-ctx.Done():
			return api.Table{}, ctx.Err()
		case <-fresh:
		}
	}
}

func (f *fakeTierd) Metrics(ctx context.Context) (api.Metrics, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.away:
		return api.Metrics{}, errors.New("tierd is away")
	case f.mute:
		f.mu.Unlock()
		<-ctx.Done()
		f.mu.Lock()
		return api.Metrics{}, ctx.Err()
	}
	return f.metrics, nil
}

func (f *fakeTierd) Report(_ context.Context, r api.GatewayReport) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away {
		return errors.New("tierd is away")
	}
	f.reports = append(f.reports, r)
	select {
	case f.told <- struct{}{}:
	default:
	}
	return nil
}

// report waits for a report that fits.
func (f *fakeTierd) report(t *testing.T, what string, fits func(api.GatewayReport) bool) {
	t.Helper()
	limit := time.After(patience)
	for {
		f.mu.Lock()
		found := slices.ContainsFunc(f.reports, fits)
		f.mu.Unlock()
		if found {
			return
		}
		select {
		case <-f.told:
		case <-limit:
			t.Fatalf("no report %s; got %+v", what, f.reports)
		}
	}
}

// engine is a real HTTP server on a unix socket.
type engine struct {
	socket string
	server *http.Server
}

func startEngine(t testing.TB, handler http.HandlerFunc) *engine {
	t.Helper()
	e := &engine{socket: filepath.Join(shortDir(t), "engine.sock"), server: &http.Server{Handler: handler}}
	l, err := net.Listen("unix", e.socket)
	if err != nil {
		t.Fatal(err)
	}
	go e.server.Serve(l)
	t.Cleanup(func() { e.server.Close() })
	return e
}

// shortDir is a directory for sockets: t.TempDir may be too long for a socket's path.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// freePort finds a port that nothing listens on.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// rig is a gateway that runs, with its tierd.
type rig struct {
	*Gateway
	tierd *fakeTierd
	table api.Table
	stop  context.CancelFunc
	ended chan error
}

// route is a ready tier on a free port.
func route(t *testing.T, tier, socket string) api.Route {
	return api.Route{
		Tier: tier, Role: "the-" + tier, Port: freePort(t), Names: []string{tier, "models/" + tier}, State: api.Ready,
		Unit: "tier-" + tier + ".service", Variant: "llama", Engine: "llama", Model: "models/" + tier, Socket: socket, Context: 4096, Drain: 30,
	}
}

func startRig(t *testing.T, cfg Config, routes ...api.Route) *rig {
	t.Helper()
	r := &rig{tierd: newFakeTierd(), ended: make(chan error, 1)}
	r.table = api.Table{Listen: "127.0.0.1", Port: freePort(t), Routes: routes}
	r.tierd.set(r.table)
	cfg.Control = r.tierd
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	r.Gateway = New(cfg)
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	go func() { r.ended <- r.Run(ctx) }()
	t.Cleanup(func() { stop(); r.wait(t) })
	for _, l := range append(slices.Clone(routes), api.Route{Port: r.table.Port}) {
		r.reach(t, l.Port)
	}
	return r
}

// wait waits for the end of Run.
func (r *rig) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-r.ended:
		r.ended <- err
		return err
	case <-time.After(patience):
		t.Fatal("the gateway did not end")
		return nil
	}
}

// reach waits until a port accepts, and until the connection that tried it has given its slot back.
func (r *rig) reach(t *testing.T, port int) {
	t.Helper()
	eventually(t, "port "+strconv.Itoa(port)+" is open", func() bool {
		c, err := net.Dial("tcp", address(port))
		if err != nil {
			return false
		}
		defer c.Close()
		_ = c.SetReadDeadline(time.Now().Add(patience))
		_ = c.(*net.TCPConn).CloseWrite()
		_, err = c.Read(make([]byte, 1)) // the gateway closes it, and gives the slot back before that
		return err == io.EOF
	})
}

// change edits one route and waits until the gateway knows it.
func (r *rig) change(t *testing.T, tier string, edit func(*api.Route)) {
	t.Helper()
	r.table.Routes = slices.Clone(r.table.Routes)
	for i := range r.table.Routes {
		if r.table.Routes[i].Tier == tier {
			edit(&r.table.Routes[i])
		}
	}
	r.publish(t)
}

func (r *rig) publish(t *testing.T) {
	t.Helper()
	before := r.view.Load()
	r.tierd.set(r.table)
	eventually(t, "the gateway has the new table", func() bool { return r.view.Load() != before })
}

func (r *rig) url(port int, path string) string { return "http://" + address(port) + path }

func (r *rig) tierURL(tier, path string) string {
	for _, route := range r.table.Routes {
		if route.Tier == tier {
			return r.url(route.Port, path)
		}
	}
	return r.url(r.table.Port, path)
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// eventually waits for a condition that no channel tells of.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came about that %s", what)
		}
	}
}

// fetch sends a request and reads the whole answer.
func fetch(t *testing.T, method, url, body string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		} else {
			req.Header.Set(header[i], header[i+1])
		}
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	res, err := client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return res, string(text)
}
