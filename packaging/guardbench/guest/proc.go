package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// field is the number after a name in a file of /proc, and -1 where there is none.
func field(text []byte, name string) int64 {
	_, rest, ok := bytes.Cut(text, []byte(name))
	if !ok {
		return -1
	}
	rest = bytes.TrimLeft(rest, " \t")
	n, digits := int64(0), 0
	for ; digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9'; digits++ {
		n = n*10 + int64(rest[digits]-'0')
	}
	if digits == 0 {
		return -1
	}
	return n
}

// procField reads one number of one file.
func procField(path, name string) (int64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	n := field(text, name)
	if n < 0 {
		return 0, fmt.Errorf("%s has no number for %q", path, name)
	}
	return n, nil
}

func meminfo(name string) (int64, error) {
	kib, err := procField("/proc/meminfo", name)
	return kib << 10, err
}

// mainPID is the only process of a unit's cgroup; 0 when there is none.
func mainPID(cgroup string) (int, error) {
	text, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", cgroup, "cgroup.procs"))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) || err == nil && len(text) == 0 {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	return strconv.Atoi(first)
}

// within polls until done or the time is over.
func within(limit time.Duration, done func() (bool, error)) (bool, error) {
	for end := time.Now().Add(limit); ; time.Sleep(5 * time.Millisecond) {
		if ok, err := done(); ok || err != nil {
			return ok, err
		}
		if time.Now().After(end) {
			return false, nil
		}
	}
}

// awaitQuiet waits until a process has used no processor time for a while, as far as the kernel's ticks of 10 ms tell: it has
// started and waits for its time.
func awaitQuiet(pid int) error {
	last, since := int64(-1), time.Now()
	_, err := within(8*time.Second, func() (bool, error) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return false, err
		}
		spent, err := ticks(text)
		if err != nil || spent != last {
			last, since = spent, time.Now()
			return false, err
		}
		return time.Since(since) > 250*time.Millisecond, nil
	})
	return err
}

// ticks are the processor time of a process, of itself and for it, in /proc/PID/stat.
func ticks(stat []byte) (int64, error) {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:]) // its name may hold blanks and brackets
	if len(fields) < 13 {
		return 0, fmt.Errorf("%q is no line of a process", stat)
	}
	user, err := strconv.ParseInt(string(fields[11]), 10, 64)
	system, err2 := strconv.ParseInt(string(fields[12]), 10, 64)
	return user + system, errors.Join(err, err2)
}
