package rocm

import (
	"errors"
	"path"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// Bounds of what one read may bring in. A file of sysfs is one page at most; those of proc that are read here are a few
// KiB, but for cpuinfo, which grows with the number of CPUs.
const (
	maxFile    = 64 << 10
	maxCPUInfo = 1 << 20
	maxEntries = 64 << 10 // of a directory
)

// source is where the files come from: a tree on disk, or a recording of one. Paths are relative to the root.
type source interface {
	read(path string, max int) ([]byte, error)
	list(path string) ([]string, error)
	// processes finds which files in proc/PID/fdinfo may be those of GPU clients, and whose. Of a process without any
	// it says nothing.
	processes() ([]process, error)
}

// process is one that may hold GPU memory.
type process struct {
	pid    string
	files  []gpuFile
	hidden error // why it may not be looked into
}

// gpuFile is an open file of a process. What it was opened from is "" where only reading its fdinfo tells.
type gpuFile struct {
	node string // "renderD128", "card1"
	fd   string
}

// dir is a tree on disk.
type dir string

func (d dir) at(name string) string { return path.Join(string(d), name) }

var scratch = sync.Pool{New: func() any { b := make([]byte, maxFile+1); return &b }}

// read takes a whole file in one read(2) where the kernel allows it: what sysfs and proc say in two calls may not belong
// together. It uses system calls, since os.File would ask epoll about each file first and pays for a finaliser.
func (d dir) read(name string, max int) ([]byte, error) {
	fd, err := open(d.at(name), 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	buf := scratch.Get().(*[]byte)
	defer scratch.Put(buf)
	for n := 0; ; {
		if n == len(*buf) {
			*buf = append(*buf, make([]byte, len(*buf))...)
		}
		more, err := unix.Read(fd, (*buf)[n:])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, err
		case more == 0:
			return slices.Clone((*buf)[:n]), nil
		default:
			n += more
		}
		if n > max {
			return nil, tooLarge(max)
		}
	}
}

func tooLarge(max int) error { return errors.New("is larger than " + strconv.Itoa(max>>10) + " KiB") }

func (d dir) list(name string) ([]string, error) {
	fd, err := open(d.at(name), unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	names, err := entries(fd, nil)
	slices.Sort(names)
	return names, err
}

func open(name string, flags int) (int, error) {
	for {
		fd, err := unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOCTTY|flags, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// entries appends the names in an open directory to names, without "." and "..".
func entries(fd int, names []string) ([]string, error) {
	buf := scratch.Get().(*[]byte)
	defer scratch.Put(buf)
	for {
		n, err := unix.ReadDirent(fd, *buf)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return names, err
		case n == 0:
			return names, nil
		}
		_, _, names = unix.ParseDirent((*buf)[:n], -1, names)
		if len(names) > maxEntries {
			return nil, errors.New("has more than " + strconv.Itoa(maxEntries) + " entries")
		}
	}
}

// missing tells that the kernel does not offer a file, or no longer: it is not there, its process has ended, or the
// hardware has no such value.
func missing(err error) bool {
	for _, e := range []unix.Errno{unix.ENOENT, unix.ENOTDIR, unix.ESRCH, unix.ENODEV, unix.ENODATA, unix.EOPNOTSUPP} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
