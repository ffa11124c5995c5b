package main

import (
	"bufio"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// serveFake answers on a socket of its own until the test ends, from files in testdata.
func serveFake(t *testing.T, answers map[string][]string) (socket string) {
	return serveControl(t, &fakeControl{answers: answers, read: func(file string) []byte {
		text, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Error(err)
		}
		return text
	}})
}

// serveControl has a control server answer on a socket of its own until the test ends.
func serveControl(t *testing.T, fake *fakeControl) (socket string) {
	dir, err := os.MkdirTemp("", "tierctl") // not t.TempDir: a socket's path has at most 107 characters (unix(7))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	fake.log = filepath.Join(dir, "requests")
	socket = filepath.Join(dir, "tierd.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: fake}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	return socket
}

// TestInterrupt sends the signal when the wait has visibly begun; testscript has no way to time that.
func TestInterrupt(t *testing.T) {
	tests := []struct {
		rule    string
		args    []string
		answers map[string][]string
		begun   string // the line after which the signal is sent
		status  int
		stderr  string
	}{
		{
			rule: "Ctrl-C ends the wait, and says how to go on",
			args: []string{"start", "coder"},
			answers: map[string][]string{
				"POST /v1/tiers/coder":   {"202 change=7"},
				"GET /v1/changes/7/wait": {"200 @fixtures/start-doing.json"},
			},
			begun:  "coder: start tier-coder.service\n",
			status: exitInterrupted,
			stderr: "tierctl: no longer waiting; change 7 goes on\nhint: tierctl changes 7 --wait, or tierctl abort 7\n",
		},
		{
			rule:    "Ctrl-C is how `events -f` ends",
			args:    []string{"events", "-f", "--since", "10m"},
			answers: map[string][]string{"GET /v1/events": {"200 stream=@fixtures/events.jsonl"}},
			begun:   "2026-03-01 11:59:00  coder       coder failed: the engine ended by itself\n",
			status:  exitDone,
		},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			cmd := exec.Command("tierctl", append(tt.args, "--socket", serveFake(t, tt.answers))...)
			cmd.Env = append(os.Environ(), "TZ=UTC")
			out, err := cmd.StderrPipe()
			if err != nil {
				t.Fatal(err)
			}
			cmd.Stdout = cmd.Stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewReader(out)
			for line := ""; line != tt.begun; {
				if line, err = lines.ReadString('\n'); err != nil {
					t.Fatalf("ended before it was interrupted: %v", err)
				}
			}
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			var rest strings.Builder
			if _, err := lines.WriteTo(&rest); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			if got := cmd.ProcessState.ExitCode(); got != tt.status || rest.String() != tt.stderr {
				t.Errorf("status %d, want %d; after the signal it wrote\n%s", got, tt.status, rest.String())
			}
		})
	}
}
