package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// taker takes memory and reports.
type taker interface {
	reports() <-chan loadReport // closed when it has ended
	hold()                      // it takes no more, and keeps what it has
	end()                       // it gives everything back, and that is done when this returns; it may be ended twice
	why() string                // it ended by itself; once reports is closed
}

// loadProcess is a running `tierctl guard load`.
type loadProcess struct {
	out    <-chan loadReport
	stdin  io.WriteCloser
	stderr *bytes.Buffer // to be read when it has ended
	ended  chan error
	kill   func()
}

// startLoad starts this program once more. It dies with us in two ways: by a signal of the kernel's, and because its standard
// input ends.
func startLoad(l load, dmaHeap bool) (taker, error) {
	number := func(name string, n uint64) string { return "--" + name + "=" + strconv.FormatUint(n, 10) }
	cmd := &exec.Cmd{
		Path: "/proc/self/exe",
		Args: []string{"tierctl", "guard", "load", number("size", l.size), number("quick", l.quick), number("rate", l.rate), number("floor", l.floor),
			"--dma-heap=" + strconv.FormatBool(dmaHeap)},
		// A group of its own, so that a terminal's Ctrl-C reaches us alone: we end it.
		SysProcAttr: &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL, Setpgid: true},
	}
	p := &loadProcess{stderr: new(bytes.Buffer), ended: make(chan error, 1)}
	cmd.Stderr = p.stderr
	var stdout io.ReadCloser
	var err error
	if p.stdin, err = cmd.StdinPipe(); err == nil {
		stdout, err = cmd.StdoutPipe()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot start the process that takes the memory: %w", err)
	}
	reports, started := make(chan loadReport), make(chan error)
	over := make(chan struct{})
	go func() {
		// The kernel's signal comes when the thread ends that started the process, so that one is kept (prctl(2), PR_SET_PDEATHSIG).
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		in := json.NewDecoder(stdout)
		for {
			var r loadReport
			if in.Decode(&r) != nil {
				break
			}
			select {
			case reports <- r:
			case <-over:
			}
		}
		err = cmd.Wait()
		close(reports)
		p.ended <- err
		close(p.ended)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("cannot start the process that takes the memory: %w", err)
	}
	p.out = reports
	closed := false
	p.kill = func() {
		if !closed {
			closed = true
			close(over)
			_ = cmd.Process.Kill()
		}
	}
	return p, nil
}

func (p *loadProcess) reports() <-chan loadReport { return p.out }

func (p *loadProcess) hold() { _, _ = io.WriteString(p.stdin, "hold\n") }

// end returns late enough: the kernel frees a process's memory before it can be waited for.
func (p *loadProcess) end() {
	p.kill()
	for range p.out { // up to its end
	}
}

func (p *loadProcess) why() string {
	err := <-p.ended
	if said := strings.TrimPrefix(strings.TrimSpace(p.stderr.String()), "tierctl: "); said != "" {
		return said
	}
	return fmt.Sprint(err)
}
