package rocm

import (
	"errors"
	"io/fs"
	"math"
	"strings"
	"testing"
)

func TestMemoryMin(t *testing.T) {
	for text, want := range map[string]uint64{"0\n": 0, "42949672960\n": 40 << 30, "max\n": math.MaxUint64} {
		root := t.TempDir()
		write(t, root, "sys/fs/cgroup/tier.slice/memory.min", text)
		if got, err := MemoryMin(root, "/tier.slice"); err != nil || got != want {
			t.Errorf("%q is %d, %v", text, got, err)
		}
	}
	root := t.TempDir()
	if _, err := MemoryMin(root, "/tier.slice"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a controller: %v", err)
	}
	write(t, root, "sys/fs/cgroup/tier.slice/memory.min", "much\n")
	if _, err := MemoryMin(root, "/tier.slice"); err == nil || !strings.Contains(err.Error(), "tier.slice/memory.min: ") {
		t.Errorf("malformed: %v", err)
	}
}
