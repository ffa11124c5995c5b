package gateway

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// handoverEnv names, in order and separated by colons, the descriptors from 3 on that a predecessor handed over. It
// is LISTEN_FDNAMES without LISTEN_PID, since the predecessor does not know its child's pid before the child runs.
const handoverEnv = "TIERD_GATEWAY_FDNAMES"

// firstFD is SD_LISTEN_FDS_START of sd_listen_fds(3).
const firstFD = 3

// Inherited are the descriptors that a process was started with, by name. Each is taken once.
type Inherited struct {
	Handover bool // from a predecessor, which waits to hear that its successor is ready
	fds      map[string][]int
}

// Inherit finds the descriptors that getenv tells of, and keeps them from leaking into a child.
func Inherit(getenv func(string) string, pid int) (*Inherited, error) {
	in := &Inherited{fds: map[string][]int{}}
	var names []string
	switch {
	case getenv(handoverEnv) != "":
		in.Handover = true
		names = strings.Split(getenv(handoverEnv), ":")
	case getenv("LISTEN_PID") == strconv.Itoa(pid):
		count, err := strconv.Atoi(getenv("LISTEN_FDS"))
		if err != nil || count < 0 {
			return nil, fmt.Errorf("LISTEN_FDS=%q is not a number of descriptors", getenv("LISTEN_FDS"))
		}
		names = make([]string, count)
		copy(names, strings.Split(getenv("LISTEN_FDNAMES"), ":"))
	}
	for i, name := range names {
		fd := firstFD + i
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, unix.FD_CLOEXEC); err != nil {
			return nil, fmt.Errorf("cannot use inherited descriptor %d (%s): %w", fd, name, err)
		}
		in.fds[name] = append(in.fds[name], fd)
	}
	return in, nil
}

// Take hands out the descriptor of a name, false when there is none.
func (in *Inherited) Take(name string) (int, bool) {
	fds := in.fds[name]
	if len(fds) == 0 {
		return 0, false
	}
	in.fds[name] = fds[1:]
	return fds[0], true
}

// rest takes what nobody has asked for.
func (in *Inherited) rest() map[string][]int {
	rest := in.fds
	in.fds = nil
	return rest
}
