package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/gateway"
)

// asGateway makes the test binary the program itself.
const asGateway = "TIER_GATEWAY_TEST_RUN"

func TestMain(m *testing.M) {
	if os.Getenv(asGateway) != "" {
		main()
	}
	os.Exit(m.Run())
}

const patience = 20 * time.Second

func TestUsage(t *testing.T) {
	for rule, c := range map[string]struct {
		args   []string
		status int
		says   string
	}{
		"help is no error":              {[]string{"-h"}, 0, "-control"},
		"an unknown flag":               {[]string{"-x"}, 2, "-x"},
		"an argument":                   {[]string{"start"}, 2, "takes no arguments"},
		"a duration that is none":       {[]string{"-stop-timeout", "30"}, 2, "stop-timeout"},
		"a reload of what does not run": {[]string{"-reload", "-runtime", t.TempDir()}, 1, "cannot reach the running gateway"},
	} {
		var out, errs bytes.Buffer
		if status := run(c.args, &out, &errs); status != c.status || !strings.Contains(errs.String(), c.says) {
			t.Errorf("%s: status %d, %q", rule, status, errs.String())
		}
	}
}

func TestASuccessorDoesNotInheritWhatWasMeantForItsPredecessor(t *testing.T) {
	got := successorEnv([]string{
		"PATH=/bin", "LISTEN_FDS=3", "LISTEN_PID=7", "LISTEN_FDNAMES=a:b:c", "WATCHDOG_PID=7", "WATCHDOG_USEC=5", "NOTIFY_SOCKET=/n",
		"TIERD_GATEWAY_FDNAMES=ready",
	})
	if want := []string{"PATH=/bin", "WATCHDOG_USEC=5", "NOTIFY_SOCKET=/n"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// reloadRig is a reloader whose wishes are answered by answer.
func reloadRig(t *testing.T, answer func() error) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	wishes := make(chan chan<- error)
	go func() {
		for wish := range wishes {
			wish <- answer()
		}
	}()
	r := &reloader{wishes: wishes, ended: make(chan struct{})}
	path := filepath.Join(dir, reloadName)
	if err := r.listen(path, &gateway.Inherited{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.socket.Close() })
	return path
}

func TestAReloadSaysWhatCameOfIt(t *testing.T) {
	var works atomic.Bool
	path := reloadRig(t, func() error {
		if works.Load() {
			return nil
		}
		return errors.New("the successor ended")
	})
	for range 2 { // a failure leaves the way open for the next attempt
		if err := askReload(path); err == nil || !strings.Contains(err.Error(), "goes on as it is: the successor ended") {
			t.Fatalf("got %v", err)
		}
	}
	works.Store(true)
	if err := askReload(path); err != nil {
		t.Fatal(err)
	}
	if err := askReload(path); err == nil {
		t.Error("a process that has handed over hears another wish")
	}
}

func TestTheReloadSocketIsNobodyElses(t *testing.T) {
	path := reloadRig(t, func() error { return nil })
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// tierd serves one table on a control socket.
func tierd(t *testing.T, dir string, table api.Table) string {
	t.Helper()
	path := filepath.Join(dir, "tierd.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/gateway/table", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("after") == fmt.Sprint(table.Seq) {
			<-r.Context().Done()
			return
		}
		raw, _ := json.Marshal(table)
		json.NewEncoder(w).Encode(api.Envelope{Type: "sync", Result: raw})
	})
	mux.HandleFunc("POST /v1/gateway/report", func(w http.ResponseWriter, _ *http.Request) {
		json.NewEncoder(w).Encode(api.Envelope{Type: "sync", Result: json.RawMessage("{}")})
	})
	server := &http.Server{Handler: mux}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	return path
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func TestTheProgramServesReloadsAndStops(t *testing.T) {
	dir, err := os.MkdirTemp("", "gw")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	port := freePort(t)
	table := api.Table{Seq: 1, Listen: "127.0.0.1", Port: port, Routes: []api.Route{{Tier: "coder", Port: freePort(t), State: api.Stopped, Names: []string{"coder"}}}}
	control := tierd(t, dir, table)
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	first := program(t, log, "-control", control, "-runtime", dir, "-reload-timeout", "1s")
	get := func() (string, error) {
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		res, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/v1/models", port))
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		return string(body), err
	}
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if body, err := get(); err == nil && strings.Contains(body, `"coder"`) {
			break
		}
		if time.Now().After(end) {
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("it does not serve: %s", text)
		}
	}
	for n := range 2 { // the second one goes to the successor, over the socket that it was handed
		var out, errs bytes.Buffer
		if status := run([]string{"-reload", "-runtime", dir}, &out, &errs); status != 0 {
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("reload %d: status %d, %s\n%s", n, status, errs.String(), text)
		}
		if body, err := get(); err != nil || !strings.Contains(body, `"coder"`) {
			t.Errorf("after reload %d: %q, %v", n, body, err)
		}
	}
	if err := first.Wait(); err != nil {
		t.Errorf("the process that handed over ended with %v", err)
	}
	text, err := os.ReadFile(log.Name())
	if err != nil {
		t.Fatal(err)
	}
	successors := successorPIDs(string(text))
	if len(successors) != 2 {
		t.Fatalf("successors %v in %s", successors, text)
	}
	if err := syscall.Kill(successors[1], syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if _, err := get(); err != nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the last process serves on after SIGTERM")
		}
	}
}

// program starts the test binary as tier-gateway.
func program(t *testing.T, log *os.File, args ...string) *exec.Cmd {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	cmd.Env = append(os.Environ(), asGateway+"=1")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	return cmd
}

// successorPIDs reads the log's lines about handovers.
func successorPIDs(log string) []int {
	var pids []int
	for line := range strings.Lines(log) {
		if _, text, ok := strings.Cut(line, "successor="); ok {
			var pid int
			if n, _ := fmt.Sscan(text, &pid); n == 1 {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
