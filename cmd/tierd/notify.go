package main

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// notifier speaks sd_notify(3). Without NOTIFY_SOCKET it says nothing.
type notifier struct {
	log  *slog.Logger
	last string // STATUS= as systemd knows it
}

func newNotifier(log *slog.Logger) *notifier { return &notifier{log: log} }

// send passes on assignments, one a line. A STATUS= that systemd has already is left out: each one makes it signal the
// whole bus.
func (n *notifier) send(text string) {
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		status, ok := strings.CutPrefix(line, "STATUS=")
		if line == "" || ok && status == n.last {
			continue
		}
		if ok {
			n.last = status
		}
		lines = append(lines, line)
	}
	if _, err := sd.SdNotify(false, strings.Join(lines, "\n")); err != nil {
		n.log.Warn("cannot tell systemd how things are", "err", err)
	}
}

// watchdog is WatchdogSec= of the unit; 0 when there is none.
func (n *notifier) watchdog() time.Duration {
	every, err := sd.SdWatchdogEnabled(false)
	if err != nil {
		n.log.Warn("cannot read what watchdog systemd keeps", "err", err)
	}
	return every
}

// reloading announces a reload in the form that Type=notify-reload asks for; systemd compares the time with its own.
func reloading() string {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return "RELOADING=1"
	}
	return fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1000)
}
