package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// engine is the running model server. It leads a process group of its own, so that a load can be killed with all its
// helpers at once, and it dies with the shim.
type engine struct {
	pid   int
	done  chan struct{}    // closed when the engine has ended and its group is gone
	state *os.ProcessState // valid once done is closed

	mu    sync.Mutex
	ended bool // the pid may belong to somebody else by now
}

// startEngine runs argv with its output going to the two files, which are closed here; its rank is its OOM score where that
// of this process is none. The error names the binary.
func startEngine(rank int, argv, env []string, stdout, stderr *os.File) (*engine, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = engineEnv(env)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	e := &engine{done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel sends the parent death signal when the thread that forked ends (prctl(2)), so this thread has to
		// live as long as the engine: it is locked here and never given back.
		runtime.LockOSThread()
		err := asVictim(rank, cmd.Start)
		stdout.Close()
		stderr.Close()
		if err != nil {
			started <- err
			return
		}
		e.pid = cmd.Process.Pid
		started <- nil
		e.wait(cmd)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", argv[0], plain(err))
	}
	return e, nil
}

// wait sees the engine end, kills what it left behind (vLLM's workers outlive it for seconds), and reaps it. The group
// is killed before the pid is reaped: until then the kernel gives the number to nobody else.
func (e *engine) wait(cmd *exec.Cmd) {
	for {
		err := unix.Waitid(unix.P_PID, e.pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	e.mu.Lock()
	syscall.Kill(-e.pid, syscall.SIGKILL)
	cmd.Wait() // its error is in ProcessState, too
	e.ended = true
	e.mu.Unlock()
	e.state = cmd.ProcessState
	close(e.done)
}

// signal sends sig to the engine's main process alone: vLLM's workers are told by their parent.
func (e *engine) signal(sig syscall.Signal) { e.kill(e.pid, sig) }

// killGroup ends the engine and all its helpers at once.
func (e *engine) killGroup() { e.kill(-e.pid, syscall.SIGKILL) }

func (e *engine) kill(pid int, sig syscall.Signal) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.ended {
		syscall.Kill(pid, sig)
	}
}

// plain strips the name of the operation from an error: "no such file or directory" is what a user needs.
func plain(err error) error {
	var path *fs.PathError
	var exe *exec.Error
	switch {
	case errors.As(err, &path):
		return path.Err
	case errors.As(err, &exe):
		return exe.Err
	}
	return err
}
