package main

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// reaper gives the memory of killed processes back before they get to it themselves: one that waits for a lock or a disk does
// so for long. It has a thread of its own, since process_mrelease(2) takes as long as freeing does.
type reaper struct{ pids chan int }

func newReaper() *reaper { return &reaper{pids: make(chan int, 256)} }

// soon leaves a process that was sent SIGKILL to the reaper. It never waits; what there is no room for ends by itself.
func (r *reaper) soon(pid int) {
	select {
	case r.pids <- pid:
	default:
	}
}

// after leaves all of a cgroup that was killed to the reaper.
func (r *reaper) after(w *watched, buf *[4096]byte) {
	list := pidList{fd: w.procs, buf: buf[:]}
	for pid := list.next(); pid != 0; pid = list.next() {
		r.soon(pid)
	}
}

// run ends when the channel is closed. Where there is no descriptor left it does without: the process dies anyway. A number
// that is another's by now does no harm, since the kernel refuses one that is not dying.
func (r *reaper) run() {
	runtime.LockOSThread()
	for pid := range r.pids {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue
		}
		processMrelease(fd)
		unix.Close(fd)
	}
}

// processMrelease is not in the library.
func processMrelease(pidfd int) unix.Errno {
	_, _, errno := unix.Syscall(unix.SYS_PROCESS_MRELEASE, uintptr(pidfd), 0, 0)
	return errno
}
