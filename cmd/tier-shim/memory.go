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
