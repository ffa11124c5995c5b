package rocm

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Memory is what /proc/meminfo says, in bytes. A field that the kernel does not offer is nil.
type Memory struct {
	MemTotal     *uint64
	MemFree      *uint64
	MemAvailable *uint64
	Cached       *uint64
	CmaFree      *uint64
	SwapTotal    *uint64
	SwapFree     *uint64
	// GPUActive is system memory that GPU objects hold, of all GPUs: the kernel's own check of GTT use, from 7.1 on.
	// GPUReclaim is what the driver keeps in its pool for the next object and would give back.
	GPUActive  *uint64
	GPUReclaim *uint64
}

// Free is what a new process could really have: MemAvailable less CmaFree, which the kernel counts as available although
// only movable pages may use it. It is nil when the kernel does not say.
func (m Memory) Free() *uint64 {
	if m.MemAvailable == nil {
		return nil
	}
	free := *m.MemAvailable
	if m.CmaFree != nil {
		free -= min(free, *m.CmaFree)
	}
	return &free
}

// Meminfo reads proc/meminfo under root.
func Meminfo(root string) (Memory, error) {
	path := filepath.Join(root, "proc", "meminfo")
	data, err := dir("").read(path, maxFile)
	if err != nil {
		return Memory{}, &os.PathError{Op: "read", Path: path, Err: err}
	}
	m, err := parseMeminfo(data)
	if err != nil {
		return Memory{}, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

func parseMeminfo(data []byte) (Memory, error) {
	var m Memory
	for line := range strings.Lines(string(data)) {
		name, rest, _ := strings.Cut(line, ":")
		field := m.field(name)
		if field == nil {
			continue
		}
		value, err := parseKiB(rest)
		if err != nil {
			return Memory{}, fmt.Errorf("%s: %w", name, err)
		}
		*field = &value
	}
	return m, nil
}

// field is where a line of meminfo goes, nil when nobody asks for it.
func (m *Memory) field(name string) **uint64 {
	switch name {
	case "MemTotal":
		return &m.MemTotal
	case "MemFree":
		return &m.MemFree
	case "MemAvailable":
		return &m.MemAvailable
	case "Cached":
		return &m.Cached
	case "CmaFree":
		return &m.CmaFree
	case "SwapTotal":
		return &m.SwapTotal
	case "SwapFree":
		return &m.SwapFree
	case "GPUActive":
		return &m.GPUActive
	case "GPUReclaim":
		return &m.GPUReclaim
	}
	return nil
}

// parseKiB reads "  131072 kB". The kernel writes kB and means 1024 bytes (proc_meminfo(5)).
func parseKiB(s string) (uint64, error) {
	number, unit, _ := strings.Cut(strings.TrimSpace(s), " ")
	n, err := parseNumber(number, 54)
	if err != nil || unit != "kB" {
		return 0, fmt.Errorf("%s is not a number of kB", quote(s))
	}
	return n * 1024, nil
}
