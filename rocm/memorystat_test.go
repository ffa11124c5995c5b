package rocm

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const memoryStat = `anon 4096000
file 98304000
kernel 512000
kernel_stack 65536
shmem 1000
slab_reclaimable 12000
slab_unreclaimable 300000
`

func TestWhatACgroupHoldsIsWhatItsEndGivesBack(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "sys/fs/cgroup/tier.slice/tier-cpu.slice/tier-coder.service")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := MemoryStat(root, "/tier.slice/tier-cpu.slice/tier-coder.service"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a memory controller: %v", err)
	}
	path := filepath.Join(dir, "memory.stat")
	if err := os.WriteFile(path, []byte(memoryStat), 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := MemoryStat(root, "/tier.slice/tier-cpu.slice/tier-coder.service")
	if err != nil || *m.File != 98304000 || *m.Held() != 4096000+1000+512000-12000 {
		t.Errorf("got %+v, %v", m, err)
	}
	if err := os.WriteFile(path, []byte("anon much\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := MemoryStat(root, "/tier.slice/tier-cpu.slice/tier-coder.service"); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a malformed file: %v", err)
	}
}

func TestAnOldKernelSaysLessOfACgroup(t *testing.T) {
	m, err := parseMemoryStat(strings.NewReader("anon 5\n"))
	if err != nil || *m.Held() != 5 || m.Kernel != nil {
		t.Errorf("got %+v, %v", m, err)
	}
	if m, err = parseMemoryStat(strings.NewReader("file 5\n")); err != nil || m.Held() != nil {
		t.Errorf("got %+v, %v", m, err)
	}
}

func FuzzMemoryStat(f *testing.F) {
	f.Add(memoryStat)
	f.Add("anon\nanon 1 2\n")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := parseMemoryStat(strings.NewReader(text))
		if err == nil && m.Anon == nil && m.Held() != nil {
			t.Errorf("%q: held %d from nothing", text, *m.Held())
		}
	})
}
