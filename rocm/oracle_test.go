package rocm

import (
	"context"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/shirou/gopsutil/v3/common"
	"github.com/shirou/gopsutil/v3/cpu"
	"github.com/shirou/gopsutil/v3/mem"

	"github.com/tierd/tierd/rocm/rocmtest"
)

// The tests compare with gopsutil; the program does not use it. It takes what is missing for 0 and what is malformed for missing, has no
// time limit, asks sysinfo(2) and runs lsb_release whatever its root is, and could not be recorded. And package rocm goes
// into the guard, which has to stay small.

// under has gopsutil read below a root.
func under(root string) context.Context {
	return context.WithValue(context.Background(), common.EnvKey, common.EnvMap{
		common.HostProcEnvKey: filepath.Join(root, "proc"), common.HostSysEnvKey: filepath.Join(root, "sys"), common.HostEtcEnvKey: filepath.Join(root, "etc"),
	})
}

// TestAnotherReaderSaysTheSame compares with gopsutil what both know, on every tree.
func TestAnotherReaderSaysTheSame(t *testing.T) {
	for _, tree := range rocmtest.Trees {
		t.Run(tree, func(t *testing.T) {
			root := rocmtest.Unpack(t, tree)
			s := host(root).Snapshot(context.Background())
			m, err := mem.VirtualMemoryWithContext(under(root))
			if err != nil {
				t.Fatal(err)
			}
			same(t, "MemTotal", s.Memory.MemTotal, &m.Total)
			same(t, "MemAvailable", s.Memory.MemAvailable, &m.Available)
			same(t, "MemFree", s.Memory.MemFree, &m.Free)
			same(t, "SwapTotal", s.Memory.SwapTotal, &m.SwapTotal)
			same(t, "SwapFree", s.Memory.SwapFree, &m.SwapFree)
			if len(s.Swaps) != 1 || s.Swaps[0].Size != m.SwapTotal {
				t.Errorf("swaps are %+v", s.Swaps)
			}
		})
	}
}

// TestAnotherReaderCountsTheSameCPUs is of this machine.
func TestAnotherReaderCountsTheSameCPUs(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("other architectures name no cores in cpuinfo")
	}
	p := host("/").Snapshot(context.Background()).Platform
	cores, err := cpu.CountsWithContext(under("/"), false)
	if err != nil {
		t.Fatal(err)
	}
	threads, err := cpu.CountsWithContext(under("/"), true)
	if err != nil {
		t.Fatal(err)
	}
	info, err := cpu.InfoWithContext(under("/"))
	if err != nil || len(info) == 0 {
		t.Fatal(info, err)
	}
	if p.Cores != cores || p.Threads != threads || p.CPU != info[0].ModelName {
		t.Errorf("got %+v; gopsutil counts %d cores, %d threads of %s", p, cores, threads, info[0].ModelName)
	}
}
