package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// cgroup2 mounts a unified hierarchy below a fake root.
func cgroup2(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	dir := filepath.Join(root, cgroups)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("none", dir, "cgroup2", 0, ""); err != nil {
		t.Skipf("needs root and the kernel's leave to mount a cgroup2: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return root
}

// TestProofKillsChildrenOfItsOwn by the kernel's real cgroup.kill.
func TestProofKillsChildrenOfItsOwn(t *testing.T) {
	root := cgroup2(t)
	p := newProof(root)
	for range 2 {
		if err := p.kills(); err != nil {
			t.Fatal(err)
		}
	}
	group, err := p.scratch()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(root, cgroups, group)); err != nil {
		t.Error(err)
	}
}

// TestARealCgroupThatIsGone has nobody in it, and acting on it is no failure.
func TestARealCgroupThatIsGone(t *testing.T) {
	root := cgroup2(t)
	p := newProof(root)
	group, err := p.scratch()
	if err != nil {
		t.Fatal(err)
	}
	w := opened(t, root, group, 0)
	if err := os.Remove(filepath.Join(root, cgroups, group)); err != nil {
		t.Fatal(err)
	}
	a := newActor()
	if s, k := a.stop(w), a.kill(w, 0); s != 0 || k != 0 {
		t.Errorf("stop: %v, kill: %v", s, k)
	}
	h := fakeHot(t, root, 64<<10, w)
	h.round()
	if h.facts.Tiers[0].Up {
		t.Error("somebody is in it")
	}
	if w.same(root, 0) {
		t.Error("it is still the same")
	}
}

func TestAProofThatFailsSaysWhatToDo(t *testing.T) {
	root := t.TempDir()
	fakeHost(t, root, 128<<10, 64<<10)
	p := newProof(root)
	if err := p.kills(); err == nil || !strings.Contains(err.Error(), "unified hierarchy") {
		t.Errorf("without cgroups: %v", err)
	}
	if err := p.host(); err != nil || p.look == 0 {
		t.Errorf("a look takes %s, %v", p.look, err)
	}
	put(t, root, "proc/meminfo", "MemTotal: 1 kB\n")
	if err := p.host(); err == nil || !strings.Contains(err.Error(), "MemAvailable") {
		t.Errorf("without MemAvailable: %v", err)
	}
}
