package rocm

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// MemoryMin is how many bytes of a cgroup, a path below sys/fs/cgroup, are kept from reclaim for others; math.MaxUint64 is
// all of them. The error is fs.ErrNotExist when there is no such cgroup or no memory controller.
func MemoryMin(root, cgroup string) (uint64, error) {
	path := filepath.Join(root, "sys/fs/cgroup", cgroup, "memory.min")
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	if strings.TrimSpace(string(data)) == "max" {
		return math.MaxUint64, nil
	}
	n, err := parseNumber(string(data), 63)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return n, nil
}
