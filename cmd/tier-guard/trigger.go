package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// stall is what wakes the guard early: some tasks that waited for memory for 50 of 2000 milliseconds. A shorter window would
// take CAP_SYS_RESOURCE (Documentation/accounting/psi.rst), and the look comes after half a second in any case.
const stall = "some 50000 2000000\x00"

func armTrigger(path string) int {
	fd, err := open(path, unix.O_RDWR|unix.O_NONBLOCK)
	if err != nil {
		return -1
	}
	if _, err := unix.Write(fd, []byte(stall)); err != nil {
		unix.Close(fd)
		return -1
	}
	return fd
}

// wakeOnStall nudges at each event of the trigger, until there can be none any more. Go's poller does not know of events of
// this kind (EPOLLPRI), but of an epoll descriptor that has one.
func wakeOnStall(trigger int, woken chan struct{}) {
	if trigger < 0 {
		return
	}
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return
	}
	inner := os.NewFile(uintptr(fd), "pressure trigger")
	defer inner.Close()
	event := unix.EpollEvent{Events: unix.EPOLLPRI, Fd: int32(trigger)}
	if unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, trigger, &event) != nil {
		return
	}
	conn, err := inner.SyscallConn()
	if err != nil {
		return
	}
	var events [1]unix.EpollEvent
	for events[0].Events&unix.EPOLLERR == 0 {
		ready := func(fd uintptr) bool {
			n, err := unix.EpollWait(int(fd), events[:], 0)
			return n > 0 || err != nil && err != unix.EINTR
		}
		if conn.Read(ready) != nil || events[0].Events == 0 {
			return
		}
		nudge(woken)
	}
}
