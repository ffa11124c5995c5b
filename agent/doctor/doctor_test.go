package doctor

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/rocm"
	"github.com/tierd/tierd/units"
)

func TestNothingIsWrongWithAHostThatIsWell(t *testing.T) {
	found := Check(well(t))
	for _, f := range bad(found) {
		t.Error(f.text())
	}
	for _, id := range []string{"gpu", "ttm-pages-limit", "kernel", "iommu", "cgroup-memory", "psi", "gpu-leak", "swap", "config", "tiers", "mode"} {
		if f := byID(found, id); f == nil || f.Severity != OK {
			t.Errorf("%s was not looked at: %+v", id, f)
		}
	}
}

// row is a change of a host that is well, and what the doctor says of it.
type row struct {
	rule     string
	change   func(t *testing.T, f *Facts)
	id       string // "" when nothing is to be wrong
	severity Severity
	what     string
	why      string
	fix      string
}

func check(t *testing.T, rows []row) {
	t.Helper()
	for _, c := range rows {
		t.Run(c.rule, func(t *testing.T) {
			f := well(t)
			c.change(t, &f)
			found := Check(f)
			if c.id == "" {
				for _, f := range bad(found) {
					t.Error(f.text())
				}
				return
			}
			got := byID(found, c.id)
			if got == nil {
				t.Fatalf("nothing is said of it: %+v", found)
			}
			if got.Severity != c.severity || !strings.Contains(got.What, c.what) || !strings.Contains(got.Why, c.why) || !strings.Contains(got.Fix, c.fix) {
				t.Errorf("got %s", got.text())
			}
			wellFormed(t, found)
		})
	}
}

// wellFormed holds every finding to what its type promises.
func wellFormed(t testing.TB, found []Finding) {
	t.Helper()
	if text := ill(found); text != "" {
		t.Error(text)
	}
}

// ill says what is wrong with the form of findings.
func ill(found []Finding) string {
	worst := 0
	for _, f := range found {
		at := slices.Index(severities, f.Severity)
		if at < worst {
			return "comes after something milder: " + f.text()
		}
		worst = at
		if f.ID == "" || f.Source == "" || f.What == "" || f.Severity != OK && f.Why == "" || (f.Severity == Error || f.Severity == Warning) && f.Fix == "" {
			return "something is missing: " + f.text()
		}
		for _, text := range []string{f.What, f.Why, f.Fix} {
			if strings.ContainsAny(text, "\n\r") || strings.HasSuffix(text, ".") || strings.Contains(text, "%!") || strings.Contains(text, "  ") && !strings.Contains(text, "  #") {
				return "not a line as it should be: " + text
			}
		}
	}
	return ""
}

