package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/packaging/vmtest/wire"
)

// agent serves the agent's routes and returns a client of it. Its protocol is the line's.
func agent(t *testing.T) *http.Client {
	t.Helper()
	here, there := net.Pipe()
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: routes(), Protocols: &protocols}
	go server.Serve(newOneConn(there))
	transport := &http.Transport{Protocols: &protocols, DialContext: func(context.Context, string, string) (net.Conn, error) { return here, nil }}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
	})
	return &http.Client{Transport: transport}
}

// post asks for a path of a host that the agent knows, on the only connection.
func post(t *testing.T, ctx context.Context, client *http.Client, host, path, body string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://vm"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return res
}

func TestACommandsOutputAndEndAreTold(t *testing.T) {
	client := agent(t)
	for script, want := range map[string]struct {
		out, err string
		status   int
	}{
		"echo out; echo err >&2":        {"out\n", "err\n", 0},
		"exit 6":                        {"", "", 6},
		"kill -KILL $$":                 {"", "", 137},
		"cat":                           {"", "", 0}, // nothing to read
		"echo $HOME $LANG":              {"/root C.UTF-8\n", "", 0},
		"printf '%s' one; sleep 0; pwd": {"one/", "", 0},
	} {
		res := post(t, context.Background(), client, "agent", "/run", "cd /\n"+script)
		var out, errs bytes.Buffer
		status, err := wire.Copy(&out, &errs, res.Body)
		if err != nil || status != want.status || strings.TrimSuffix(out.String(), "\n") != strings.TrimSuffix(want.out, "\n") || errs.String() != want.err {
			t.Errorf("%s: %q, %q, %d, %v", script, out.String(), errs.String(), status, err)
		}
	}
}

func TestOutputComesBeforeTheCommandsEnd(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	res := post(t, ctx, agent(t), "agent", "/run", "echo $$; sleep 1000")
	var head [5]byte
	if _, err := io.ReadFull(res.Body, head[:]); err != nil || head[0] != wire.Stdout {
		t.Fatalf("%q, %v", head, err)
	}
	var pid int
	if _, err := fmt.Fscan(res.Body, &pid); err != nil {
		t.Fatal(err)
	}
	cancel() // the asker goes away: the command ends, and its children with it
	for begin := time.Now(); ; {
		if err := ended(pid); err == nil {
			return
		} else if time.Since(begin) > time.Minute {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
}

// ended is an error as long as the process runs.
func ended(pid int) error {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil || bytes.Contains(stat, []byte(") Z ")) {
		return nil
	}
	return fmt.Errorf("process %d lives: %s", pid, stat)
}

func TestRequestsGoToThePortsInside(t *testing.T) {
	inside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s", r.Host, r.URL, body)
	}))
	defer inside.Close()
	host := strings.TrimPrefix(inside.URL, "http://")
	client := agent(t)
	res := post(t, context.Background(), client, host, "/v1/models?a=b", "body")
	text, err := io.ReadAll(res.Body)
	if want := host + " /v1/models?a=b body"; err != nil || string(text) != want {
		t.Errorf("got %q, %v, want %q", text, err, want)
	}
	for host, status := range map[string]int{"127.0.0.1:1": 502, "192.0.2.1:80": 400, "somewhere": 400, "tierd": 502} {
		if res := post(t, context.Background(), client, host, "/", ""); res.StatusCode != status {
			t.Errorf("%s: %s, want %d", host, res.Status, status)
		}
	}
}

func TestTheProgramNamesItsCommands(t *testing.T) {
	var stdout, stderr bytes.Buffer
	for _, args := range [][]string{nil, {"fly"}} {
		if status := run(args, &stdout, &stderr); status != 2 || !strings.Contains(stderr.String(), "agent|watch|requests|starts") {
			t.Errorf("%q: status %d, %s", args, status, stderr.String())
		}
	}
	for _, args := range [][]string{{"agent"}, {"agent", "/no/such/line"}, {"watch", "-out", "/no/such/file"}, {"requests", "-tiers", "orch"}, {"starts", "-fly"}} {
		if status := run(args, &stdout, &stderr); status != 1 {
			t.Errorf("%q: status %d", args, status)
		}
	}
}
