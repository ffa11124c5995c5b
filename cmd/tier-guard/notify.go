package main

import (
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// notifier speaks sd_notify(3) through a socket that stays open. Without NOTIFY_SOCKET it says nothing.
type notifier struct {
	fd    int
	every time.Duration // the watchdog's turn; 0: there is none

	mu     sync.Mutex
	status string // STATUS= as systemd knows it
}

// dialNotify connects with what the environment names. One that cannot be reached gives a silent notifier: systemd then ends
// the unit by its start timeout, and nothing here could say so better.
func dialNotify(getenv func(string) string, pid int) *notifier {
	n := &notifier{fd: -1}
	address := getenv("NOTIFY_SOCKET")
	if address == "" {
		return n
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return n
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: address}); err != nil {
		unix.Close(fd)
		return n
	}
	n.fd = fd
	if of := getenv("WATCHDOG_PID"); of == "" || of == strconv.Itoa(pid) {
		if us, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64); err == nil && us > 0 {
			n.every = time.Duration(us) * time.Microsecond / 2
		}
	}
	return n
}

// send passes the lines on in one datagram. A STATUS= that systemd has already is left out, since each one wakes everybody
// who watches the unit over D-Bus.
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
	if n.fd >= 0 && len(kept) > 0 {
		datagram(n.fd, []byte(strings.Join(kept, "\n")))
	}
}

var alive = []byte("WATCHDOG=1")

// feed is the hot thread's, and nobody else's: the watchdog is to find out when that thread does not go on.
func (n *notifier) feed() {
	if n.fd >= 0 {
		datagram(n.fd, alive)
	}
}

func (n *notifier) close() {
	if n.fd >= 0 {
		unix.Close(n.fd)
	}
}
