package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"

	"github.com/coreos/go-systemd/v22/activation"

	"github.com/tierd/tierd/agent/api"
)

// sockets are what tierd listens on. Without guard it goes on all the same: who serves is worth more than who watches.
type sockets struct{ control, admit, guard net.Listener }

func (s sockets) close() {
	for _, l := range []net.Listener{s.control, s.admit, s.guard} {
		if l != nil {
			l.Close()
		}
	}
}

// openSockets takes the sockets that systemd hands over, by FileDescriptorName=, and makes those that the command line
// names. A socket from systemd stays where it is when its listener is closed; one of our own is removed.
func openSockets(s settings) (sockets, error) {
	given, err := handedOver(activation.Files(true))
	if err != nil {
		return sockets{}, err
	}
	var out sockets
	out.control, err = pick("control", s.control, given)
	if err == nil {
		out.admit, err = pick("admit", s.admit, given)
	}
	if err != nil {
		out.close()
		return sockets{}, err
	}
	return out, nil
}

// handedOver makes listeners of the files, by name.
func handedOver(files []*os.File) (map[string]net.Listener, error) {
	given := map[string]net.Listener{}
	for _, f := range files {
		l, err := net.FileListener(f)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("cannot listen on the socket %q from systemd: %w", f.Name(), err)
		}
		given[f.Name()] = l
	}
	return given, nil
}

func pick(name, path string, given map[string]net.Listener) (net.Listener, error) {
	if path != "" {
		return listenAt(path, forAll)
	}
	if l, ok := given[name]; ok {
		return l, nil
	}
	return nil, fmt.Errorf("cannot tell where to listen: systemd handed over no socket named %q; "+
		"start tierd.service, or name a path with -%s", name, name)
}

// openGuard makes the socket for tier-guard, nil when tierd was started by hand and told of none. systemd does not hold it: a
// guard that looks for tierd must not start one that was stopped.
func openGuard(s settings) (net.Listener, error) {
	switch {
	case s.guard != "":
		return listenAt(s.guard, forOwner)
	case s.control != "":
		return nil, nil
	}
	return listenAt(api.GuardSocket, forOwner)
}

// The modes of sockets: rights to the one go by who connects, the other is root's alone.
const (
	forAll   fs.FileMode = 0o666
	forOwner fs.FileMode = 0o600
)

// listenAt makes a socket. What a dead process left at the path is removed; a socket that somebody answers is not.
func listenAt(path string, mode fs.FileMode) (net.Listener, error) {
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return nil, fmt.Errorf("cannot listen on %s: another process does", path)
	} else if errors.Is(err, syscall.ECONNREFUSED) {
		if err := removeSocket(path); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s: %w", path, err)
	}
	if err := os.Chmod(path, mode); err != nil {
		l.Close()
		return nil, fmt.Errorf("cannot say who may connect to %s: %w", path, err)
	}
	return l, nil
}

// removeSocket removes nothing but a socket: connecting to a plain file is refused as well.
func removeSocket(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("cannot listen on %s: %w", path, err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("cannot listen on %s: there is a file that is no socket", path)
	}
	return os.Remove(path)
}
