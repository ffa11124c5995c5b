package doctor

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/rocm"
	"github.com/tierd/tierd/units"
)

func TestGuard(t *testing.T) {
	armed := &api.GuardState{Armed: true, Soft: uint64(8 * gib), Hard: uint64(4 * gib)}
	dry := *armed
	dry.DryRun = true
	for _, c := range []struct {
		rule     string
		guard    *api.Guard
		config   string
		severity Severity // "": nothing is said
		what     string
		fix      string
	}{
		{"tierd does not answer: nobody knows", nil, "", "", "", ""},
		{"it is armed", &api.Guard{Enabled: true, Connected: true, State: armed}, "", OK, "armed: an idle tier gives way below 8GiB of available memory, busy ones below 4GiB", ""},
		{"it does not run", &api.Guard{Enabled: true}, "", Warning, "not connected to tierd", "sudo systemctl enable --now tier-guard"},
		{"it does not answer", &api.Guard{Enabled: true, Connected: true}, "", Warning, "does not answer", "sudo systemctl restart tier-guard"},
		{"its self-test failed", &api.Guard{Enabled: true, Connected: true, State: &api.GuardState{Why: "it cannot kill"}}, "", Warning, "not armed: it cannot kill", "restart tier-guard"},
		{"it is tried out", &api.Guard{Enabled: true, Connected: true, State: &dry}, "", Note, "only tells", "remove dry_run"},
		{"nobody wants one", &api.Guard{}, "", Note, "is off", "enabled = true"},
		{"tiers.toml turns it off, and tierd does not answer", nil, "[guard]\nenabled = false\n", Note, "is off", "enabled = true"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			f := well(t)
			f.Plan, f.Faults = planned(t, stack+c.config, units.Host{})
			f.Guard = c.guard
			found := Check(f)
			wellFormed(t, found)
			got := byID(found, "guard")
			if c.severity == "" {
				if got != nil {
					t.Errorf("got %s", got.text())
				}
				return
			}
			if got == nil || got.Severity != c.severity || !strings.Contains(got.What, c.what) || !strings.Contains(got.Fix, c.fix) {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// meminfo is a file with what earlyoom's percentages are of.
func meminfo(available, anon units.Bytes) string {
	return fmt.Sprintf("MemTotal: 130988112 kB\nMemAvailable:   %d kB\nAnonPages:  %d kB\n", available/units.KiB, anon/units.KiB)
}

func TestWhoActsFirst(t *testing.T) {
	const spares = "--avoid '^(tier-shim|vllm|VLLM::EngineCor|llama-server)$'"
	idle, loaded := meminfo(110*gib, 10*gib), meminfo(20*gib, 10*gib)
	for _, c := range []struct {
		rule    string
		args    string // of earlyoom
		meminfo string
		swap    bool
		config  string
		says    string // in What or Why
		fix     string
		fine    bool
	}{
		{"an idle host: its line is a tenth of nearly everything", "", idle, false, "", "earlyoom would act first, at 12GiB, and take utility, while tier-guard waits for its soft line of 8GiB", "-m 3", false},
		{"with models on the GPU it is late", "", loaded, false, "", "tier-guard acts first, below 8GiB, and earlyoom at 3GiB, which is less the more the GPU holds", "--avoid", false},
		{"free swap keeps it from acting", "", idle, true, "", "tier-guard acts first, below 8GiB: earlyoom waits for the swap to be used up as well", "", false},
		{"unless it is told not to mind", "-s 100", idle, true, "", "earlyoom would act first, at 12GiB", "-s 100 --avoid", false},
		{"a lower line", "-m 5,2 " + spares, idle, false, "", "is told to spare tiers; tier-guard acts first, below 8GiB, and earlyoom at 6GiB", "", true},
		{"written in one word", "-m5 " + spares, idle, false, "", "earlyoom at 6GiB", "", true},
		{"a line in KiB counts where it is lower", "-m 50 -M 4093378,100 " + spares, idle, false, "", "earlyoom at 3.75GiB", "", true},
		{"tiers are spared, and an idle one would do", spares, idle, false, "", "earlyoom would act first, at 12GiB, and take a program of the desktop", spares + " -m 3", false},
		{"a soft line above it", spares, idle, false, "[guard]\nsoft = \"16GiB\"\nhard = \"5GiB\"\n[host]\nkeep_free = \"16GiB\"\n", "tier-guard acts first, below 16GiB", "", true},
		{"without a guard there is nothing to compare", spares, idle, false, "[guard]\nenabled = false\n", "is told to spare tiers", "", true},
		{"a kernel that does not tell", spares, "MemTotal: 5 kB\n", false, "", "is told to spare tiers", "", true},
	} {
		t.Run(c.rule, func(t *testing.T) {
			f := well(t)
			f.Plan, f.Faults = planned(t, stack+c.config, units.Host{})
			if !c.swap {
				f.Snapshot.Swaps = nil
			}
			f.files(t, map[string]string{"proc/900/stat": earlyoomRuns, "proc/meminfo": c.meminfo, "etc/default/earlyoom": `EARLYOOM_ARGS="` + c.args + `"`})
			got := byID(Check(f), "earlyoom")
			if got == nil || (got.Severity == OK) != c.fine || !strings.Contains(got.What+" "+got.Why, c.says) || !strings.Contains(got.Fix, c.fix) {
				t.Fatalf("got %+v", got)
			}
			if c.config == "[guard]\nenabled = false\n" && strings.Contains(got.text(), "tier-guard") {
				t.Errorf("it tells of a guard that is off: %s", got.text())
			}
		})
	}
}

// TestTheAdviceOnWhoActsFirstHelps follows the advice, and looks again.
func TestTheAdviceOnWhoActsFirstHelps(t *testing.T) {
	for _, args := range []string{"", "-m 20,10 -r 60", "-m15", "-M 20000000,100 -s 100"} {
		f := well(t)
		f.Snapshot.Swaps = nil
		files := map[string]string{"proc/900/stat": earlyoomRuns, "proc/meminfo": meminfo(110*gib, 10*gib), "etc/default/earlyoom": `EARLYOOM_ARGS="` + args + `"` + "\n"}
		f.files(t, files)
		_, line, _ := strings.Cut(byID(Check(f), "earlyoom").Fix, ": ")
		line, _, _ = strings.Cut(line, ", then:")
		files["etc/default/earlyoom"] = line + "\n"
		f.files(t, files)
		if got := byID(Check(f), "earlyoom"); got == nil || got.Severity != OK || !strings.Contains(got.What, "tier-guard acts first") {
			t.Errorf("%s: after %s: %+v", args, line, got)
		}
	}
}

func TestNohangBesideTheGuard(t *testing.T) {
	for _, c := range []struct{ rule, conf, says string }{
		{"as it comes", "", "tier-guard acts first, below 8GiB"},
		{"with a line of its own", "soft_threshold_min_mem = 10 %\n", "it would act first, at 12.49GiB, while tier-guard waits for its soft line of 8GiB"},
		{"with one in megabytes, which is not read", "soft_threshold_min_mem = 5000 M\n", "tier-guard acts first"},
	} {
		f := well(t)
		f.Snapshot.Swaps = nil
		f.files(t, map[string]string{"proc/7/stat": "7 (nohang) S 1", "etc/nohang/nohang.conf": c.conf})
		if got := byID(Check(f), "nohang"); got == nil || !strings.Contains(got.Why, c.says) {
			t.Errorf("%s: %+v", c.rule, got)
		}
	}
}

func TestOomdIsToldOfTiers(t *testing.T) {
	for config, says := range map[string]string{
		stack: "tiers carry ManagedOOMPreference=avoid",
		strings.Replace(stack, "start = \"boot\"", "start = \"boot\"\npinned = true", 1): "tiers carry ManagedOOMPreference=avoid, pinned ones omit",
	} {
		f := well(t)
		f.Plan, f.Faults = planned(t, config, units.Host{})
		f.files(t, map[string]string{"proc/8/stat": "8 (systemd-oomd) S 1"})
		if got := byID(Check(f), "oomd"); got == nil || got.Severity != OK || !strings.HasSuffix(got.What, says) {
			t.Errorf("want %s: %+v", says, got)
		}
	}
}

// TestWhatIsMissingIsSaidForTheGuardToo: swap, PSI and the memory controller mean something to it, where it is wanted.
func TestWhatIsMissingIsSaidForTheGuardToo(t *testing.T) {
	for _, c := range []struct {
		id     string
		change func(*Facts)
		says   string
	}{
		{"swap-none", func(f *Facts) { f.Snapshot.Swaps = nil }, "all the same"},
		{"swap-zram", func(f *Facts) {
			f.Snapshot.Swaps = []rocm.Swap{{Name: "/dev/zram0", Kind: rocm.SwapZram, Size: uint64(8 * gib)}}
		}, "idle tiers give way although it is free"},
		{"swap-large", func(f *Facts) { f.Snapshot.Swaps[0].Size = uint64(64 * gib) }, "spares busy tiers"},
		{"psi", func(f *Facts) { f.Snapshot.Pressure.Memory = nil }, "not woken early"},
		{"cgroup-memory", func(f *Facts) { f.Snapshot.Kernel.Controllers = []string{"cpu"} }, "finds no tier that leaks"},
	} {
		for _, enabled := range []bool{true, false} {
			f := well(t)
			c.change(&f)
			f.Plan.Config.Guard.Enabled = enabled
			got := byID(Check(f), c.id)
			if got == nil || strings.Contains(got.Why, c.says) != enabled || strings.Contains(got.Why, "tier-guard") != enabled {
				t.Errorf("%s, guard wanted: %v: %+v", c.id, enabled, got)
			}
		}
	}
}
