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

// CgroupMemory is what a cgroup's memory.stat says, in bytes (cgroup-v2 of the kernel's admin guide, "memory.stat"). It
// shows nothing of GTT: the kernel charges that to no cgroup.
type CgroupMemory struct {
	Anon        *uint64
	Shmem       *uint64
	Kernel      *uint64 // since 5.18
	Reclaimable *uint64 // slab_reclaimable, a part of Kernel
	File        *uint64 // page cache, Shmem included: files that were mapped or read, and can be read again
}

// Held is what the cgroup has of memory that can only be had back by ending it, and so what MemAvailable lacks because of
// it; without swap, which tiers may not use. It is nil when the kernel does not say.
func (m CgroupMemory) Held() *uint64 {
	if m.Anon == nil {
		return nil
	}
	held := *m.Anon
	for _, part := range []*uint64{m.Shmem, m.Kernel} {
		if part != nil {
			held += *part
		}
	}
	if m.Reclaimable != nil {
		held -= min(held, *m.Reclaimable)
	}
	return &held
}

// MemoryStat reads the memory.stat of a cgroup, a path below sys/fs/cgroup as /proc/PID/cgroup has it. The error is
// fs.ErrNotExist when there is no such cgroup or no memory controller.
func MemoryStat(root, cgroup string) (CgroupMemory, error) {
	path := filepath.Join(root, "sys/fs/cgroup", cgroup, "memory.stat")
	data, err := os.ReadFile(path)
	if err != nil {
		return CgroupMemory{}, err
	}
	m, err := parseMemoryStat(bytes.NewReader(data))
	if err != nil {
		return CgroupMemory{}, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

func parseMemoryStat(r io.Reader) (CgroupMemory, error) {
	var m CgroupMemory
	fields := map[string]**uint64{"anon": &m.Anon, "shmem": &m.Shmem, "kernel": &m.Kernel, "slab_reclaimable": &m.Reclaimable, "file": &m.File}
	scan := bufio.NewScanner(r)
	for scan.Scan() {
		name, number, _ := strings.Cut(scan.Text(), " ")
		field, wanted := fields[name]
		if !wanted {
			continue
		}
		value, err := strconv.ParseUint(number, 10, 63)
		if err != nil {
			return CgroupMemory{}, fmt.Errorf("%s: %q is not a number of bytes", name, number)
		}
		*field = &value
	}
	return m, scan.Err()
}
