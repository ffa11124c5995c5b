package rocm

import (
	"bytes"
	"context"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tierd/tierd/rocm/rocmtest"
)

// free are the files whose text is taken as it is, so that none is malformed.
var free = []string{"comm", "cgroup", "cmdline", "osrelease", "name", "runtime_status", "cgroup.controllers", "mem_info_vram_vendor"}

// spare are files that say what others say too, or nothing of use.
var spare = []string{drmClass + "/renderD128/device/uevent", topology + "/0/properties"}

// TestAMalformedFileIsNamedAndNothingElseIsLost spoils each file that a Snapshot reads, one at a time.
func TestAMalformedFileIsNamedAndNothingElseIsLost(t *testing.T) {
	root := rocmtest.Unpack(t, "gtt120")
	write(t, root, "proc/uptime", "1.0 1.0\n")
	write(t, root, "proc/pressure/io", memoryPressure)
	write(t, root, "proc/pressure/cpu", memoryPressure)
	write(t, root, drmClass+"/card1/device/gpu_metrics", string(metricsFile(t)))
	file, _ := record(t, root)
	files := contents(t, file)
	want := host(root).Snapshot(context.Background())
	spoiled := 0
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if slices.Contains(free, filepath.Base(name)) || name == manifestName || strings.HasPrefix(name, "sys/module/") && !strings.HasSuffix(name, "/ttm/parameters/pages_limit") {
			continue
		}
		if strings.Contains(name, "/fdinfo/") && !bytes.Contains(files[name], []byte("drm-driver")) {
			continue // not a client's, and so it is after the change
		}
		nonsense := "nonsense \xff\n"
		if strings.Contains(name, "/fdinfo/") {
			nonsense = "drm-driver:\tamdgpu\n"
		} else if filepath.Base(name) == "meminfo" {
			nonsense = "MemTotal: nonsense\n"
		}
		write(t, root, name, nonsense)
		got := host(root).Snapshot(context.Background())
		write(t, root, name, string(files[name]))
		spoiled++
		if len(got.Problems) != 1 || got.Problems[0].File != "/"+name {
			t.Errorf("%s: problems %v", name, got.Problems)
		}
		if !slices.Contains(spare, name) && slices.Equal(fields(got), fields(want)) {
			t.Errorf("%s: nothing is missing", name)
		}
		for i, part := range []string{"proc/meminfo", "proc/swaps", "proc/pressure/", "sys/module/", "proc/uptime"} {
			if !strings.HasPrefix(name, part) && fields(got)[i] != fields(want)[i] {
				t.Errorf("%s: %s has changed to %s", name, part, fields(got)[i])
			}
		}
	}
	if spoiled < 30 {
		t.Errorf("only %d files were read", spoiled)
	}
}

// fields are the parts of a Snapshot as text.
func fields(s Snapshot) []string {
	return []string{show(&s.Memory), show(&s.Swaps), show(&s.Pressure), show(&s.Kernel), show(&s.Platform), show(&s.GPUs), show(&s.Clients), show(&s.ClientsComplete)}
}
