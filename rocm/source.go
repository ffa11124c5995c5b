package rocm

import (
	"errors"
	"path"
	"slices"
	"strconv"
	"strings"
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
			return nil, errors.New("is larger than " + strconv.Itoa(max>>10) + " KiB")
		}
	}
}

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

// processes looks at the links in proc/PID/fd and keeps those to a node in /dev/dri: opening every fdinfo of a host takes
// several times as long as reading every link.
func (d dir) processes() ([]process, error) {
	names, err := d.list("proc")
	if err != nil {
		return nil, err
	}
	var found []process
	var fds []string
	for _, pid := range names {
		if !isNumber(pid) {
			continue
		}
		var p process
		p, fds = d.process(pid, fds[:0])
		if len(p.files) > 0 || p.hidden != nil {
			found = append(found, p)
		}
	}
	return found, nil
}

// process uses room for the names of the process's descriptors and returns it.
func (d dir) process(pid string, room []string) (process, []string) {
	p := process{pid: pid}
	fd, err := open(d.at("proc/"+pid+"/fd"), unix.O_DIRECTORY)
	if err != nil {
		// A recorded tree has no links. Nor are they shown to one with CAP_SYS_PTRACE alone, which fdinfo is.
		return d.allFiles(p, room)
	}
	defer unix.Close(fd)
	if room, err = entries(fd, room); err != nil {
		return p.hide(err), room
	}
	var link [256]byte
	for _, name := range room {
		n, err := unix.Readlinkat(fd, name, link[:])
		if err != nil {
			if p = p.hide(err); p.hidden != nil {
				return p, room
			}
			continue
		}
		if node, ok := driNode(link[:n]); ok {
			p.files = append(p.files, gpuFile{node: node, fd: name})
		}
	}
	return p, room
}

// allFiles is for a process whose descriptors are not shown: each may be a GPU client's.
func (d dir) allFiles(p process, room []string) (process, []string) {
	fd, err := open(d.at("proc/"+p.pid+"/fdinfo"), unix.O_DIRECTORY)
	if err != nil {
		return p.hide(err), room
	}
	defer unix.Close(fd)
	if room, err = entries(fd, room); err != nil {
		return p.hide(err), room
	}
	for _, name := range room {
		p.files = append(p.files, gpuFile{fd: name})
	}
	return p, room
}

// hide notes why the process may not be looked into, unless it is just gone.
func (p process) hide(err error) process {
	if !missing(err) {
		p.files, p.hidden = nil, err
	}
	return p
}

// driNode finds the node in what a descriptor leads to: "/dev/dri/renderD128", wherever a container has its /dev.
func driNode(link []byte) (string, bool) {
	// Most links are short names of sockets and pipes: they cost one look.
	if len(link) == 0 || link[0] != '/' {
		return "", false
	}
	_, node, ok := strings.Cut(string(link), "/dri/")
	return node, ok && (strings.HasPrefix(node, "renderD") || strings.HasPrefix(node, "card"))
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
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
