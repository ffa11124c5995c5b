package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls of the hot goroutine go to the kernel without telling Go's scheduler: they return at once, and one that is told
// wakes the runtime's monitor, and may have to wait afterwards for its turn among goroutines.

// pread fills buf from the beginning of a file, or from an offset.
func pread(fd int, buf []byte, offset int) (int, unix.Errno) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_PREAD64, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(buf))), uintptr(len(buf)), uintptr(offset), 0, 0)
		switch errno {
		case 0:
			return int(n), 0
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// pwrite writes at the beginning of a file, which is how the files of cgroups are written to.
func pwrite(fd int, text []byte) unix.Errno {
	for {
		_, _, errno := unix.RawSyscall6(unix.SYS_PWRITE64, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(text))), uintptr(len(text)), 0, 0, 0)
		if errno != unix.EINTR {
			return errno
		}
	}
}

// kill signals a process by its number.
func kill(pid int, signal unix.Signal) unix.Errno {
	_, _, errno := unix.RawSyscall(unix.SYS_KILL, uintptr(pid), uintptr(signal), 0)
	return errno
}

// pidfdSend signals the process that a descriptor stands for, which can be no other that has got its number since.
func pidfdSend(pidfd int, signal unix.Signal) unix.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_PIDFD_SEND_SIGNAL, uintptr(pidfd), uintptr(signal), 0, 0, 0, 0)
	return errno
}

// datagram sends on a connected socket, and rather not at all than waiting.
func datagram(fd int, text []byte) unix.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(text))), uintptr(len(text)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	return errno
}

// open opens for a hot thread: whatever is opened stays open.
func open(path string, flags int) (int, error) {
	for {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// boottime is CLOCK_BOOTTIME in nanoseconds: it goes on while the host sleeps.
func boottime() int64 {
	var t unix.Timespec
	_, _, _ = unix.RawSyscall(unix.SYS_CLOCK_GETTIME, unix.CLOCK_BOOTTIME, uintptr(unsafe.Pointer(&t)), 0)
	return t.Nano()
}
