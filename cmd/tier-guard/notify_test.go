package main

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// listenNotify is systemd's end: heard returns the next datagram.
func listenNotify(t testing.TB, env ...string) (n *notifier, heard func() string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	n = dialNotify(environment(append(env, "NOTIFY_SOCKET="+path)), 42)
	t.Cleanup(n.close)
	return n, func() string {
		buf := make([]byte, 4096)
		if err := conn.SetReadDeadline(time.Now().Add(bound)); err != nil {
			t.Fatal(err)
		}
		size, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:size])
	}
}

func environment(env []string) func(string) string {
	return func(name string) string {
		for _, entry := range env {
			if value, ok := strings.CutPrefix(entry, name+"="); ok {
				return value
			}
		}
		return ""
	}
}

func TestNotify(t *testing.T) {
	n, heard := listenNotify(t)
	n.send("READY=1", "STATUS=Armed")
	n.send("STATUS=Armed")
	n.send("STATUS=Dry run")
	if got := heard(); got != "READY=1\nSTATUS=Armed" {
		t.Errorf("first %q", got)
	}
	if got := heard(); got != "STATUS=Dry run" {
		t.Errorf("a status that systemd has is sent again: %q", got)
	}
}

func TestWithoutAManagerNothingIsSaid(t *testing.T) {
	for _, env := range [][]string{nil, {"NOTIFY_SOCKET=/nowhere/at/all"}} {
		n := dialNotify(environment(env), 42)
		n.send("READY=1")
		n.feed()
		n.close()
	}
}

func TestWatchdogOfTheEnvironment(t *testing.T) {
	for _, test := range []struct {
		name string
		env  []string
		want time.Duration
	}{
		{"half of its time", []string{"WATCHDOG_USEC=10000000"}, 5 * time.Second},
		{"of this process", []string{"WATCHDOG_USEC=10000000", "WATCHDOG_PID=42"}, 5 * time.Second},
		{"of another process", []string{"WATCHDOG_USEC=10000000", "WATCHDOG_PID=43"}, 0},
		{"none", nil, 0},
		{"not a number", []string{"WATCHDOG_USEC=soon"}, 0},
	} {
		if n, _ := listenNotify(t, test.env...); n.every != test.want {
			t.Errorf("%s: %s", test.name, n.every)
		}
	}
}
