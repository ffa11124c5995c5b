package gateway

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/agent/api"
)

// childEnv makes the test binary a gateway: its value is tierd's socket.
const childEnv = "GATEWAY_TEST_CONTROL"

func TestMain(m *testing.M) {
	if control := os.Getenv(childEnv); control != "" {
		os.Exit(runChild(control))
	}
	if at := os.Getenv(engineEnv); at != "" {
		os.Exit(runEngine(at))
	}
	os.Exit(m.Run())
}

func runChild(control string) int {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	in, err := Inherit(os.Getenv, os.Getpid())
	if err != nil {
		log.Error("cannot start", "err", err)
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	g := New(Config{Control: api.New(control), Log: log, Inherited: in, Notify: &Notifier{Address: os.Getenv("NOTIFY_SOCKET")}})
	if err := g.Run(ctx); err != nil {
		log.Error("ended", "err", err)
		return 1
	}
	return 0
}

func closeFD(fd int) { unix.Close(fd) }

// logText is a log that may be read while it is written.
type logText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// serveControl puts a fakeTierd on a unix socket, for another process.
func serveControl(t testing.TB, f *fakeTierd) string {
	t.Helper()
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, result any) {
		raw, _ := json.Marshal(result)
		json.NewEncoder(w).Encode(api.Envelope{Type: "sync", Result: raw})
	}
	mux.HandleFunc("GET /v1/gateway/table", func(w http.ResponseWriter, r *http.Request) {
		after, _ := strconv.ParseUint(r.URL.Query().Get("after"), 10, 64)
		if table, err := f.Table(r.Context(), after); err == nil {
			answer(w, table)
		}
	})
	mux.HandleFunc("POST /v1/gateway/report", func(w http.ResponseWriter, r *http.Request) {
		var report api.GatewayReport
		json.NewDecoder(r.Body).Decode(&report)
		f.Report(r.Context(), report)
		answer(w, struct{}{})
	})
	mux.HandleFunc("POST /v1/gateway/ensure", func(w http.ResponseWriter, r *http.Request) {
		var wish api.EnsureRequest
		json.NewDecoder(r.Body).Decode(&wish)
		if f.Ensure(r.Context(), wish.Tier) == nil {
			answer(w, struct{}{})
		}
	})
	e := startEngine(t, mux.ServeHTTP)
	return e.socket
}

// spawnChild is a SpawnFunc that starts the test binary.
func spawnChild(t *testing.T, control, notify string, pids chan<- int) SpawnFunc {
	return func(fds []int, env string) (int, error) {
		path, err := os.Executable()
		if err != nil {
			return 0, err
		}
		files := []uintptr{0, 1, 2}
		for _, fd := range fds {
			files = append(files, uintptr(fd))
		}
		pid, err := syscall.ForkExec(path, []string{path}, &syscall.ProcAttr{
			Env: append(os.Environ(), env, childEnv+"="+control, "NOTIFY_SOCKET="+notify), Files: files,
		})
		if err != nil {
			return 0, err
		}
		t.Cleanup(func() {
			syscall.Kill(pid, syscall.SIGTERM)
			var status syscall.WaitStatus
			if _, err := syscall.Wait4(pid, &status, 0, nil); err == nil && status.ExitStatus() != 0 {
				t.Errorf("the successor ended with %v", status)
			}
		})
		pids <- pid
		return pid, nil
	}
}

