package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/tierd/tierd/agent/guard"
	"golang.org/x/sys/unix"
)

// watched is one start of a tier's unit with all that acting on it takes, opened in advance: when memory runs out there may be
// no descriptor left in the system, and no way to make one. It is the keeper's until the hot thread has been handed it; from
// then on the fields below "hot" are the hot thread's alone.
type watched struct {
	unit, cgroup string
	inode        uint64 // of the cgroup: one that vanished and came back under its name is another
	said         int    // main process as tierd has it; 0: it does not say
	main         int    // process; 0: not known
	shim         bool   // main is tier-shim: it ends by itself once its engine has
	unheard      bool   // it has begun while tierd was silent
	onGPU        bool   // its processes are looked into for GPU memory

	events, procs, kill, stat int // files of the cgroup; stat is -1 without a memory controller
	pidfd                     int // of main; -1: it is signalled by its number

	gpu sample // what its processes hold of GPU memory

	// hot
	up       bool
	ram      guard.Amount
	ramAt    time.Duration
	reported bool          // the keeper has heard that nobody is in it
	lost     bool          // it may not be signalled
	killing  bool          // told to die; main has still some time
	alone    bool          // and there is nobody but main left
	killAt   time.Duration // when main goes too
	killLast time.Duration // when it does even if others are not gone
}

// sample is an amount that another thread reads now and then.
type sample struct {
	bytes atomic.Uint64
	at    atomic.Int64 // boottime of the reading; 0: never
}

func (s *sample) set(bytes uint64, at int64) {
	s.bytes.Store(bytes)
	s.at.Store(at)
}

// amount is not known any more when it is older than that: its reader hangs, as it may at a GPU that does.
func (s *sample) amount(now, old time.Duration) guard.Amount {
	at := time.Duration(s.at.Load())
	if at == 0 || now-at > old {
		return guard.Amount{}
	}
	return guard.Amount{Bytes: s.bytes.Load(), Known: true}
}

const cgroups = "sys/fs/cgroup"

// openUnit opens what a unit's start has. main may be 0: then it is found, as the one process that no other of the cgroup has
// started.
func openUnit(root, unit, cgroup string, main int) (_ *watched, err error) {
	dir := filepath.Join(root, cgroups, cgroup)
	w := &watched{unit: unit, cgroup: cgroup, said: main, events: -1, procs: -1, kill: -1, stat: -1, pidfd: -1, up: true}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.inode, err = inodeOf(dir); err != nil {
		return nil, err
	}
	for _, f := range []struct {
		name  string
		flags int
		fd    *int
	}{
		{"cgroup.events", unix.O_RDONLY, &w.events},
		{"cgroup.procs", unix.O_RDONLY, &w.procs},
		{"cgroup.kill", unix.O_WRONLY, &w.kill},
	} {
		if *f.fd, err = open(filepath.Join(dir, f.name), f.flags); err != nil {
			return nil, &os.PathError{Op: "open", Path: filepath.Join(dir, f.name), Err: err}
		}
	}
	if w.stat, err = open(filepath.Join(dir, "memory.stat"), unix.O_RDONLY); err != nil && !errors.Is(err, unix.ENOENT) {
		return nil, &os.PathError{Op: "open", Path: filepath.Join(dir, "memory.stat"), Err: err}
	}
	pids, err := w.processes()
	if err != nil {
		return nil, &os.PathError{Op: "read", Path: filepath.Join(dir, "cgroup.procs"), Err: err}
	}
	w.findMain(root, pids)
	return w, nil
}

// processes are those of the cgroup now.
func (w *watched) processes() ([]int, error) {
	var pids []int
	list := pidList{fd: w.procs, buf: make([]byte, 4096)}
	for pid := list.next(); pid != 0; pid = list.next() {
		pids = append(pids, pid)
	}
	switch list.errno {
	case 0:
		return pids, nil
	case unix.ENODEV: // the cgroup is gone
		return nil, nil
	}
	return nil, list.errno
}

// findMain opens the main process. Its number may have been given to another one since tierd wrote it down, so it counts only
// if it is in the cgroup after it was opened.
func (w *watched) findMain(root string, pids []int) {
	w.main = w.said
	if !slices.Contains(pids, w.main) {
		starter := func(pid int) bool { return !slices.Contains(pids, parentOf(root, pid)) }
		if i := slices.IndexFunc(pids, starter); i >= 0 {
			w.main = pids[i]
		} else {
			w.main = 0
		}
	}
	if w.main == 0 {
		return
	}
	if comm, err := os.ReadFile(filepath.Join(root, "proc", strconv.Itoa(w.main), "comm")); err == nil {
		w.shim = string(comm) == "tier-shim\n"
	}
	fd, err := unix.PidfdOpen(w.main, 0)
	if err != nil {
		return // it is signalled by its number
	}
	w.pidfd = fd
	if again, err := w.processes(); err != nil || !slices.Contains(again, w.main) {
		unix.Close(fd)
		w.pidfd, w.main = -1, 0
	}
}

// parentOf reads proc/PID/stat, whose second field is a name in parentheses that may hold anything; 0 when there is none.
func parentOf(root string, pid int) int {
	data, err := os.ReadFile(filepath.Join(root, "proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0
	}
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(fields) < 2 {
		return 0
	}
	parent, _ := strconv.Atoi(string(fields[1]))
	return parent
}

func inodeOf(path string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return st.Ino, nil
}

// same tells whether it is still this start of the unit that has the name, with a main process that can be told to end.
func (w *watched) same(root string, main int) bool {
	inode, err := inodeOf(filepath.Join(root, cgroups, w.cgroup))
	return err == nil && inode == w.inode && w.main != 0 && (main == 0 || w.said == main)
}

func (w *watched) close() {
	for _, fd := range []*int{&w.events, &w.procs, &w.kill, &w.stat, &w.pidfd} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
}