func TestTheGPUsMemory(t *testing.T) {
	check(t, []row{
		{"120 GiB of 124.9 are right", func(t *testing.T, f *Facts) { f.limit(120 * gib) }, "", "", "", "", ""},
		{"110 GiB are less than the machine can have", func(t *testing.T, f *Facts) { f.limit(110 * gib) }, "ttm-pages-limit", Warning,
			"ttm.pages_limit is 28835840 (110GiB); this machine can have 31457280 (120GiB)", `mode "full" needs 106.9GiB there, and 110GiB can be had`, "ttm.pages_limit=31457280"},
		{"106 GiB are too few for the default mode", func(t *testing.T, f *Facts) { f.limit(106 * gib) }, "ttm-pages-limit", Error,
			"this machine can have 31457280", `needs 106.9GiB there, and 106GiB can be had`, "ttm.pages_limit=31457280"},
		{"nearly all of the RAM freezes the host", func(t *testing.T, f *Facts) { f.limit(124 * gib) }, "ttm-pages-limit", Warning,
			"nearly all of the 124.92GiB of RAM", "froze", "31457280"},
		{"the default is half of the RAM", func(t *testing.T, f *Facts) {
			f.limit(67065913344)
			f.boot("")
		}, "ttm-pages-limit-unset", Error, "is not set, so models on the GPU have 62.46GiB, half of the RAM", "", "ttm.pages_limit=31457280"},
		{"gttsize alone only looks larger", func(t *testing.T, f *Facts) {
			f.limit(67065913344)
			f.gpu().GTTTotal = size(128 * gib)
			f.Snapshot.Kernel.Parameters["amdgpu.gttsize"] = "131072"
			f.boot("amdgpu.gttsize=131072")
		}, "gttsize-only", Error, "makes the GPU's memory look like 128GiB, but without ttm.pages_limit ROCm and Vulkan get 62.46GiB of it", "", "ttm.pages_limit=31457280"},
		{"beside the right one it does no harm", func(t *testing.T, f *Facts) {
			f.boot("ttm.pages_limit=31457280 amdgpu.gttsize=122880")
			f.Snapshot.Kernel.Parameters["amdgpu.gttsize"] = "122880"
		}, "amdgpu-gttsize", Note, "amdgpu.gttsize=122880 is set", "deprecated", "remove amdgpu.gttsize=122880"},
		{"without a tier on the GPU a small pool is a note", func(t *testing.T, f *Facts) {
			f.limit(60 * gib)
			f.Plan, f.Faults = planned(t, strings.ReplaceAll(stack, `engine = "vllm"`, `engine = "llama"`), units.Host{})
		}, "ttm-pages-limit", Note, "", "all models on the GPU together cannot take more than 60GiB", ""},
		{"a limit above the RAM is an error whatever the mode", func(t *testing.T, f *Facts) {
			f.Snapshot.Memory.MemTotal = size(31 * gib)
			f.limit(105 * gib)
			f.gpu().VRAMTotal = size(96 * gib)
		}, "ttm-above-ram", Error, "lets the GPU map 105GiB, and this host has 31GiB of RAM beside the 96GiB", "the host freezes", "remove ttm.pages_limit=27525120"},
		{"a mode on the GPU is refused there", func(t *testing.T, f *Facts) {
			f.Snapshot.Memory.MemTotal = size(31 * gib)
			f.limit(105 * gib)
			f.gpu().VRAMTotal = size(96 * gib)
		}, "mode", Error, "nothing may be loaded on the GPU", "", ""},
		{"a carve-out is taken back by Linux where the firmware lets it", func(t *testing.T, f *Facts) {
			f.Snapshot.Memory.MemTotal = size(31 * gib)
			f.limit(15 * gib)
			f.gpu().VRAMTotal, f.gpu().Pool, f.gpu().PoolSize = size(96*gib), rocm.PoolVRAM, size(96*gib)
			f.gpu().CarveOut = &rocm.CarveOut{Options: []rocm.CarveOutOption{{Index: 9, Text: "High (96 GB)", Size: size(96 * gib)}, {Index: 0, Text: "Minimum (512 MB)", Size: size(gib / 2)}}}
		}, "carve-out", Warning, "keeps 96GiB for the GPU alone, and 31GiB are left", "neither pool", "echo 0 | sudo tee /sys/class/drm/card1/device/uma/carveout"},
		{"with room for the mode it is a note", func(t *testing.T, f *Facts) {
			f.Snapshot.Memory.MemTotal = size(31 * gib)
			f.limit(15 * gib)
			f.gpu().VRAMTotal, f.gpu().Pool, f.gpu().PoolSize = size(110*gib), rocm.PoolVRAM, size(110*gib)
		}, "carve-out", Note, "", "", "BIOS"},
		{"a large pool of freed pages", func(t *testing.T, f *Facts) {
			f.Snapshot.Kernel.Parameters["ttm.page_pool_size"] = "31457280"
			f.boot("ttm.pages_limit=31457280 ttm.page_pool_size=31457280")
		}, "ttm-page-pool", Warning, "is 31457280 (120GiB)", "finds no memory", "remove ttm.page_pool_size=31457280"},
		{"its default is nobody's fault", func(t *testing.T, f *Facts) {
			f.Snapshot.Kernel.Parameters["ttm.page_pool_size"] = "31457280"
		}, "", "", "", "", ""},
	})
}

func TestTheRightLimitForAMachine(t *testing.T) {
	for ram, want := range map[units.Bytes]units.Bytes{
		130988112 * units.KiB: 120 * gib, // 128 GB, 512 MB carved out
		121 * gib:             116 * gib, // 4 GB carved out
		93 * gib:              88 * gib,
		62 * gib:              60 * gib,
		31 * gib:              28 * gib,
		2 * gib:               2 * gib / 32 * 31,
	} {
		if got := bestLimit(ram); got != want || got > tooMuch(ram) {
			t.Errorf("of %s: %s, want %s", ram, got, want)
		}
	}
}

