package vmtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Machine says what a VM is made of.
type Machine struct {
	Kernel string   // a User-Mode Linux, as mkuml.sh gives it
	Guest  string   // the program of packaging/vmtest/guest, static
	Layers []string // overlay layers, topmost first
	Memory int64    // bytes; the kernel itself takes 40 MiB of it
}

// VM is one booted systemd on a kernel of its own: unlike a Bed it has a memory controller, pressure figures, swap and an
// OOM killer that are its own. It sees the host's folders through hostfs and has no network but its loopback.
type VM struct {
	Client
	dir    string // boot, layers' mount points, disk, console; share is what the VM sees as /bed
	cgroup string
	kernel *exec.Cmd
	ended  chan struct{} // closed when the kernel's process is gone
	line   net.Conn
}

// diskSize bounds what a VM can write; the file is sparse.
const diskSize = "4G"

// StartVM boots a VM and returns when systemd says that booting is over. A unit that failed meanwhile is not an error. The
// caller must Close the VM.
func StartVM(ctx context.Context, m Machine) (*VM, error) {
	name := fmt.Sprintf("tierd-bed-%s-vm%d", strings.TrimPrefix(filepath.Base(workDir()), "tierd-bed-"), beds.Add(1))
	v := &VM{dir: filepath.Join(workDir(), name), cgroup: filepath.Join(bedsCgroup(), name)}
	if _, err := layerPaths(append([]string{v.dir}, m.Layers...)); err != nil {
		return nil, err
	}
	err := v.prepare(ctx, m)
	if err == nil {
		err = v.start(m)
	}
	if err == nil {
		err = v.waitBooted(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, v.Close())
	}
	return v, nil
}

// prepare makes the folder that the kernel mounts first, and the disk.
func (v *VM) prepare(ctx context.Context, m Machine) error {
	dirs := []string{"share", "boot/dev", "boot/disk", "boot/root"}
	for i := range m.Layers {
		dirs = append(dirs, fmt.Sprintf("boot/layers/%d", i))
	}
	for _, dir := range dirs {
		if err := os.MkdirAll(filepath.Join(v.dir, dir), 0o755); err != nil {
			return err
		}
	}
	layout, err := json.Marshal(map[string]any{"Layers": m.Layers, "Share": v.Share()})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(v.dir, "boot/layout.json"), layout, 0o644); err != nil {
		return err
	}
	guest, err := os.ReadFile(m.Guest)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(v.dir, "boot/init"), guest, 0o755); err != nil {
		return err
	}
	// No journal: the disk is thrown away, and a killed VM's is never looked at.
	out, err := exec.CommandContext(ctx, "mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", v.disk(), diskSize).CombinedOutput()
	if err != nil {
		return fmt.Errorf("cannot make the VM's disk: %w: %s", err, out)
	}
	return nil
}

// start starts the kernel with its end of the serial line. All of its processes are in a cgroup of their own, so that
// they can be killed at once.
func (v *VM) start(m Machine) error {
	group, err := newCgroup(v.cgroup)
	if err != nil {
		return err
	}
	defer group.Close()
	console, err := os.Create(v.console())
	if err != nil {
		return err
	}
	defer console.Close()
	ours, theirs, err := socketPair()
	if err != nil {
		return err
	}
	defer theirs.Close()
	v.line = ours
	cmd := exec.Command(m.Kernel,
		fmt.Sprintf("mem=%dK", m.Memory/1024), "ncpus=2", "seccomp=on", "psi=1", "quiet",
		"umid=vm", "uml_dir="+v.dir+"/",
		"root=boot", "rootfstype=hostfs", "rootflags="+filepath.Join(v.dir, "boot"), "ro", "init=/init",
		"ubd0="+v.disk(), "con0=null,fd:1", "con=null", "ssl0=fd:3", "ssl=null")
	// Guest memory is an unlinked file in this folder, which must allow to run what is mapped.
	cmd.Env = []string{"TMPDIR=" + v.dir}
	cmd.Dir = v.dir
	cmd.Stdout, cmd.Stderr = console, console
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, UseCgroupFD: true, CgroupFD: int(group.Fd())}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot start the VM's kernel: %w", err)
	}
	v.kernel, v.ended = cmd, make(chan struct{})
	go func() {
		cmd.Wait() // its status says nothing about the system that ran on it
		close(v.ended)
	}()
	return nil
}

