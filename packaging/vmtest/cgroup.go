package vmtest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ownCgroup returns the cgroup under which beds are made, as a path in the version 2 hierarchy. Inside the scope that
// enterScope made, this process first steps one level down: a cgroup that hands controllers to children may not hold
// processes itself (Documentation/admin-guide/cgroup-v2.rst, "No Internal Process Constraint").
func ownCgroup() (string, error) {
	raw, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	own, err := parseOwnCgroup(raw)
	if err != nil {
		return "", err
	}
	if os.Getenv("TIERD_BED_SCOPED") != "" {
		run := filepath.Join("/sys/fs/cgroup", own, "run")
		if err := os.Mkdir(run, 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(run, "cgroup.procs"), []byte("0"), 0o644); err != nil {
			return "", fmt.Errorf("cannot step into %s: %w", run, err)
		}
	}
	return own, nil
}

// parseOwnCgroup finds the version 2 line of /proc/PID/cgroup: the one with hierarchy 0 and no controllers.
func parseOwnCgroup(raw []byte) (string, error) {
	lines := bufio.NewScanner(bytes.NewReader(raw))
	for lines.Scan() {
		if path, ok := strings.CutPrefix(lines.Text(), "0::"); ok {
			return path, nil
		}
	}
	return "", errors.New("this kernel has no cgroup version 2 hierarchy: systemd cannot be booted here")
}

// cgroupMount is where the runner sees the version 2 hierarchy, whatever the machine itself mounts where.
func cgroupMount() string { return filepath.Join(workDir(), "cgroup") }

// bedsCgroup is the folder under which each bed has its cgroup.
func bedsCgroup() string { return filepath.Join(cgroupMount(), os.Getenv(cgroupVar)) }

// mountCgroups mounts the version 2 hierarchy, hands on what controllers there are and removes what killed runs left.
// On a machine that binds a controller to version 1 (memory, often) beds do without it.
func mountCgroups() error {
	if err := os.Mkdir(cgroupMount(), 0o755); err != nil {
		return err
	}
	if err := unix.Mount("cgroup2", cgroupMount(), "cgroup2", 0, ""); err != nil {
		return fmt.Errorf("cannot mount the cgroup hierarchy: %w", err)
	}
	controllers, err := os.ReadFile(filepath.Join(bedsCgroup(), "cgroup.controllers"))
	if err != nil {
		return err
	}
	for name := range strings.FieldsSeq(string(controllers)) {
		// One at a time: a controller that cannot be handed on must not keep the others back.
		_ = os.WriteFile(filepath.Join(bedsCgroup(), "cgroup.subtree_control"), []byte("+"+name), 0o644)
	}
	old, _ := filepath.Glob(filepath.Join(bedsCgroup(), "tierd-bed-*"))
	for _, dir := range old {
		if info, err := os.Stat(dir); err == nil && time.Since(info.ModTime()) > time.Minute && !populated(dir) {
			_ = removeCgroup(dir)
		}
	}
	return nil
}

// newCgroup makes a cgroup and opens it, for a process to be started in.
func newCgroup(dir string) (*os.File, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, fmt.Errorf("cannot make a cgroup for the bed: %w", err)
	}
	return os.Open(dir)
}

func populated(dir string) bool {
	events, err := os.ReadFile(filepath.Join(dir, "cgroup.events"))
	return err != nil || bytes.Contains(events, []byte("populated 1"))
}

// removeEmptied removes a cgroup whose first process has ended, and all below it. One that is not there is no error.
func removeEmptied(dir string) error {
	if _, err := os.Stat(dir); err != nil {
		return nil
	}
	// A namespace's first process is waited for last, but the kernel lets go of cgroups a moment later.
	for range 500 {
		if !populated(dir) {
			break
		}
		time.Sleep(2 * time.Millisecond)
	}
	return removeCgroup(dir)
}

// removeCgroup removes a cgroup and all below it, the deepest first. Its processes must be gone.
func removeCgroup(dir string) error {
	var dirs []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	for i := len(dirs) - 1; i >= 0; i-- {
		err = errors.Join(err, os.Remove(dirs[i]))
	}
	return err
}
