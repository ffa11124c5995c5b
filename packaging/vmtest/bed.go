package vmtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Bed is one booted systemd. Its root is an overlay whose upper layer lives in memory and outlives a reboot.
type Bed struct {
	Client
	dir    string // upper, work, root; share is what the bed sees as /bed
	cgroup string
	layers string
	init   *exec.Cmd
	ended  chan struct{} // closed when the bed's first process is gone
	boots  int
}

// Result is what a command in a bed wrote and how it ended.
type Result struct {
	Stdout, Stderr string
	Exit           int // 128+N for signal N, as a shell counts
}

var beds atomic.Int64

// Boot boots a bed on the given layers, topmost first, and returns when systemd says that booting is over. A unit that
// failed meanwhile is not an error. The caller must Close the bed.
func Boot(ctx context.Context, layers ...string) (*Bed, error) {
	joined, err := layerPaths(layers)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("tierd-bed-%s-%d", strings.TrimPrefix(filepath.Base(workDir()), "tierd-bed-"), beds.Add(1))
	b := &Bed{dir: filepath.Join(workDir(), name), layers: joined}
	for _, sub := range []string{"upper", "work", "root", "share"} {
		if err := os.MkdirAll(filepath.Join(b.dir, sub), 0o755); err != nil {
			return nil, err
		}
	}
	// Each request on a connection of its own: a connection that a restart closed must not fail the request after it.
	b.Client = Client{&http.Client{Transport: &http.Transport{DialContext: b.Dial, DisableKeepAlives: true}}}
	if err := b.boot(ctx); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

// boot starts the first process in namespaces and a cgroup of its own and waits for the end of booting.
func (b *Bed) boot(ctx context.Context) error {
	b.boots++
	b.cgroup = filepath.Join(bedsCgroup(), fmt.Sprintf("%s-%d", filepath.Base(b.dir), b.boots))
	group, err := newCgroup(b.cgroup)
	if err != nil {
		return err
	}
	defer group.Close()
	console, err := os.OpenFile(b.console(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer console.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Dir = b.dir
	cmd.Env = []string{stageVar + "=init", "TIERD_BED_LAYERS=" + b.layers, "TIERD_BED_SHARE=" + b.Share()}
	cmd.Stdout, cmd.Stderr = console, console
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		Setsid:      true,
		UseCgroupFD: true,
		CgroupFD:    int(group.Fd()),
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot start the bed's first process: %w", err)
	}
	ended := make(chan struct{})
	b.init, b.ended = cmd, ended
	go func() {
		cmd.Wait() // how it ends says nothing: a reboot ends it by a signal
		close(ended)
	}()
	return b.waitBooted(ctx)
}

// waitBooted waits for systemd's own socket, then for systemd to say that the boot's jobs are done.
func (b *Bed) waitBooted(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		if _, err := os.Stat(b.Path("/run/dbus/system_bus_socket")); err == nil {
			break
		}
		select {
		case <-b.ended:
			return fmt.Errorf("the bed's first process ended while booting: %s", b.consoleText())
		case <-ctx.Done():
			return fmt.Errorf("the bed's systemd did not come up: %w: %s", ctx.Err(), b.consoleText())
		case <-time.After(5 * time.Millisecond):
		}
	}
	r, err := b.Run(ctx, "systemctl is-system-running --wait")
	if err != nil {
		return fmt.Errorf("cannot wait for the bed's boot: %w", err)
	}
	if state := strings.TrimSpace(r.Stdout); state != "running" && state != "degraded" {
		return fmt.Errorf("the bed's systemd says %q after boot: %s", state, r.Stderr)
	}
	return nil
}

func (b *Bed) console() string { return filepath.Join(b.dir, "console") }

func (b *Bed) consoleText() string {
	text, _ := os.ReadFile(b.console())
	return strings.TrimSpace(string(text))
}

// Pid is the bed's first process as the runner sees it.
func (b *Bed) Pid() int { return b.init.Process.Pid }

// Path is where the runner sees the bed's file at path.
func (b *Bed) Path(path string) string { return fmt.Sprintf("/proc/%d/root%s", b.Pid(), path) }

// Share is a folder of the runner that the bed sees as /bed.
func (b *Bed) Share() string { return filepath.Join(b.dir, "share") }

// Command prepares a shell command that runs in the bed, as root, with a plain environment.
func (b *Bed) Command(ctx context.Context, script string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "nsenter", "--target", strconv.Itoa(b.Pid()),
		"--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd",
		"--", "/usr/bin/env", "-i", "HOME=/root", "TERM="+os.Getenv("TERM"), "LANG=C.UTF-8",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "/bin/bash", "-c", script)
	cmd.WaitDelay = 5 * time.Second // what the command left running may hold its output open
	return cmd
}

