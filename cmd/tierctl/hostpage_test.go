package main

import (
	"strings"
	"testing"

	"github.com/tierd/tierd/rocm"
)

func bytesOf(n uint64) *uint64 { return &n }

func TestWhatThePageSaysOfAHost(t *testing.T) {
	yes := true
	busy, temperature := 5, 41000
	for _, c := range []struct {
		rule string
		got  string
		want string
	}{
		{"CPUs are counted", cpuText(rocm.Platform{CPU: "AMD RYZEN AI MAX+ 395", Cores: 16, Threads: 32}), "AMD RYZEN AI MAX+ 395, 16 cores, 32 threads"},
		{"memory that is not known", ramText(rocm.Memory{}), "not known"},
		{"memory for movable pages is no free memory", ramText(rocm.Memory{MemTotal: bytesOf(16 << 30), MemAvailable: bytesOf(8 << 30), CmaFree: bytesOf(1 << 30)}),
			"16GiB, 7GiB free besides 1GiB that only movable pages may use"},
		{"no swap", swapText(rocm.Snapshot{}), "none"},
		{"several", swapText(rocm.Snapshot{Swaps: []rocm.Swap{{Name: "/dev/zram0", Kind: rocm.SwapZram, Size: 1 << 30}, {Name: "/dev/sda2", Kind: rocm.SwapPartition, Size: 2 << 30, Used: 1 << 20, Rotational: &yes}}}),
			"/dev/zram0 (zram), 0 of 1GiB used; /dev/sda2 (partition on a rotating disk), 1MiB of 2GiB used"},
		{"no pressure", pressureText(rocm.Pressure{}), "the kernel does not tell (psi=1 on the boot line makes it)"},
		{"no cgroups", controllersText(rocm.Kernel{}), "not known"},
		{"a pool that is not known", poolText(rocm.GPU{}), "not known"},
		{"a carve-out", poolText(rocm.GPU{APU: true, Pool: rocm.PoolVRAM, PoolSize: bytesOf(96 << 30)}), "VRAM, 96GiB: more was carved out for the GPU than it may map of the rest"},
		{"no KFD", kfdText(nil), "none: ROCm cannot use it"},
		{"a card that sleeps is not woken", nowText(rocm.GPU{Suspended: true}), "powered down"},
		{"what a card measures", nowText(rocm.GPU{Sensors: rocm.Sensors{Busy: &busy, Temperature: &temperature, Power: bytesOf(9_600_000), Clock: bytesOf(600_000_000)},
			Metrics: &rocm.Metrics{DRAMReads: bytesOf(1200), DRAMWrites: bytesOf(300)}}), "busy 5 %, 41 °C, 10 W, 600 MHz, memory 1200 MB/s read, 300 MB/s written"},
		{"a tier", tierOfClient(rocm.Client{Cgroup: "/tier.slice/tier-gpu.slice/tier-coder.service", Unit: "tier-coder.service"}), "coder"},
		{"no tier", tierOfClient(rocm.Client{Cgroup: "/system.slice/tier-coder.service", Unit: "tier-coder.service"}), "-"},
		{"a user's unit", unitOfClient(rocm.Client{Unit: "user@1000.service", UserUnit: "app.scope"}), "app.scope"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %q, want %q", c.rule, c.got, c.want)
		}
	}
}

func TestThePageEndsWithWhatCouldNotBeRead(t *testing.T) {
	var out strings.Builder
	a := newApp()
	a.stdout = &out
	a.printHost(rocm.Snapshot{Problems: []rocm.Problem{{File: "/proc/swaps", Err: rocm.ErrHung}}})
	for _, want := range []string{"No GPU.\n", "No process is seen to hold GPU memory.\n", "\nWhat could not be read:\n  /proc/swaps: the read hangs\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}