func TestGPUs(t *testing.T) {
	second := rocm.GPU{Card: "card0", PCI: "0000:03:00.0", AMD: true, Driver: "amdgpu", KFD: &rocm.KFD{Node: 1, Gfx: "gfx1100", CUs: 96}}
	check(t, []row{
		{"none, and tiers want one", func(t *testing.T, f *Facts) { f.Snapshot.GPUs = nil }, "gpu-none", Error, "no AMD GPU", "orch and coder cannot start", "on the CPU"},
		{"none, and nobody wants one", func(t *testing.T, f *Facts) { f.Snapshot.GPUs, f.Plan, f.Faults = nil, nil, nil }, "gpu-none", Note, "", "", ""},
		{"one that ROCm cannot use", func(t *testing.T, f *Facts) { f.gpu().KFD = nil }, "gpu-no-kfd", Error, "at 0000:c5:00.0", "Vulkan does", "CONFIG_HSA_AMD"},
		{"one whose memory is not known", func(t *testing.T, f *Facts) { f.gpu().PoolSize = nil }, "gpu-no-pool", Warning, "0000:c5:00.0", "", "tierctl host"},
		{"another kind", func(t *testing.T, f *Facts) { f.gpu().KFD.Gfx = "gfx1150" }, "gpu-other", Note, "gfx1150", "gfx1151", ""},
		{"one that hangs", func(t *testing.T, f *Facts) {
			f.Snapshot.Problems = []rocm.Problem{{File: "/sys/class/drm/card1/device/gpu_busy_percent", Err: fmt.Errorf("since noon: %w", rocm.ErrHung)}}
		}, "gpu-hung", Error, "gpu_busy_percent", "waits for ever", "reboot"},
		{"two, and engines are not told", func(t *testing.T, f *Facts) {
			f.gpu().KFD.Node = 2
			f.Snapshot.GPUs = append([]rocm.GPU{second}, f.Snapshot.GPUs...)
		}, "gpu-several", Warning, "the gfx1100 at 0000:03:00.0", "the first GPU", `ROCR_VISIBLE_DEVICES = "1"`},
		{"two, and they are", func(t *testing.T, f *Facts) {
			f.Snapshot.GPUs = append([]rocm.GPU{second}, f.Snapshot.GPUs...)
			f.Plan, f.Faults = planned(t, "[engine.vllm.env]\nROCR_VISIBLE_DEVICES = \"1\"\n"+stack, units.Host{})
		}, "gpu-several", Note, "", "are told", ""},
	})
}

func TestKernels(t *testing.T) {
	check(t, []row{
		{"one without the fix", func(t *testing.T, f *Facts) {
			f.Snapshot.Kernel.Release, f.gpu().KFD.CWSR = "6.17.0-14-generic", false
			f.Snapshot.Platform.OSID = "ubuntu"
		}, "gfx1151-kernel-cwsr", Warning, "kernel 6.17.0-14-generic is too old for the gfx1151", "hangs under load", "sudo apt update"},
		{"an old one with the fix", func(t *testing.T, f *Facts) { f.Snapshot.Kernel.Release = "6.17.0-14-generic" }, "", "", "", "", ""},
		{"one that is too old", func(t *testing.T, f *Facts) {
			f.Snapshot.Kernel.Release, f.gpu().KFD.CWSR = "6.12.74+deb13+1-amd64", false
		},
			"gfx1151-kernel-too-old", Error, "6.12.74", "", "from 6.18.4 on"},
		{"the workaround on a kernel that needs none", func(t *testing.T, f *Facts) {
			f.boot("amdgpu.cwsr_enable=0 ttm.pages_limit=31457280")
			f.Snapshot.Kernel.Parameters["amdgpu.cwsr_enable"] = "0"
		}, "gfx1151-cwsr-enable", Warning, "amdgpu.cwsr_enable=0 is set", "", "remove amdgpu.cwsr_enable=0"},
		{"and on one that does", func(t *testing.T, f *Facts) {
			f.boot("amdgpu.cwsr_enable=0 ttm.pages_limit=31457280")
			f.Snapshot.Kernel.Release, f.gpu().KFD.CWSR = "6.17.0", false
			f.Snapshot.Kernel.Parameters["amdgpu.cwsr_enable"] = "0"
		}, "cwsr-off", Note, "", "", "after the update of the kernel"},
		{"no guard against too much GPU memory", func(t *testing.T, f *Facts) { f.boot("amdgpu.no_system_mem_limit=1 ttm.pages_limit=31457280") },
			"amdgpu-no-system-mem-limit", Warning, "amdgpu.no_system_mem_limit=1", "", "remove"},
		{"a parameter that does not exist", func(t *testing.T, f *Facts) { f.boot("amdgpu.gtt_size=131072 ttm.pages_limit=31457280") },
			"amdgpu-gtt-size", Warning, "amdgpu.gtt_size=131072", "ignores it", "remove"},
		{"another that is spelt wrongly", func(t *testing.T, f *Facts) { f.boot("ttm.page_limit=31457280 ttm.pages_limit=31457280") },
			"parameter-unknown", Warning, "no parameter ttm.page_limit; ttm.pages_limit is one", "changes nothing", "write ttm.pages_limit=31457280 instead: in the kernel's boot line"},
		{"nobody means another one by this", func(t *testing.T, f *Facts) { f.boot("amdgpu.dc=1 amdgpu.sg_display=0 ttm.pages_limit=31457280") }, "", "", "", "", ""},
		{"the IOMMU off", func(t *testing.T, f *Facts) { f.Snapshot.Kernel.CommandLine = "amd_iommu=off ttm.pages_limit=31457280" },
			"iommu", Note, "the IOMMU is off", "5 to 12 % faster", ""},
		{"the IOMMU on", func(t *testing.T, f *Facts) { f.Snapshot.Kernel.CommandLine = "ttm.pages_limit=31457280" },
			"iommu", Note, "translates every access", "", "iommu=pt"},
		{"no memory controller", func(t *testing.T, f *Facts) { f.Snapshot.Kernel.Controllers = []string{"cpu"} },
			"cgroup-memory", Warning, "controller is off", "not held at its limit", "cgroup_disable=memory"},
		{"no pressure", func(t *testing.T, f *Facts) { f.Snapshot.Pressure.Memory = nil }, "psi", Warning, "PSI", "", "psi=1"},
	})
}