// Run runs a shell command in the bed. A command that fails is a Result, not an error.
func (b *Bed) Run(ctx context.Context, script string) (Result, error) {
	cmd := b.Command(ctx, script)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	r := Result{Stdout: stdout.String(), Stderr: stderr.String()}
	if ctx.Err() != nil {
		return r, fmt.Errorf("%q did not end in time: %w", script, ctx.Err())
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		status := exit.Sys().(syscall.WaitStatus)
		r.Exit = status.ExitStatus()
		if status.Signaled() {
			r.Exit = 128 + int(status.Signal())
		}
		return r, nil
	}
	return r, err
}

// Must runs a shell command in the bed and returns what it wrote; a failure is an error with both outputs.
func (b *Bed) Must(ctx context.Context, script string) (string, error) {
	r, err := b.Run(ctx, script)
	if err == nil && r.Exit != 0 {
		err = fmt.Errorf("%q failed with status %d:\n%s%s", script, r.Exit, r.Stdout, r.Stderr)
	}
	return r.Stdout, err
}

// WriteFile writes a file in the bed, with its folders.
func (b *Bed) WriteFile(path string, data []byte, mode os.FileMode) error {
	full := b.Path(path)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		return err
	}
	return os.WriteFile(full, data, mode)
}

// CopyIn puts a file of the machine under /bed in the bed and returns its path there.
func (b *Bed) CopyIn(file string) (string, error) { return copyInto(b.Share(), file) }

// copyInto copies a file into the share and returns its path inside.
func copyInto(share, file string) (string, error) {
	in, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer in.Close()
	out, err := os.Create(filepath.Join(share, filepath.Base(file)))
	if err != nil {
		return "", err
	}
	_, err = io.Copy(out, in)
	return "/bed/" + filepath.Base(file), errors.Join(err, out.Close())
}

// Control is a client of tierd's control socket in the bed; the host part of a URL is ignored.
func (b *Bed) Control() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", b.Path("/run/tierd/tierd.sock"))
		},
	}}
}

// Reboot reboots the bed in order, as `systemctl reboot` does on a machine; the upper layer stays.
func (b *Bed) Reboot(ctx context.Context) error {
	if err := b.end(ctx, "systemctl reboot"); err != nil {
		return err
	}
	b.http.CloseIdleConnections()
	return b.boot(ctx)
}

// PowerOff ends the bed in order and returns its upper layer: what was changed since the boot. The folder lives as long as
// the runner.
func (b *Bed) PowerOff(ctx context.Context) (string, error) {
	return filepath.Join(b.dir, "upper"), b.end(ctx, "systemctl poweroff")
}

// end runs a command that ends the bed and waits for its first process: reboot(2) in a process namespace kills it.
func (b *Bed) end(ctx context.Context, script string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if _, err := b.Run(ctx, script); err != nil {
		return err
	}
	select {
	case <-b.ended:
		return removeEmptied(b.cgroup)
	case <-ctx.Done():
		return fmt.Errorf("the bed did not end after %q: %w", script, ctx.Err())
	}
}

// Close kills everything in the bed and removes what it was made of.
func (b *Bed) Close() error {
	b.http.CloseIdleConnections()
	if b.init != nil {
		_ = b.init.Process.Kill() // already gone is fine: the kernel kills the rest of the process namespace
		<-b.ended
	}
	return errors.Join(removeEmptied(b.cgroup), os.RemoveAll(b.dir))
}

const journalScript = "journalctl -b --no-pager -o short-monotonic | tail -n 400; systemctl --no-pager list-units 'tier*' --all"

// Journal is the bed's journal since its boot, for the report of a failure.
func (b *Bed) Journal() string {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	r, err := b.Run(ctx, journalScript)
	if err != nil {
		return "cannot read the bed's journal: " + err.Error() + "\n" + b.consoleText()
	}
	return r.Stdout + r.Stderr
}
