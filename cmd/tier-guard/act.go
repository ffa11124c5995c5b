package main

import (
	"bytes"
	"time"

	"golang.org/x/sys/unix"
)

// How long the main process of a unit that is killed may take to end by itself. systemd starts a unit anew whose main process
// was killed; a shim that was told to stop, and whose engine is gone then, exits with 0 and is not started again.
const (
	mainAfter = 200 * time.Millisecond // after the kill; a shim, after its engine is gone
	mainLast  = 2 * time.Second        // after the kill, at the latest
)

// actor does what was decided. All of it goes by descriptors that are open and buffers that are there.
type actor struct {
	reaper *reaper
	pids   [4096]byte // of a cgroup.procs; longer ones are read in parts
}

// ask signals the main process alone. One whose main process nobody could name is told as a whole.
func (a *actor) ask(w *watched) unix.Errno {
	if w.main == 0 {
		_, errno := a.each(w, unix.SIGTERM, 0)
		return errno
	}
	return w.signalMain(unix.SIGTERM)
}

// stop signals all processes: the engine cuts its requests and ends, and the shim sees it while it is told to stop itself.
func (a *actor) stop(w *watched) unix.Errno {
	asked := a.ask(w)
	_, errno := a.each(w, unix.SIGTERM, w.main)
	return worse(asked, errno)
}

// kill begins the end of a unit: SIGTERM for main, so that it knows that it is to stop, and SIGKILL for all others. What is
// left is for finish.
func (a *actor) kill(w *watched, now time.Duration) unix.Errno {
	if w.main == 0 {
		return a.killGroup(w)
	}
	errno := w.signalMain(unix.SIGTERM)
	others, more := a.each(w, unix.SIGKILL, w.main)
	errno = worse(errno, more)
	if others == 0 || errno != 0 {
		return worse(errno, a.killGroup(w))
	}
	w.killing, w.alone = true, false
	w.killAt, w.killLast = now+mainAfter, now+mainLast
	return errno
}

// finish goes on with a unit that is being killed: processes that have come since are killed, and main when its time is over.
func (a *actor) finish(w *watched, now time.Duration) unix.Errno {
	others, errno := a.each(w, unix.SIGKILL, w.main)
	if others == 0 && !w.alone {
		w.alone, w.killAt = true, now+mainAfter
	}
	patient := w.shim && !w.alone
	if now < w.killAt && errno == 0 || patient && now < w.killLast {
		return errno
	}
	w.killing = false
	return worse(errno, a.killGroup(w))
}

// killGroup has the kernel kill all of the cgroup at once, those too that are being started at this moment.
func (a *actor) killGroup(w *watched) unix.Errno {
	errno := gone(pwrite(w.kill, one))
	a.reaper.after(w, &a.pids) // they are listed until their memory is given back
	return errno
}

var one = []byte("1")

// each signals all processes but one, and returns how many they were. What is killed is left to the reaper.
func (a *actor) each(w *watched, signal unix.Signal, but int) (told int, errno unix.Errno) {
	list := pidList{fd: w.procs, buf: a.pids[:]}
	for pid := list.next(); pid != 0; pid = list.next() {
		if pid == but {
			continue
		}
		told++
		errno = worse(errno, gone(kill(pid, signal)))
		if signal == unix.SIGKILL {
			a.reaper.soon(pid)
		}
	}
	return told, worse(errno, gone(list.errno))
}

// signalMain goes by the descriptor, which stands for this process and no later one of its number.
func (w *watched) signalMain(signal unix.Signal) unix.Errno {
	if w.pidfd >= 0 {
		if errno := pidfdSend(w.pidfd, signal); errno != unix.ENOSYS && errno != unix.EBADF {
			return gone(errno)
		}
	}
	return gone(kill(w.main, signal))
}

// gone takes what is not there any more for what was to be reached: ESRCH of a process, ENODEV of a cgroup.
func gone(errno unix.Errno) unix.Errno {
	if errno == unix.ESRCH || errno == unix.ENODEV {
		return 0
	}
	return errno
}

func worse(a, b unix.Errno) unix.Errno {
	if a != 0 {
		return a
	}
	return b
}

// pidList goes through an open cgroup.procs, as much at a time as the buffer holds, and allocates nothing.
type pidList struct {
	fd     int
	buf    []byte
	offset int
	rest   []byte
	errno  unix.Errno // why it could not be read on; 0
}

// next is the next process; 0 when there is none any more, or when they cannot be read.
func (l *pidList) next() (pid int) {
	for {
		if pid, l.rest = nextPID(l.rest); pid != 0 || l.errno != 0 {
			return pid
		}
		if l.rest, l.errno = pidsFrom(l.fd, l.buf, &l.offset); len(l.rest) == 0 {
			return 0
		}
	}
}

// pidsFrom reads the lines of a cgroup.procs from an offset on, as many whole ones as the buffer holds: half a number would be
// another process's. There are none left when it returns none.
func pidsFrom(fd int, buf []byte, offset *int) ([]byte, unix.Errno) {
	n, errno := pread(fd, buf, *offset)
	if errno != 0 {
		return nil, errno
	}
	whole := bytes.LastIndexByte(buf[:n], '\n') + 1
	*offset += whole
	return buf[:whole], 0
}
