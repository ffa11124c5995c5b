package agent

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tierd/tierd/units"
)

// systemdVersion is all of a manager that reading the host needs.
type systemdVersion string

func (v systemdVersion) Version() string { return string(v) }

func TestHostIsReadUnderItsRoot(t *testing.T) {
	root := testRoot(t)
	if err := os.Mkdir(filepath.Join(root, "proc"), 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(root, "proc/meminfo"), "MemTotal:       131072000 kB\nMemAvailable:   100000000 kB\n")
	h, err := HostReader(root, systemdVersion("257.9-1~deb13u1"), NewKernel(root))(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if h.SystemdVersion != 257 || uint64(h.MemTotal) != 131072000*1024 || h.CPUs < 1 || !h.Groups["tierd"] || h.Groups["wheel"] || h.FS == nil {
		t.Errorf("got %+v", h)
	}
	m, err := NewKernel(root).Memory()
	if err != nil || m.MemAvailable == nil || *m.MemAvailable != 100000000*1024 {
		t.Errorf("memory: %+v, %v", m, err)
	}
}

func TestHostNamesWhatItCannotRead(t *testing.T) {
	root := t.TempDir()
	read := HostReader(root, systemdVersion(""), NewKernel(root))
	if _, err := read(context.Background()); err == nil || !strings.Contains(err.Error(), "proc/meminfo") {
		t.Errorf("without meminfo: %v", err)
	}
	if err := os.Mkdir(filepath.Join(root, "proc"), 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(root, "proc/meminfo"), "MemTotal: 1 kB\n")
	if _, err := read(context.Background()); err == nil || !strings.Contains(err.Error(), "etc/group") {
		t.Errorf("without group: %v", err)
	}
}

func TestMajorVersion(t *testing.T) {
	for text, want := range map[string]int{
		"262": 262, "257.9-1~deb13u1": 257, "255-rc1": 255, "": 0, "unknown": 0, "v257": 0, "99999999999999999999": 0,
	} {
		if got := majorVersion(text); got != want {
			t.Errorf("%q: got %d, want %d", text, got, want)
		}
	}
}

func TestTheKernelIsReadUnderItsRoot(t *testing.T) {
	root := t.TempDir()
	cgroup := filepath.Join(root, "sys/fs/cgroup/tier.slice/tier-cpu.slice/tier-coder.service")
	if err := os.MkdirAll(cgroup, 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(cgroup, "memory.stat"), "anon 4096\n")
	writeFile(t, filepath.Join(cgroup, "memory.min"), "8192\n")
	k := NewKernel(root)
	if m, err := k.Cgroup(units.ControlGroup("tier-coder.service", false)); err != nil || *m.Held() != 4096 {
		t.Errorf("a tier on the CPU: %+v, %v", m, err)
	}
	if _, err := k.Cgroup(units.ControlGroup("tier-coder.service", true)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("on the GPU: %v", err)
	}
	if n, err := k.MemoryMin(units.ControlGroup("tier-coder.service", false)); err != nil || n != 8192 {
		t.Errorf("its protection: %s, %v", n, err)
	}
	if s := k.Snapshot(context.Background()); s.Memory.MemTotal != nil || len(s.GPUs) != 0 {
		t.Errorf("a snapshot of nothing: %+v", s)
	}
}
