package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// loadedBytes tells how much an engine has taken in of its model: what it read, or what it mapped and touched. The
// larger of the two fits every way of loading, and neither is exact, since the engine's own libraries count as well.
func loadedBytes(pid int) uint64 {
	read, _ := os.ReadFile(fmt.Sprintf("/proc/%d/io", pid))
	mapped, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	return max(procField(string(read), "rchar"), procField(string(mapped), "RssFile")<<10)
}

// procField returns the number behind "name:" in a file of /proc; 0 when it is not there.
func procField(text, name string) uint64 {
	for line := range strings.Lines(text) {
		key, rest, found := strings.Cut(line, ":")
		if !found || key != name {
			continue
		}
		fields := strings.Fields(rest)
		if len(fields) == 0 {
			return 0
		}
		value, _ := strconv.ParseUint(fields[0], 10, 53)
		return value
	}
	return 0
}

// oomKills counts the processes of this unit that the kernel's OOM killer has ended (memory.events of the unit's own
// cgroup, cgroup v2). 0 when it cannot be read: then the exit status alone speaks.
func oomKills() int {
	membership, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(membership)) {
		if path, found := strings.CutPrefix(strings.TrimSpace(line), "0::"); found {
			events, _ := os.ReadFile("/sys/fs/cgroup" + path + "/memory.events")
			return countOOM(string(events))
		}
	}
	return 0
}

func countOOM(events string) int {
	for line := range strings.Lines(events) {
		if count, found := strings.CutPrefix(line, "oom_kill "); found {
			n, _ := strconv.Atoi(strings.TrimSpace(count))
			return n
		}
	}
	return 0
}