func TestMemory(t *testing.T) {
	slow := true
	swap := func(s rocm.Swap) func(*testing.T, *Facts) {
		return func(_ *testing.T, f *Facts) { f.Snapshot.Swaps = []rocm.Swap{s} }
	}
	check(t, []row{
		{"what leaked", func(t *testing.T, f *Facts) { f.gpu().GTTUsed = size(42 * gib) }, "gpu-leak", Error, "42GiB of GPU memory are in use and belong to no process", "", "reboot"},
		{"what the driver has for itself", func(t *testing.T, f *Facts) { f.gpu().GTTUsed = size(gib / 2) }, "", "", "", "", ""},
		{"a mode that would fit without the leak", func(t *testing.T, f *Facts) { f.gpu().GTTUsed = size(42 * gib) }, "mode", Error, "42GiB leaked", "", "mend first: gpu-leak"},
		{"no swap", func(t *testing.T, f *Facts) { f.Snapshot.Swaps = nil }, "swap-none", Note, "no swap", "", ""},
		{"zram", swap(rocm.Swap{Name: "/dev/zram0", Kind: rocm.SwapZram, Size: uint64(8 * gib)}), "swap-zram", Note, "8GiB", "takes from the RAM", ""},
		{"a rotating disk", swap(rocm.Swap{Name: "/dev/sda2", Kind: rocm.SwapPartition, Size: uint64(8 * gib), Rotational: &slow}), "swap-slow", Warning, "/dev/sda2", "", "swapoff /dev/sda2"},
		{"128 GB of swap", swap(rocm.Swap{Name: "/swapfile", Kind: rocm.SwapFile, Size: uint64(128 * gib)}), "swap-large", Warning, "128GiB", "hides", "swapoff /swapfile"},
		{"zswap before zram", func(t *testing.T, f *Facts) {
			f.Snapshot.Swaps = []rocm.Swap{{Name: "/dev/zram0", Kind: rocm.SwapZram, Size: 1}}
			f.files(t, map[string]string{"sys/module/zswap/parameters/enabled": "Y\n"})
		}, "zswap-zram", Warning, "zswap", "twice", "zswap.enabled=0"},
		{"zswap before a disk", func(t *testing.T, f *Facts) {
			f.files(t, map[string]string{"sys/module/zswap/parameters/enabled": "Y\n"})
		}, "", "", "", "", ""},
	})
}

func client(pid int, comm, unit string, held units.Bytes) rocm.Client {
	c := rocm.Client{PID: pid, Comm: comm, Unit: unit, Memory: []rocm.ClientMemory{{PCI: "0000:c5:00.0", GTT: uint64(held)}}}
	if user, ok := strings.CutPrefix(unit, "user:"); ok {
		c.Unit, c.UserUnit = "user@1000.service", user
	}
	return c
}

