//go:build vmtest

package vmtest

import (
	"context"
	"strings"
	"testing"
	"time"
)

// vmPorts are the ports of the tiers in testdata/vm-tiers.toml.
var vmPorts = []struct {
	tier string
	port int
}{{"orch", 8001}, {"coder", 8002}, {"reviewer", 8011}, {"utility", 8012}}

// charge is the memory that testdata/vm-tiers.toml gives each tier.
const charge = 336 << 20

// TestVMServes shows the package at work where memory is accounted for: four real engines, each within a limit that the
// kernel holds it to.
func TestVMServes(t *testing.T) {
	v, ctx := startVM(t, 2<<30)
	if out := inVM(t, v, ctx, "cat /sys/fs/cgroup/cgroup.controllers"); !strings.Contains(out, "memory") {
		t.Fatalf("the VM has no memory controller: %s", out)
	}
	installInVM(t, v, ctx, vmTiers(t))
	begin := time.Now()
	t.Log(inVM(t, v, ctx, "tierctl up && tierctl status"))
	bench("vm-tier-load", milliseconds(time.Since(begin))/float64(len(vmPorts)), "ms", 20_000)
	for _, p := range vmPorts {
		text, err := v.Chat(ctx, p.port, p.tier, "Say hello.", 8)
		if err != nil {
			t.Fatal(err)
		}
		common, err := v.Chat(ctx, 8000, p.tier, "Name a colour.", 8)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %q, and by its name on the common port %q", p.tier, text, common)
		unit := "tier-" + p.tier + ".service"
		limit := numberInVM(t, v, ctx, "systemctl show -P MemoryMax "+unit)
		if limit < charge || limit > charge*5/4 {
			t.Errorf("%s: MemoryMax is %d, not the charge of %d and a little", unit, limit, charge)
		}
		if current := numberInVM(t, v, ctx, "systemctl show -P MemoryCurrent "+unit); current < 250<<20 || current > limit {
			t.Errorf("%s: MemoryCurrent is %d, which the engine cannot do with, or may not take", unit, current)
		}
		if n := numberInVM(t, v, ctx, "cat /sys/fs/cgroup/$(systemctl show -P ControlGroup "+unit+")/memory.max"); n != limit {
			t.Errorf("%s: the kernel's limit is %d, not %d", unit, n, limit)
		}
	}
	streamInVM(t, v, ctx)
	t.Log(inVM(t, v, ctx, "grep -E '^(MemTotal|MemAvailable)' /proc/meminfo; cat /proc/pressure/memory; grep oom_kill /proc/vmstat"))
	if out := inVM(t, v, ctx, "systemctl --failed --no-legend"); out != "" {
		t.Errorf("units have failed: %s", out)
	}
	begin = time.Now()
	if err := v.PowerOff(ctx); err != nil {
		t.Error(err)
	}
	bench("vm-poweroff", milliseconds(time.Since(begin)), "ms", 15_000)
}

// streamInVM measures how fast one engine answers, through the gateway and the VM's line.
func streamInVM(t *testing.T, v *VM, ctx context.Context) {
	t.Helper()
	const tokens = 64
	var first time.Time
	_, err := v.Stream(ctx, 8001, "orch", "Tell a long story about a lighthouse.", tokens, func() { first = time.Now() })
	if err != nil {
		t.Fatal(err)
	}
	bench("vm-token", milliseconds(time.Since(first))/(tokens-1), "ms", 100)
	begin := time.Now()
	const completions = 20
	for range completions {
		if _, err := v.Chat(ctx, 8001, "orch", "Say hello.", 8); err != nil {
			t.Fatal(err)
		}
	}
	bench("vm-completion", milliseconds(time.Since(begin))/completions, "ms", 1000)
}

// TestVMTierThatBreaksItsLimitDiesAlone gives one tier far less memory than its context takes. The kernel kills its engine
// and nobody else's, and the unit says why and is not tried again with the same numbers.
func TestVMTierThatBreaksItsLimitDiesAlone(t *testing.T) {
	v, ctx := startVM(t, vmMemory)
	head, tail, _ := strings.Cut(vmTiers(t), "[tier.reviewer.variant.main]")
	installInVM(t, v, ctx, head+"[tier.reviewer.variant.main]"+strings.Replace(tail, "336MiB", "128MiB", 1))
	inVM(t, v, ctx, "tierctl start orch")
	pid := inVM(t, v, ctx, "systemctl show -P MainPID tier-orch.service")

	r, err := v.Run(ctx, "tierctl start reviewer")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("tierctl ends with status %d:\n%s", r.Exit, r.Stderr)
	if r.Exit == 0 {
		t.Error("a tier is up whose limit is smaller than its KV cache")
	}
	shown := inVM(t, v, ctx, "systemctl show -p ActiveState,Result,ExecMainStatus,NRestarts,StatusText tier-reviewer.service")
	t.Log(shown)
	for _, want := range []string{"ActiveState=failed", "ExecMainStatus=71", "NRestarts=0"} {
		if !strings.Contains("\n"+shown+"\n", "\n"+want+"\n") {
			t.Errorf("tier-reviewer.service does not show %s", want)
		}
	}
	if kills := numberInVM(t, v, ctx, "awk '/^oom_kill / { print $2 }' /proc/vmstat"); kills == 0 {
		t.Error("the kernel has killed nothing, so the limit was not what ended the engine")
	}
	innocent(t, v, ctx, pid)
	// A restart would come after two seconds.
	pauseInVM(t, ctx, 5*time.Second)
	if n := inVM(t, v, ctx, "systemctl show -P NRestarts tier-reviewer.service"); n != "0" {
		t.Errorf("the tier was restarted %s times", n)
	}
	innocent(t, v, ctx, pid)
}

// innocent checks that orch lives on with the same process and was not touched by the OOM killer.
func innocent(t *testing.T, v *VM, ctx context.Context, pid string) {
	t.Helper()
	if now := inVM(t, v, ctx, "systemctl show -P MainPID tier-orch.service"); now != pid {
		t.Errorf("orch's process was %s and is %s", pid, now)
	}
	events := inVM(t, v, ctx, "cat /sys/fs/cgroup/$(systemctl show -P ControlGroup tier-orch.service)/memory.events")
	if !strings.Contains(events, "oom_kill 0\n") {
		t.Errorf("the kernel has killed in orch's unit: %s", events)
	}
	if _, err := v.Chat(ctx, 8001, "orch", "Say hello.", 8); err != nil {
		t.Error(err)
	}
}

func pauseInVM(t *testing.T, ctx context.Context, d time.Duration) {
	t.Helper()
	if err := pause(ctx, d); err != nil {
		t.Fatal(err)
	}
}