// socketPair returns a connection and the file of its other end.
func socketPair() (net.Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "line"), os.NewFile(uintptr(fds[1]), "line")
	defer ours.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return conn, theirs, nil
}

// waitBooted waits for the agent, then for systemd to say that the boot's jobs are done.
func (v *VM) waitBooted(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	greeted := make(chan error, 1)
	go func() { greeted <- awaitGreeting(v.line) }()
	select {
	case err := <-greeted:
		if err != nil {
			return fmt.Errorf("cannot hear the VM's agent: %w", err)
		}
	case <-v.ended:
		return fmt.Errorf("the VM ended while booting: %s", v.consoleText())
	case <-ctx.Done():
		return fmt.Errorf("the VM's agent did not come up: %w: %s", ctx.Err(), v.consoleText())
	}
	var err error
	if v.Client, err = lineClient(ctx, v.line); err != nil {
		return err
	}
	r, err := v.Run(ctx, "systemctl is-system-running --wait")
	if err != nil {
		return fmt.Errorf("cannot wait for the VM's boot: %w: %s", err, v.consoleText())
	}
	if state := strings.TrimSpace(r.Stdout); state != "running" && state != "degraded" {
		return fmt.Errorf("the VM's systemd says %q after boot: %s", state, r.Stderr)
	}
	return nil
}

func (v *VM) disk() string    { return filepath.Join(v.dir, "disk") }
func (v *VM) console() string { return filepath.Join(v.dir, "console") }

// consoleText is the end of what the kernel wrote.
func (v *VM) consoleText() string {
	text, _ := os.ReadFile(v.console())
	return strings.TrimSpace(string(text[max(0, len(text)-8<<10):]))
}

// Share is a folder of the runner that the VM sees as /bed.
func (v *VM) Share() string { return filepath.Join(v.dir, "share") }

// Must runs a shell command in the VM and returns what it wrote; a failure is an error with both outputs.
func (v *VM) Must(ctx context.Context, script string) (string, error) {
	r, err := v.Run(ctx, script)
	if err == nil && r.Exit != 0 {
		err = fmt.Errorf("%q failed with status %d:\n%s%s", script, r.Exit, r.Stdout, r.Stderr)
	}
	return r.Stdout, err
}

// WriteFile writes a file in the VM, with its folders.
func (v *VM) WriteFile(ctx context.Context, path string, data []byte, mode os.FileMode) error {
	tmp, err := os.CreateTemp(v.Share(), "")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err := errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	_, err = v.Must(ctx, fmt.Sprintf("install -D -m %o /bed/%s %s", mode.Perm(), filepath.Base(tmp.Name()), strconv.Quote(path)))
	return err
}

// CopyIn puts a file of the machine under /bed in the VM and returns its path there.
func (v *VM) CopyIn(file string) (string, error) { return copyInto(v.Share(), file) }

// PowerOff ends the VM in order.
func (v *VM) PowerOff(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if _, err := v.Must(ctx, "systemctl poweroff --no-block"); err != nil {
		return err
	}
	select {
	case <-v.ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the VM did not power off: %w: %s", ctx.Err(), v.consoleText())
	}
}

// Close kills everything in the VM and removes what it was made of.
func (v *VM) Close() error {
	var err error
	if v.kernel != nil {
		// The processes that stand for the guest's are the kernel's children, and would outlive it.
		err = errors.Join(os.WriteFile(filepath.Join(v.cgroup, "cgroup.kill"), []byte("1"), 0o644), killed(v.kernel))
		<-v.ended
	}
	if v.line != nil {
		v.line.Close()
	}
	return errors.Join(err, removeEmptied(v.cgroup), os.RemoveAll(v.dir))
}

// killed ends a process that may have ended already.
func killed(cmd *exec.Cmd) error {
	if err := cmd.Process.Kill(); !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// Journal is the VM's journal since its boot and the end of its console, for the report of a failure.
func (v *VM) Journal() string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, err := v.Run(ctx, journalScript)
	if err != nil {
		return "cannot read the VM's journal: " + err.Error() + "\n" + v.consoleText()
	}
	return r.Stdout + r.Stderr + v.consoleText()
}
