package gateway

import (
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Notifier talks to the service manager (sd_notify(3)). An empty address means that there is none, and then every
// message is dropped.
//
// Messages are sent by sendmsg(2) on a socket of their own: package net refuses to attach descriptors to a message on
// a connected datagram socket.
type Notifier struct {
	Address string // $NOTIFY_SOCKET; a leading @ is an abstract socket

	muted atomic.Bool
}

// mute drops every message: a successor is not heard (NotifyAccess=main) before its predecessor has named it.
func (n *Notifier) mute(on bool) { n.muted.Store(on) }

func (n *Notifier) silent() bool { return n.Address == "" || n.muted.Load() }

// Send sends one message, which may carry descriptors.
func (n *Notifier) Send(message string, fds ...int) error {
	if n.silent() {
		return nil
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("cannot make a socket to notify the service manager: %w", err)
	}
	defer unix.Close(fd)
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	err = unix.Sendmsg(fd, []byte(message), rights, &unix.SockaddrUnix{Name: n.Address}, unix.MSG_NOSIGNAL)
	if err != nil {
		return fmt.Errorf("cannot notify the service manager: %w", err)
	}
	return nil
}

// Barrier waits until the manager has read everything that was sent before: it closes the pipe's end that it gets.
func (n *Notifier) Barrier(limit time.Duration) error {
	if n.silent() {
		return nil
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("cannot make a pipe for the barrier: %w", err)
	}
	defer unix.Close(pipe[0])
	err := n.Send("BARRIER=1", pipe[1])
	unix.Close(pipe[1])
	if err != nil {
		return err
	}
	end := time.Now().Add(limit)
	poll := []unix.PollFd{{Fd: int32(pipe[0])}} // a hang-up is always reported
	for {
		ready, err := unix.Poll(poll, int(max(time.Until(end), 0).Milliseconds()))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("cannot wait for the service manager: %w", err)
		case ready == 0:
			return fmt.Errorf("the service manager has not read its messages within %v", limit)
		default:
			return nil
		}
	}
}

// watchdogInterval is how often the manager wants to hear WATCHDOG=1, 0 for never: half of what it waits for.
func watchdogInterval(getenv func(string) string, pid int) time.Duration {
	usec, err := strconv.ParseInt(getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || usec <= 0 {
		return 0
	}
	// A successor is started without WATCHDOG_PID, since the manager watches whoever is its main process.
	if named := getenv("WATCHDOG_PID"); named != "" && named != strconv.Itoa(pid) {
		return 0
	}
	return time.Duration(usec) * time.Microsecond / 2
}

// fdStore is the manager's store of descriptors (FileDescriptorStoreMax=). What is in it comes back in LISTEN_FDS at
// the next start, however this process ended.
type fdStore struct{ *Notifier }

// barrierLimit bounds the wait for the manager, which may be busy with a reload of its own.
const barrierLimit = 5 * time.Second

// keep puts a descriptor into the store. FDPOLL=0 keeps it there although it would show a hang-up, as a memfd may.
func (s fdStore) keep(name string, fd int) error {
	if err := s.Send("FDSTORE=1\nFDNAME="+name+"\nFDPOLL=0", fd); err != nil {
		return err
	}
	return s.Barrier(barrierLimit)
}

// drop takes everything of that name out of the store.
func (s fdStore) drop(name string) error {
	return s.Send("FDSTOREREMOVE=1\nFDNAME=" + name)
}
