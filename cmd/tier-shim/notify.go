package main

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// notifier speaks sd_notify(3). It stays silent without NOTIFY_SOCKET, so the shim can be run by hand.
type notifier struct {
	mu     sync.Mutex
	conn   *net.UnixConn
	status string // the last STATUS= line sent
}

// dialNotify opens the datagram socket at the given address; "@name" is an abstract one. A socket that cannot be
// reached gives a silent notifier: systemd then ends the unit by its start timeout, and nothing here could say so better.
func dialNotify(address string) *notifier {
	if address == "" {
		return &notifier{}
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: address, Net: "unixgram"})
	if err != nil {
		return &notifier{}
	}
	return &notifier{conn: conn}
}

// send passes the lines on in one datagram. A STATUS= that systemd has already is left out, since each one wakes
// everybody who watches the unit over D-Bus.
func (n *notifier) send(lines ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	kept := lines[:0:0]
	for _, line := range lines {
		if strings.HasPrefix(line, "STATUS=") {
			if line == n.status {
				continue
			}
			n.status = line
		}
		kept = append(kept, line)
	}
	if n.conn == nil || len(kept) == 0 {
		return
	}
	// An error is not acted on: the manager is being restarted, and takes up the socket again when it is back.
	n.conn.Write([]byte(strings.Join(kept, "\n"))) //nolint:errcheck
}

// extend asks for so much more time, counted from now, in the phase that the unit is in (start or stop).
func (n *notifier) extend(more time.Duration) {
	n.send(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", more.Microseconds()))
}

func (n *notifier) close() {
	if n.conn != nil {
		n.conn.Close()
	}
}

// lookup returns a variable's value from an environment as os.Environ gives it.
func lookup(env []string, name string) string {
	for _, entry := range env {
		if value, found := strings.CutPrefix(entry, name+"="); found {
			return value
		}
	}
	return ""
}

// engineEnv is what the engine inherits. It must not speak to systemd in the shim's place, and the watchdog is not its.
func engineEnv(env []string) []string {
	kept := make([]string, 0, len(env))
	for _, entry := range env {
		switch name, _, _ := strings.Cut(entry, "="); name {
		case "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES":
		default:
			kept = append(kept, entry)
		}
	}
	return kept
}
