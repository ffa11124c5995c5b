package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/tierd/tierd/agent/gateway"
)

// reloadName is the socket on which `tier-gateway -reload`, which is the unit's ExecReload=, asks for a handover. A
// signal alone could not say when the handover is complete, nor that it failed.
const reloadName = "reload.sock"

// reloadLimit is above what a gateway gives its successor.
const reloadLimit = 30 * time.Second

// reloader turns the socket's connections and SIGHUP into handovers, one after the other.
type reloader struct {
	log     *slog.Logger
	wishes  chan<- chan<- error
	ended   chan struct{} // closed when nobody takes wishes any more
	mu      sync.Mutex
	writing sync.Mutex        // held until an answer is written: after a handover this process ends, and its asker has to hear of it first
	socket  *net.UnixListener // nil without a directory for it
}

// listen opens the socket, or goes on with a predecessor's: both then hold the same one, so that a handover that fails
// leaves it as it was.
func (r *reloader) listen(path string, in *gateway.Inherited) error {
	l, err := inheritedSocket(in)
	if err == nil && l == nil {
		l, err = newSocket(path)
	}
	if err != nil {
		return fmt.Errorf("cannot listen for reloads: %w", err)
	}
	l.SetUnlinkOnClose(false) // by then it is the successor's
	r.socket = l
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed after a handover
			}
			r.answer(c) // one at a time: who comes after a handover is the successor's
		}
	}()
	return nil
}

func (r *reloader) answer(c net.Conn) {
	r.writing.Lock()
	defer r.writing.Unlock()
	defer c.Close()
	answer := "ok"
	if err := r.handOver(); err != nil {
		answer = err.Error()
	}
	_, _ = io.WriteString(c, answer)
}

// finish ends what still waits for a handover, once Run has returned, and lets the answer be written.
func (r *reloader) finish() {
	close(r.ended)
	r.writing.Lock()
	defer r.writing.Unlock()
}

func inheritedSocket(in *gateway.Inherited) (*net.UnixListener, error) {
	fd, ok := in.Take(reloadName)
	if !ok {
		return nil, nil
	}
	f := os.NewFile(uintptr(fd), reloadName)
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	socket, ok := l.(*net.UnixListener)
	if !ok {
		return nil, errors.New("what was handed over is no unix socket")
	}
	return socket, nil
}

func newSocket(path string) (*net.UnixListener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	return l, os.Chmod(path, 0o600)
}

// handOver asks Run for it. After the first that succeeds this process is asked no more.
func (r *reloader) handOver() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	answer := make(chan error, 1)
	select {
	case r.wishes <- answer:
	case <-r.ended:
		return errors.New("it is ending")
	}
	err := <-answer
	if err == nil && r.socket != nil {
		_ = r.socket.Close()
	}
	return err
}

// spawn is a gateway.SpawnFunc that hands over the socket for reloads beside the rest.
func (r *reloader) spawn(fds []int, env string) (int, error) {
	if r.socket == nil {
		return spawn(fds, env)
	}
	raw, err := r.socket.SyscallConn()
	if err != nil {
		return 0, err
	}
	var pid int
	var spawned error
	err = raw.Control(func(fd uintptr) { pid, spawned = spawn(append(fds, int(fd)), env+":"+reloadName) })
	return pid, errors.Join(err, spawned)
}

// askReload returns nil when the handover is complete.
func askReload(path string) error {
	c, err := net.Dial("unix", path)
	if err != nil {
		return fmt.Errorf("cannot reach the running gateway: %w", err)
	}
	defer c.Close()
	_ = c.SetReadDeadline(time.Now().Add(reloadLimit))
	answer, err := io.ReadAll(c)
	switch {
	case err != nil:
		return fmt.Errorf("the running gateway did not say what came of it: %w", err)
	case string(answer) != "ok":
		return fmt.Errorf("the running gateway goes on as it is: %s", answer)
	}
	return nil
}

// spawn starts the program that is now at this one's path, which after an upgrade is a newer one.
//
// CLONE_PARENT makes the service manager the parent of the child: it only hears at once of the end of a main process
// that is its own child.
func spawn(fds []int, env string) (int, error) {
	path, err := os.Executable()
	if err != nil {
		return 0, err
	}
	path = strings.TrimSuffix(path, " (deleted)") // as /proc/self/exe names a replaced file
	files := []uintptr{0, 1, 2}
	for _, fd := range fds {
		files = append(files, uintptr(fd))
	}
	pid, err := syscall.ForkExec(path, os.Args, &syscall.ProcAttr{
		Env: append(successorEnv(os.Environ()), env), Files: files,
		Sys: &syscall.SysProcAttr{Cloneflags: syscall.CLONE_PARENT},
	})
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return pid, nil
}

// successorEnv leaves out what was meant for this process alone.
func successorEnv(environ []string) []string {
	var kept []string
	for _, line := range environ {
		name, _, _ := strings.Cut(line, "=")
		switch name {
		case "LISTEN_FDS", "LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDNAMES", "WATCHDOG_PID", "TIERD_GATEWAY_FDNAMES":
		default:
			kept = append(kept, line)
		}
	}
	return kept
}
