package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// clearSocket makes sure that the engine can bind its socket. Both engines leave the file behind when they end, even in
// good order, and refuse to start over it. A socket that somebody listens on is left alone and its holder named.
func clearSocket(path string) *end {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return failed(classPort, "Cannot look at the engine's socket: %v", err)
	case info.Mode().Type() != fs.ModeSocket:
		return failed(classPort, "Cannot use %s as the engine's socket: it is a file of another kind", path)
	}
	conn, err := net.DialTimeout("unix", path, 2*time.Second)
	if err == nil {
		defer conn.Close()
		return failed(classPort, "The engine's socket %s is held by %s", path, peer(conn.(*net.UnixConn)))
	}
	if !errors.Is(err, syscall.ECONNREFUSED) { // EAGAIN: somebody listens and does not accept
		return failed(classPort, "Cannot use the engine's socket: %v", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return failed(classPort, "Cannot remove a stale socket: %v", err)
	}
	return nil
}

// peer names the process that listens at the other end. The kernel keeps the pid of the one that called listen(2); it
// is 0 when that process is in another pid namespace.
func peer(conn *net.UnixConn) string {
	const stranger = "another process"
	raw, err := conn.SyscallConn()
	if err != nil {
		return stranger
	}
	var cred *unix.Ucred
	controlErr := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if controlErr != nil || err != nil || cred.Pid == 0 {
		return stranger
	}
	who := fmt.Sprintf("pid %d", cred.Pid)
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", cred.Pid))
	if err != nil || len(cmdline) == 0 { // ended, or hidden by ProtectProc=
		return who
	}
	command := strings.TrimSpace(strings.ReplaceAll(string(cmdline), "\x00", " "))
	if len(command) > 120 {
		command = command[:120] + "…"
	}
	return fmt.Sprintf("%s (%s)", who, command)
}
