package main

import (
	"bytes"
	"time"
)

// The parsers here read what package rocm reads, and have to agree with it. They are apart because rocm's allocate, and here
// there may be no memory to be had. They return no reason with a failure: that is looked for afterwards, by those of rocm.

// meminfo is what /proc/meminfo says, in bytes.
type meminfo struct {
	total, available, cma, swapFree, swapTotal uint64
	hasTotal, hasAvailable                     bool
}

var (
	memTotal     = []byte("MemTotal")
	memAvailable = []byte("MemAvailable")
	cmaFree      = []byte("CmaFree")
	swapFree     = []byte("SwapFree")
	swapTotal    = []byte("SwapTotal")
	kB           = []byte("kB")
)

// parseMeminfo is not ok for a malformed line among those that it reads, and without MemTotal and MemAvailable.
func parseMeminfo(data []byte) (m meminfo, ok bool) {
	for len(data) > 0 {
		var line []byte
		line, data = cutLine(data)
		// Most lines are none of these, and there are fifty.
		if len(line) == 0 || line[0] != 'M' && line[0] != 'C' && line[0] != 'S' {
			continue
		}
		name, rest, _ := bytes.Cut(line, colon)
		var into *uint64
		switch {
		case bytes.Equal(name, memTotal):
			into, m.hasTotal = &m.total, true
		case bytes.Equal(name, memAvailable):
			into, m.hasAvailable = &m.available, true
		case bytes.Equal(name, cmaFree):
			into = &m.cma
		case bytes.Equal(name, swapFree):
			into = &m.swapFree
		case bytes.Equal(name, swapTotal):
			into = &m.swapTotal
		default:
			continue
		}
		digits, unit, _ := bytes.Cut(bytes.TrimSpace(rest), space)
		kib, fine := number(bytes.TrimSpace(digits), 54)
		if !fine || !bytes.Equal(unit, kB) {
			return m, false
		}
		*into = kib * 1024
	}
	return m, m.hasTotal && m.hasAvailable
}

// free is rocm.Memory.Free: CMA counts as available to the kernel, although only movable pages may use it.
func (m meminfo) free() uint64 { return m.available - min(m.available, m.cma) }

var (
	colon = []byte(":")
	space = []byte(" ")
	equal = []byte("=")
	full  = []byte("full")
	total = []byte("total")
)

// parseFull finds the total of the line "full" in a file of /proc/pressure. It is not ok where the kernel has none.
func parseFull(data []byte) (stalled time.Duration, ok bool) {
	for len(data) > 0 {
		var line []byte
		line, data = cutLine(data)
		kind, rest, _ := bytes.Cut(bytes.TrimSpace(line), space)
		if !bytes.Equal(kind, full) {
			continue
		}
		stalled, ok = 0, true
		for len(rest) > 0 {
			var field []byte
			field, rest = cutField(rest)
			key, value, _ := bytes.Cut(field, equal)
			if !bytes.Equal(key, total) {
				continue
			}
			us, fine := number(value, 53)
			if !fine {
				return 0, false
			}
			stalled = time.Duration(us) * time.Microsecond
		}
	}
	return stalled, ok
}

var (
	anon            = []byte("anon")
	shmem           = []byte("shmem")
	kernel          = []byte("kernel")
	slabReclaimable = []byte("slab_reclaimable")
)

// parseHeld is rocm.CgroupMemory.Held of a memory.stat: what only the end of the cgroup gives back.
func parseHeld(data []byte) (held uint64, ok bool) {
	var reclaimable uint64
	var parts [3]uint64
	for len(data) > 0 {
		var line []byte
		line, data = cutLine(data)
		name, digits, _ := bytes.Cut(bytes.TrimSuffix(line, carriage), space)
		var into *uint64
		switch {
		case bytes.Equal(name, anon):
			into, ok = &parts[0], true
		case bytes.Equal(name, shmem):
			into = &parts[1]
		case bytes.Equal(name, kernel):
			into = &parts[2]
		case bytes.Equal(name, slabReclaimable):
			into = &reclaimable
		default:
			continue
		}
		n, fine := number(digits, 63)
		if !fine {
			return 0, false
		}
		*into = n
	}
	held = parts[0] + parts[1] + parts[2]
	return held - min(held, reclaimable), ok
}

var (
	carriage  = []byte("\r")
	populated = []byte("populated ")
)

// parsePopulated reads a cgroup.events: whether there are processes in the cgroup or below it.
func parsePopulated(data []byte) (up, ok bool) {
	for len(data) > 0 {
		var line []byte
		line, data = cutLine(data)
		if value, found := bytes.CutPrefix(line, populated); found {
			n, fine := number(value, 1)
			return n == 1, fine
		}
	}
	return false, false
}

// nextPID takes the first number of a cgroup.procs, 0 when there is none any more. A process of another PID namespace is
// written as 0, and skipped.
func nextPID(data []byte) (pid int, rest []byte) {
	for len(data) > 0 {
		var line []byte
		line, data = cutLine(data)
		if n, ok := number(line, 31); ok && n > 0 {
			return int(n), data
		}
	}
	return 0, nil
}

// number reads decimal digits and nothing else, less than 2^bits.
func number(digits []byte, bits uint) (n uint64, ok bool) {
	if len(digits) == 0 {
		return 0, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' || n > (1<<63)/10 {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, n>>bits == 0
}

func cutLine(data []byte) (line, rest []byte) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return data[:i], data[i+1:]
	}
	return data, nil
}

// cutField takes what comes before the next white space.
func cutField(data []byte) (field, rest []byte) {
	data = bytes.TrimLeft(data, " \t\r\n\v\f")
	if i := bytes.IndexAny(data, " \t\r\n\v\f"); i >= 0 {
		return data[:i], data[i+1:]
	}
	return data, nil
}
