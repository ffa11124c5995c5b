package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// Slices of the tiers and of what takes the memory away from them.
const (
	tiersSlice = "tiers.slice"
	loadSlice  = "desktop.slice"
)

// command runs a program that must not fail.
func command(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %q: %w: %s", name, args, err, bytes.TrimSpace(errs.Bytes()))
	}
	return string(bytes.TrimSpace(out.Bytes())), nil
}

// unit is one process of the program memory in a service of its own.
type unit struct {
	name, slice string
	pid         int
	page        *page
}

func (u *unit) cgroup() string { return filepath.Join(u.slice, u.name+".service") }

// start starts the service; ready waits for it. For every guard it is as plain as can be: no limits, no scores, no restarts.
func (u *unit) start(args []string) error {
	if err := os.Remove(benchPath(u.name + ".page")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	args = append([]string{"--quiet", "--collect", "--unit=" + u.name, "--slice=" + u.slice,
		"-p", "LimitMEMLOCK=infinity", benchPath("memory"), "-name", u.name}, args...)
	var failed error
	// systemd forgets a unit of that name a moment after its cgroup is gone.
	_, err := within(3*time.Second, func() (bool, error) {
		_, failed = command("systemd-run", args...)
		return failed == nil, nil
	})
	return errors.Join(err, failed)
}

// ready waits until all is held that is to be held.
func (u *unit) ready() error {
	ok, err := within(30*time.Second, func() (bool, error) {
		var err error
		if u.page == nil {
			if u.page, err = openPage(benchPath(u.name + ".page")); errors.Is(err, fs.ErrNotExist) {
				return false, nil
			} else if err != nil {
				return false, err
			}
		}
		return u.page.Ready.Load() == 1, nil
	})
	if err != nil {
		return err
	}
	if u.pid, err = mainPID(u.cgroup()); err != nil {
		return err
	}
	if !ok || u.pid == 0 {
		return fmt.Errorf("%s did not start within 30 s, or ended", u.name)
	}
	return nil
}

// attach finds a service that an earlier run has left. Whether it is unharmed: it was not told to end, has not leaked, and is
// not in swap.
func (u *unit) attach() (unharmed bool, err error) {
	if u.pid, err = mainPID(u.cgroup()); err != nil || u.pid == 0 {
		return false, err
	}
	if u.page, err = openPage(benchPath(u.name + ".page")); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	swapped, err := procField(fmt.Sprintf("/proc/%d/status", u.pid), "VmSwap:")
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return u.page.Ready.Load() == 1 && u.page.Term.Load() == 0 && u.page.Taken.Load() == 0 && swapped < 8<<10, err
}

// end kills the service, if it is there, and waits until systemd has let go of it.
func (u *unit) end() error {
	dir := filepath.Join("/sys/fs/cgroup", u.cgroup())
	_ = os.WriteFile(filepath.Join(dir, "cgroup.kill"), []byte("1"), 0) // it may have ended by itself
	gone, err := within(20*time.Second, func() (bool, error) {
		_, err := os.Stat(dir)
		return errors.Is(err, fs.ErrNotExist), nil
	})
	if err == nil && !gone {
		err = fmt.Errorf("%s cannot be ended", u.name)
	}
	u.pid, u.page = 0, nil
	return err
}

// score sets what OOMScoreAdjust= of its unit would have set.
func (u *unit) score(n int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", u.pid), []byte(strconv.Itoa(n)), 0)
}
