package main

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A Tab in a shell ends also when tierd takes a connection and says nothing.
func TestATabDoesNotHang(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "tierd.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	t.Setenv("TIERD_SOCKET", socket)
	for _, line := range []string{"start ", "switch ", "switch-orch ", "up ", "abort "} {
		var out, errs strings.Builder
		a := newApp()
		a.stdout, a.stderr, a.completeWithin = &out, &errs, 10*time.Millisecond
		if status := a.run(append([]string{"__complete"}, strings.Split(line, " ")...)); status != 0 || !strings.HasPrefix(out.String(), ":4\n") {
			t.Errorf("%q: status %d, %q %q", line, status, out.String(), errs.String())
		}
	}
}
