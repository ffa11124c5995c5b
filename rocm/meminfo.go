// Package rocm reports what the kernel says of GPUs and memory, from whatever root it is given.
package rocm

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Memory is what /proc/meminfo says, in bytes. A field that the kernel does not offer is nil.
type Memory struct {
	MemTotal     *uint64
	MemAvailable *uint64
	CmaFree      *uint64
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
	data, err := os.ReadFile(path)
	if err != nil {
		return Memory{}, err
	}
	m, err := parseMeminfo(bytes.NewReader(data))
	if err != nil {
		return Memory{}, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

func parseMeminfo(r io.Reader) (Memory, error) {
	var m Memory
	fields := map[string]**uint64{"MemTotal": &m.MemTotal, "MemAvailable": &m.MemAvailable, "CmaFree": &m.CmaFree}
	scan := bufio.NewScanner(r)
	for scan.Scan() {
		name, rest, _ := strings.Cut(scan.Text(), ":")
		field, wanted := fields[name]
		if !wanted {
			continue
		}
		value, err := parseKiB(rest)
		if err != nil {
			return Memory{}, fmt.Errorf("%s: %w", name, err)
		}
		*field = &value
	}
	return m, scan.Err()
}

// parseKiB reads "  131072 kB". The kernel writes kB and means 1024 bytes (proc_meminfo(5)).
func parseKiB(s string) (uint64, error) {
	number, unit, _ := strings.Cut(strings.TrimSpace(s), " ")
	n, err := strconv.ParseUint(number, 10, 54)
	if err != nil || unit != "kB" {
		return 0, fmt.Errorf("%q is not a number of kB", strings.TrimSpace(s))
	}
	return n * 1024, nil
}