func TestOtherProgramsOnTheGPU(t *testing.T) {
	held := func(clients ...rocm.Client) func(*testing.T, *Facts) {
		return func(_ *testing.T, f *Facts) {
			f.Snapshot.Clients = clients
			var sum units.Bytes
			for _, c := range clients {
				sum += units.Bytes(c.Memory[0].GTT)
			}
			f.gpu().GTTUsed = size(sum)
		}
	}
	orphan := func(t *testing.T, f *Facts) {
		held(client(7311, "VLLM::EngineCor", "session-2.scope", 60*gib))(t, f)
		f.files(t, map[string]string{"proc/7311/stat": "7311 (VLLM::EngineCor) S 1 7311 7311 0"})
	}
	check(t, []row{
		{"a desktop", held(client(2210, "gnome-shell", "session-2.scope", 300*units.MiB)), "", "", "", "", ""},
		{"a tier", held(client(99, "VLLM::EngineCor", "tier-coder.service", 64*gib)), "", "", "", "", ""},
		{"a game", held(client(31, "game", "user:app-game.scope", 6*gib)), "gpu-user", Note, "game of app-game.scope (pid 31) holds 6GiB", "", "sudo kill 31"},
		{"an engine of another service, with all its processes", held(client(31, "llama-server", "llm.service", 6*gib), client(32, "llama-server", "llm.service", 3*gib)),
			"engine-outside", Warning, "llama-server of llm.service (pid 31, 32) holds 9GiB", "cannot ask it to give way", "sudo systemctl disable --now llm.service"},
		{"an engine of a user's service", held(client(31, "ollama", "user:ollama.service", 6*gib)), "engine-outside", Warning, "ollama.service", "", "systemctl --user stop ollama.service"},
		{"an engine that somebody has typed", held(client(31, "llama-server", "session-2.scope", 6*gib)), "engine-outside", Warning, "", "", "sudo kill 31"},
		{"an engine whose server has ended", orphan, "engine-orphan", Error, "VLLM::EngineCor of session-2.scope (pid 7311) holds 60GiB", "serves nobody", "sudo kill 7311"},
		{"which is in the way of the mode", orphan, "mode", Error, "60GiB of other programs", "", "mend first: engine-orphan"},
	})
}

