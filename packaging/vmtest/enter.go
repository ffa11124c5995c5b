// Package vmtest is the bed: it boots a real systemd in namespaces within a second or two, on a throw-away overlay, so
// that the built package is tried where it will live. packaging/vmtest/README.md says how scenarios are written.
//
// A program that boots beds runs in stages of the same executable. The outer one makes a process namespace and a mount
// namespace; the reaper is the first process in them and starts the runner, which is the program proper; each bed's first
// process mounts its root and becomes systemd. Because everything lives in the reaper's namespaces, the kernel removes
// all of it - processes, mounts, temporary files - when that one process ends, however it ends.
package vmtest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stageVar tells a copy of the executable which stage it is; cgroupVar where in the cgroup tree beds may be made.
const (
	stageVar  = "TIERD_BED_STAGE"
	cgroupVar = "TIERD_BED_CGROUP"
)

func init() {
	// Namespaces and the parent-death signal belong to a thread, so main must stay on the first one until they are made.
	if stage := os.Getenv(stageVar); stage != "runner" {
		runtime.LockOSThread()
	}
}

// Enter must be the first call of a program that boots beds. It returns once, in the namespaces; the outer copy of the
// program only waits for the inner one and exits with its status. It needs root.
func Enter() error {
	switch os.Getenv(stageVar) {
	case "runner":
		return enterRunner()
	case "reaper":
		os.Exit(reap())
	case "init":
		err := becomeInit() // returns only when it could not
		fmt.Fprintln(os.Stderr, "bed:", err)
		os.Exit(1)
	case "":
		if os.Geteuid() != 0 {
			return errors.New("a bed needs root: it makes namespaces and mounts")
		}
		if hasSystemd() && os.Getenv("TIERD_BED_SCOPED") == "" {
			return enterScope()
		}
	}
	status, err := runInside()
	if err != nil {
		return err
	}
	os.Exit(status)
	return nil
}

// hasSystemd says whether this machine's own first process is systemd, as sd_booted(3) tells it.
func hasSystemd() bool {
	_, err := os.Stat("/run/systemd/system")
	return err == nil
}

// enterScope replaces the process by itself in a scope with a delegated cgroup. systemd owns the cgroup tree of such a
// machine, and only below a unit with Delegate= may another systemd make cgroups and use controllers.
func enterScope() error {
	path, err := exec.LookPath("systemd-run")
	if err != nil {
		return fmt.Errorf("cannot get a delegated cgroup: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := append([]string{path, "--scope", "--quiet", "--collect", "-p", "Delegate=yes", "--", self}, os.Args[1:]...)
	return syscall.Exec(path, args, append(os.Environ(), "TIERD_BED_SCOPED=1"))
}

// runInside runs this program once more in a process and a mount namespace of its own and returns its exit status.
func runInside() (int, error) {
	group, err := ownCgroup()
	if err != nil {
		return 0, err
	}
	removeLeftovers()
	work := filepath.Join(os.TempDir(), fmt.Sprintf("tierd-bed-%d", os.Getpid()))
	if err := os.Mkdir(work, 0o755); err != nil {
		return 0, err
	}
	defer os.Remove(work)
	held, err := hold(work)
	if err != nil {
		return 0, err
	}
	defer held.Close()
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), stageVar+"=reaper", cgroupVar+"="+group, "TIERD_BED_WORK="+work)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS,
		Pdeathsig:  syscall.SIGKILL, // this copy gone: the whole namespace goes, and every bed with it
	}
	// A terminal's Ctrl-C reaches both copies. The inner one ends in order, the outer one waits for it.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("cannot make namespaces for the beds: %w", err)
	}
	go func() {
		for range signals {
			cmd.Process.Signal(syscall.SIGTERM)
		}
	}()
	go endWithParent()
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), nil
	}
	return 0, err
}

// endWithParent ends this process when whoever started it is gone, so that a killed `go test` or `make` leaves no bed.
func endWithParent() {
	for parent := os.Getppid(); os.Getppid() == parent; {
		time.Sleep(500 * time.Millisecond)
	}
	os.Exit(1)
}

// reap starts the runner and waits for it, and for every orphan: a command that was started in a bed from outside becomes
// this process's child when its parent is killed, and as long as it is a zombie its bed's first process cannot end
// (pid_namespaces(7)).
func reap() int {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), stageVar+"=runner")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(os.Stderr, "cannot start the program in its namespaces:", err)
		return 1
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		for range signals {
			cmd.Process.Signal(syscall.SIGTERM)
		}
	}()
	for {
		var status unix.WaitStatus
		switch pid, err := unix.Wait4(-1, &status, 0, nil); {
		case err == unix.EINTR:
		case err != nil:
			fmt.Fprintln(os.Stderr, "cannot wait for the program:", err)
			return 1
		case pid == cmd.Process.Pid && status.Exited():
			return status.ExitStatus()
		case pid == cmd.Process.Pid:
			return 128 + int(status.Signal())
		}
	}
}

// enterRunner gives the runner a /proc of its own process namespace and memory to put its beds in.
func enterRunner() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("cannot make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("cannot mount /proc: %w", err)
	}
	if err := unix.Mount("tierd-bed", workDir(), "tmpfs", 0, "mode=0755,size=75%"); err != nil {
		return fmt.Errorf("cannot mount a tmpfs for the beds: %w", err)
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-ended
		os.Exit(130)
	}()
	return mountCgroups()
}

// workDir is where this program's beds live: a tmpfs that exists in its mount namespace only.
func workDir() string { return os.Getenv("TIERD_BED_WORK") }

// hold locks a folder for as long as this process lives or the file is open.
func hold(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("cannot lock %s: %w", dir, err)
	}
	return f, nil
}

// removeLeftovers removes the empty folders that killed runs left under the temporary directory. There is nothing else
// that could be left: processes and mounts went with the namespaces. A folder that somebody holds is in use: to remove it
// would unmount what is on it in the other one's namespace (rmdir(2)). The number in its name tells nothing, since whoever
// made it may have had a /proc of its own.
func removeLeftovers() {
	old, _ := filepath.Glob(filepath.Join(os.TempDir(), "tierd-bed-*"))
	for _, dir := range old {
		if f, err := hold(dir); err == nil {
			os.Remove(dir)
			f.Close()
		}
	}
}
