package agent

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// tcpListen is the state of a listening socket in /proc/net/tcp (TCP_LISTEN of linux/include/net/tcp_states.h).
const tcpListen = 0x0A

// portOwners says who listens on each of the ports, as far as that can be found out. It reads the tables of process 1,
// because tierd itself is in a network namespace of its own.
func portOwners(root string, ports []int) map[int]string {
	owners := map[int]string{}
	inodes := map[uint64]int{}
	for _, table := range []string{"tcp", "tcp6"} {
		f, err := os.Open(filepath.Join(root, "proc/1/net", table))
		if err != nil {
			continue // a host without IPv6 has no tcp6
		}
		listening, err := parseListeners(f)
		f.Close()
		if err != nil {
			continue // a table of another kernel's tells nothing
		}
		for inode, port := range listening {
			if slices.Contains(ports, port) {
				inodes[inode] = port
				owners[port] = "" // somebody does, even when nobody is found
			}
		}
	}
	if len(inodes) == 0 {
		return owners
	}
	procs, err := os.ReadDir(filepath.Join(root, "proc"))
	if err != nil {
		return owners
	}
	for _, p := range procs {
		pid, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		for _, inode := range socketsOf(filepath.Join(root, "proc", p.Name(), "fd")) {
			if port, ok := inodes[inode]; ok {
				owners[port] = fmt.Sprintf("%s (pid %d)", commandOf(root, p.Name()), pid)
			}
		}
	}
	return owners
}

// socketsOf lists the inodes of the sockets that a process has open; none when it may not be looked at or has ended.
func socketsOf(dir string) []uint64 {
	links, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var list []uint64
	for _, l := range links {
		target, err := os.Readlink(filepath.Join(dir, l.Name()))
		if err != nil {
			continue
		}
		if inode, ok := parseSocketLink(target); ok {
			list = append(list, inode)
		}
	}
	return list
}

// parseSocketLink reads "socket:[12345]".
func parseSocketLink(s string) (uint64, bool) {
	s, ok := strings.CutPrefix(s, "socket:[")
	if !ok {
		return 0, false
	}
	s, ok = strings.CutSuffix(s, "]")
	if !ok {
		return 0, false
	}
	inode, err := strconv.ParseUint(s, 10, 64)
	return inode, err == nil
}

func commandOf(root, pid string) string {
	comm, err := os.ReadFile(filepath.Join(root, "proc", pid, "comm"))
	if err != nil {
		return "a process"
	}
	return strings.TrimSpace(string(comm))
}

// parseListeners reads /proc/net/tcp or tcp6 and returns the port of each listening socket by its inode (proc_net(5)).
// Lines that it does not understand are an error: half a table would name the wrong owner.
func parseListeners(r io.Reader) (map[uint64]int, error) {
	listening := map[uint64]int{}
	scan := bufio.NewScanner(r)
	scan.Scan() // the heading
	for scan.Scan() {
		fields := strings.Fields(scan.Text())
		if len(fields) == 0 {
			continue
		}
		if len(fields) < 10 {
			return nil, fmt.Errorf("%q has not the fields of a socket", scan.Text())
		}
		state, err := strconv.ParseUint(fields[3], 16, 8)
		if err != nil {
			return nil, fmt.Errorf("%q is not a socket's state", fields[3])
		}
		if state != tcpListen {
			continue
		}
		_, hex, ok := strings.Cut(fields[1], ":")
		port, err := strconv.ParseUint(hex, 16, 16)
		if !ok || err != nil {
			return nil, fmt.Errorf("%q is not an address with a port", fields[1])
		}
		inode, err := strconv.ParseUint(fields[9], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is not an inode", fields[9])
		}
		listening[inode] = int(port)
	}
	return listening, scan.Err()
}