func TestTiers(t *testing.T) {
	check(t, []row{
		{"a file that cannot be used", func(t *testing.T, f *Facts) {
			f.Plan, f.Faults = nil, []units.Fault{{File: "tiers.toml", Line: 12, Msg: `unknown key "memroy" in [tier.coder]; did you mean "memory"?`}}
		}, "config", Error, `tiers.toml:12: unknown key "memroy" in [tier.coder]`, "cannot use the file", `did you mean "memory"?`},
		{"a warning about it", func(t *testing.T, f *Facts) {
			f.Faults = []units.Fault{{File: "tiers.toml", Line: 3, Msg: "more threads than CPUs", Warning: true}}
		}, "config", Warning, "tiers.toml:3: more threads than CPUs", "", "sudoedit tiers.toml"},
		{"an engine that is missing, for all that need it", func(t *testing.T, f *Facts) { f.lookForModels(t, "opt/vllm/bin/vllm") },
			"engine", Error, `engine "vllm": /opt/vllm/bin/vllm does not exist`, "orch and coder cannot start, and `tierctl up` starts orch and coder", "install it, or change `command`"},
		{"a model that is missing", func(t *testing.T, f *Facts) { f.lookForModels(t, "var/lib/tierd/models/u.gguf") },
			"model", Error, `model "u.gguf" is not in /var/lib/tierd/models`, "utility cannot start", "put it there"},
		{"a format that hangs this GPU", func(t *testing.T, f *Facts) {
			f.lookForModels(t)
			f.Faults = append(f.Faults, units.Fault{File: "tiers.toml", Line: 9, Tier: "coder", Warning: true,
				Msg: "tier-coder.service cannot start: GPTQ deadlocks; it does (vllm#1, 2026-06); allow_unsupported = true in [tier.coder.variant.vllm] starts it all the same"})
		}, "unsupported", Error, "GPTQ deadlocks; it does (vllm#1, 2026-06)", "coder cannot start", "allow_unsupported = true in [tier.coder.variant.vllm] starts it all the same"},
		{"a host that no model should run on", func(t *testing.T, f *Facts) {
			f.Snapshot.Kernel.Release = "6.12.0"
			var said string
			for _, v := range f.Quirks.Lookup((&report{Facts: *f, gpu: f.gpu()}).query()) {
				if v.Topic == "kernel" {
					said = units.QuirkVerdict(v).String()
				}
			}
			for _, tier := range []string{"orch", "coder"} {
				f.Faults = append(f.Faults, units.Fault{File: "tiers.toml", Tier: tier, Warning: true,
					Msg: "tier-" + tier + ".service cannot start: " + said + "; allow_unsupported = true in [tier." + tier + ".variant.vllm] starts it all the same"})
			}
		}, "unsupported", Error, "kernels up to 6.12", "orch and coder cannot start", "mend first: gfx1151-kernel-too-old; or allow_unsupported = true"},
		{"what is said of the host is not said of the file again", func(t *testing.T, f *Facts) {
			f.Snapshot.Kernel.CommandLine += " amdgpu.gttsize=122880" // a note
			for _, v := range f.Quirks.Lookup((&report{Facts: *f, gpu: f.gpu()}).query()) {
				if v.ID == "amdgpu-gttsize" {
					f.Faults = append(f.Faults, units.Fault{File: "tiers.toml", Warning: true, Msg: units.QuirkVerdict(v).String()})
				}
			}
			if len(f.Faults) != 1 {
				t.Fatal(f.Faults)
			}
		}, "", "", "", "", ""},
		{"of a tier that nobody starts by default", func(t *testing.T, f *Facts) {
			f.lookForModelsOf(t, strings.Replace(stack, `"coder", "utility"`, `"coder"`, 1), "var/lib/tierd/models/u.gguf")
		}, "model", Warning, "u.gguf", "utility cannot start", ""},
		{"a default mode that is too large", func(t *testing.T, f *Facts) {
			f.Plan, f.Faults = planned(t, strings.Replace(stack, "64.4GiB", "84.4GiB", 1), units.Host{})
		}, "mode", Error, `mode "full" does not fit: 42.5GiB for tier-orch.service + 84.4GiB`, "tierctl up full is refused", "take coder out of [mode.full]"},
		{"another mode that is", func(t *testing.T, f *Facts) {
			f.Plan, f.Faults = planned(t, strings.Replace(stack, `"2.5GiB"`, `"112GiB"`, 1)+"[mode.one]\ntiers = [\"utility\", \"orch\"]\n[host]\ndefault_mode = \"gpu\"\n[mode.gpu]\ntiers = [\"orch\", \"coder\"]\n", units.Host{})
		}, "mode", Warning, `does not fit`, "", ""},
		{"a tier that has failed", func(t *testing.T, f *Facts) {
			f.Status = &api.Status{Tiers: []api.Tier{{Name: "coder", Unit: "tier-coder.service", State: api.Failed, Reason: "out of memory"}}}
		}, "tier-failed", Error, "coder has failed: out of memory", "", "journalctl -u tier-coder.service"},
		{"no gateway", func(t *testing.T, f *Facts) { f.Status = &api.Status{Gateway: "absent"} }, "gateway", Error, "gateway", "", "systemctl status tier-gateway"},
		{"tiers that are well", func(t *testing.T, f *Facts) {
			f.Status = &api.Status{Gateway: "connected", Tiers: []api.Tier{{Name: "coder", State: api.Ready}}}
		}, "", "", "", "", ""},
	})
}

func TestWhatCouldNotBeSeenIsSaid(t *testing.T) {
	check(t, []row{
		{"a recording", func(t *testing.T, f *Facts) { f.Files = nil }, "unseen", Note, "only what the kernel says", "engines, models, devices", "on the host itself"},
		{"processes of others", func(t *testing.T, f *Facts) { f.Snapshot.ClientsComplete = false }, "unseen", Note, "not every process", "", "sudo tierctl doctor"},
		{"files of root's", func(t *testing.T, f *Facts) { f.Files.Hidden = []string{"/sys/kernel/debug"} }, "unseen", Note, "not allowed to look at /sys/kernel/debug", "", ""},
		{"no file of tiers", func(t *testing.T, f *Facts) { f.Config, f.Plan, f.Faults = "", nil, nil }, "unseen", Note, "no tiers.toml", "", "--config"},
		{"no cgroups", func(t *testing.T, f *Facts) { f.Snapshot.Kernel.Controllers = nil }, "unseen", Note, "cgroup", "", ""},
	})
}

func TestOfNothingNothingIsWrong(t *testing.T) {
	found := Check(Facts{})
	wellFormed(t, found)
	for _, f := range bad(found) {
		if f.ID != "psi" { // what the kernel does not tell is not there
			t.Error(f.text())
		}
	}
}