func TestAHandoverLosesNoRequest(t *testing.T) {
	m := startManager(t)
	engine, arrived, letGo := holding(t)
	quick := echoing(t, "quick")
	tierd := newFakeTierd()
	control := serveControl(t, tierd)
	pids := make(chan int, 1)
	reload := make(chan chan<- error)
	table := api.Table{Listen: "127.0.0.1", Port: freePort(t), Routes: []api.Route{route(t, "coder", engine.socket), route(t, "quick", quick.socket)}}
	tierd.set(table)
	g := New(Config{
		Control: tierd, Notify: &m.Notifier, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		Reload: reload, Spawn: spawnChild(t, control, m.Address, pids),
	})
	ended := make(chan error, 1)
	ctx, stop := context.WithCancel(context.Background())
	go func() { ended <- g.Run(ctx) }()
	defer stop()
	coder, fast := "http://"+address(table.Routes[0].Port)+"/x", "http://"+address(table.Routes[1].Port)+"/x"
	eventually(t, "it serves", func() bool {
		c, err := net.Dial("tcp", address(table.Routes[1].Port))
		if err == nil {
			c.Close()
		}
		return err == nil && m.heard("READY=1")
	})

	rest := stream(t, coder)
	<-arrived
	var clients sync.WaitGroup
	done := make(chan struct{})
	for n := range 4 {
		clients.Go(func() {
			client := http.Client{Transport: &http.Transport{DisableKeepAlives: n%2 == 0}}
			defer client.CloseIdleConnections()
			for {
				select {
				case <-done:
					return
				default:
				}
				res, err := client.Post(fast, "application/json", strings.NewReader(`{}`))
				if err != nil {
					t.Errorf("a request failed during the handover: %v", err)
					return
				}
				body, err := io.ReadAll(res.Body)
				res.Body.Close()
				if err != nil || res.StatusCode != 200 || string(body) != "/x {}" {
					t.Errorf("%d %q, %v", res.StatusCode, body, err)
				}
			}
		})
	}
	answer := make(chan error, 1)
	reload <- answer
	if err := <-answer; err != nil {
		t.Fatal(err)
	}
	pid := <-pids
	m.Barrier(patience)
	if !m.heard("MAINPID=" + strconv.Itoa(pid) + "\nREADY=1") {
		t.Errorf("the manager heard %q", m.said())
	}
	// The old process still serves its stream: the unit must not be reported as free by the new one.
	tierd.mu.Lock()
	tierd.reports = nil
	tierd.mu.Unlock()
	table.Routes = slices.Clone(table.Routes)
	table.Routes[0].State, table.Routes[0].Drain = api.Draining, 3600
	tierd.set(table)
	eventually(t, "the successor knows that the tier drains", func() bool {
		_, body := fetch(t, "GET", "http://"+address(table.Port)+"/v1/models/coder", "")
		return strings.Contains(body, `"draining"`)
	})
	if res, _ := fetch(t, "POST", coder, `{}`); res.StatusCode != 503 {
		t.Errorf("a new request for it got %d", res.StatusCode)
	}
	tierd.report(t, "of the successor", func(r api.GatewayReport) bool { return r.InFlight["coder"] == 1 })
	tierd.mu.Lock()
	for _, r := range tierd.reports {
		if drained("tier-coder.service")(r) {
			t.Error("reported as free while the old process streams from it")
		}
	}
	tierd.mu.Unlock()
	close(done)
	clients.Wait()
	close(letGo)
	if body, err := rest(); err != nil || body != "first last" {
		t.Errorf("the stream over the handover: %q, %v", body, err)
	}
	tierd.report(t, "that the unit is free", drained("tier-coder.service"))
	http.DefaultClient.CloseIdleConnections()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(idleGrace + patience):
		t.Fatal("the old process did not end")
	}
	if res, body := fetch(t, "POST", fast, `{}`); res.StatusCode != 200 {
		t.Errorf("by the successor alone: %d %s", res.StatusCode, body)
	}
}

func TestARetiringProcessClosesConnectionsByAnswering(t *testing.T) {
	engine := echoing(t, "coder")
	rig := startRig(t, Config{}, route(t, "coder", engine.socket))
	client := http.Client{Transport: &http.Transport{}}
	for _, retiring := range []bool{false, true} {
		rig.retiring.Store(retiring)
		res, err := client.Post(rig.tierURL("coder", "/x"), "application/json", strings.NewReader(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.Close != retiring {
			t.Errorf("retiring %v: the connection closes: %v", retiring, res.Close)
		}
	}
}

func TestAwaitReady(t *testing.T) {
	for rule, c := range map[string]struct {
		write, close bool
		says         string
	}{
		"a byte is the word":      {true, false, ""},
		"an end without it fails": {false, true, "ended before"},
		"silence fails":           {false, false, "not ready within"},
	} {
		var pipe [2]int
		if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		if c.write {
			unix.Write(pipe[1], []byte{1})
		}
		if c.close {
			unix.Close(pipe[1])
		}
		err := awaitReady(pipe[0], 30*time.Millisecond)
		if (c.says == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", rule, err)
		}
		unix.Close(pipe[0])
		if !c.close {
			unix.Close(pipe[1])
		}
	}
}
