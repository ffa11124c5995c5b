package main

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// host writes a tree of the kernel's files.
func host(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// unitFiles are a cgroup's files as a VM showed them for a tier with one engine.
func unitFiles(files map[string]string, dir, limit, current, pids string) {
	dir = tierCgroups + "/" + dir + "/"
	files[dir+"memory.max"] = limit
	files[dir+"memory.current"] = current
	files[dir+"memory.stat"] = "anon 312713216\nfile 53723136\nkernel 2306048\nshmem 4096\n"
	files[dir+"memory.events"] = "low 0\nhigh 0\nmax 360\noom 1\noom_kill 1\noom_group_kill 0\n"
	files[dir+"cgroup.procs"] = pids
}

func TestASampleHasWhatTheKernelSays(t *testing.T) {
	files := map[string]string{
		"proc/meminfo":  "MemTotal:        1148652 kB\nMemAvailable:     460056 kB\nCmaFree:          1024 kB\nHugePages_Total:       0\n",
		"proc/vmstat":   "nr_free_pages 1\noom_kill 3\n",
		"proc/241/comm": "tier-shim\n",
		"proc/250/comm": "llama-server\n",
		"proc/300/comm": "llama-server\n",
	}
	unitFiles(files, "tier-cpu.slice/tier-orch.service", "369098752\n", "368754688\n", "241\n250\n")
	unitFiles(files, "tier-gpu.slice/tier-coder-vulkan.service", "max\n", "4096\n", "241\n300\n999\n") // 999 has ended
	files[tierCgroups+"/tier-cpu.slice/tier-gone.service/cgroup.procs"] = ""                           // removed while it is read
	s := &sampler{root: host(t, files), tiers: map[string]int64{"orch": 300 << 20, "coder": 200 << 20}, engine: "llama-server",
		state: func(unit string) string { return "state of " + unit }}
	got, err := s.read()
	if err != nil {
		t.Fatal(err)
	}
	want := sample{
		Available: (460056 - 1024) << 10,
		OOMKills:  3,
		Units: []unitSample{
			{"tier-orch.service", "orch", "state of tier-orch.service", 300 << 20, 369098752, 368754688, 312713216 + 4096, 1, 1},
			{"tier-coder-vulkan.service", "coder", "state of tier-coder-vulkan.service", 200 << 20, 0, 4096, 312713216 + 4096, 1, 1},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestAKernelWithoutCMAHasNothingToTakeOff(t *testing.T) {
	s := &sampler{root: host(t, map[string]string{"proc/meminfo": "MemAvailable: 100 kB\n", "proc/vmstat": "oom_kill 0\n"})}
	got, err := s.read()
	if err != nil || got.Available != 100<<10 || got.Units != nil {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestMalformedFilesAreNamed(t *testing.T) {
	good := func() map[string]string {
		files := map[string]string{"proc/meminfo": "MemAvailable: 100 kB\n", "proc/vmstat": "oom_kill 0\n"}
		unitFiles(files, "tier-cpu.slice/tier-orch.service", "max\n", "1\n", "")
		return files
	}
	const unit = tierCgroups + "/tier-cpu.slice/tier-orch.service/"
	for file, c := range map[string]struct{ text, want string }{
		"proc/meminfo":          {"MemAvailable: lots\n", "proc/meminfo"},
		"proc/vmstat":           {"oom_kill\n", "proc/vmstat"},
		unit + "memory.current": {"1 2\n", "memory.current"},
		unit + "memory.max":     {"maximum\n", "memory.max"},
		unit + "memory.stat":    {"anon -\n", "memory.stat"},
		unit + "memory.events":  {"oom\n", "memory.events"},
	} {
		files := good()
		files[file] = c.text
		s := &sampler{root: host(t, files), state: func(string) string { return "" }}
		if _, err := s.read(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v", file, err)
		}
	}
	files := good()
	files["proc/meminfo"] = "MemFree: 1 kB\n"
	s := &sampler{root: host(t, files)}
	if _, err := s.read(); err == nil || !strings.Contains(err.Error(), "MemAvailable") {
		t.Errorf("without MemAvailable: %v", err)
	}
}

func TestAUnitBelongsToTheLongestTierThatFits(t *testing.T) {
	tiers := map[string]int64{"orch": 1, "orch-small": 1, "coder": 1}
	for unit, want := range map[string]string{
		"tier-orch.service":             "orch",
		"tier-orch-llama.service":       "orch",
		"tier-orch-small.service":       "orch-small",
		"tier-orch-small-cloud.service": "orch-small",
		"tier-orchestra.service":        "orchestra",
		"tier-other.service":            "other",
	} {
		if got := tierOf(unit, tiers); got != want {
			t.Errorf("%s belongs to %s, not %s", unit, got, want)
		}
	}
}

func TestChargesAreTiersWithBytes(t *testing.T) {
	got, err := parseCharges("orch=352321536,coder=1")
	if want := map[string]int64{"orch": 352321536, "coder": 1}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "orch", "orch=", "=1", "orch=0", "orch=-1", "orch=1MiB", "orch=1,"} {
		if got, err := parseCharges(bad); err == nil {
			t.Errorf("%q gives %v", bad, got)
		}
	}
}

func FuzzScanFields(f *testing.F) {
	f.Add([]byte("MemTotal:        1148652 kB\nHugePages_Total:       0\n"))
	f.Add([]byte("anon 312713216\nfile 53723136\n"))
	f.Add([]byte("oom\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		fields, err := scanFields(raw)
		if err != nil {
			return
		}
		for name, n := range fields {
			if again, err := scanFields(fmt.Appendf(nil, "%s %d", name, n)); err != nil || again[name] != n {
				t.Errorf("%q %d reads back as %v, %v", name, n, again, err)
			}
		}
	})
}
