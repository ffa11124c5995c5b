package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"syscall"
	"time"

	"github.com/tierd/tierd/packaging/vmtest/wire"
)

// maxScript bounds the shell command that a request brings.
const maxScript = 1 << 20

// runCommand runs the request's body as a shell command, as root, with a plain environment. The answer is a row of
// frames, each as the command writes it. When the asker goes away, the command and all that it started in its process
// group are killed.
func runCommand(w http.ResponseWriter, r *http.Request) {
	script, err := io.ReadAll(io.LimitReader(r.Body, maxScript))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	// The agent is safe from the OOM killer; what it runs must not be.
	cmd := exec.CommandContext(r.Context(), "/bin/bash", "-c", "echo 0 2>/dev/null >/proc/self/oom_score_adj\n"+string(script))
	cmd.Env = []string{"HOME=/root", "LANG=C.UTF-8", "TERM=dumb", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second // what the command left running may hold its output open
	frames := wire.NewWriter(w, http.NewResponseController(w).Flush)
	cmd.Stdout, cmd.Stderr = frames.Of(wire.Stdout), frames.Of(wire.Stderr)
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		fmt.Fprintln(frames.Of(wire.Stderr), "guest:", err)
		frames.Exit(127)
		return
	}
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	code := status.ExitStatus()
	if status.Signaled() {
		code = 128 + int(status.Signal())
	}
	frames.Exit(code) // an asker who has gone away cannot be told
}
