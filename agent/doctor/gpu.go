package doctor

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tierd/tierd/rocm"
	"github.com/tierd/tierd/units"
)

func (r *report) checkGPU() {
	for _, p := range r.Snapshot.Problems {
		if errors.Is(p, rocm.ErrHung) && (strings.HasPrefix(p.File, "/sys/class/drm") || strings.HasPrefix(p.File, "/sys/class/kfd")) {
			r.add(Finding{ID: "gpu-hung", Severity: Error, Source: "ROCm/legacy-rocm-build#5745",
				What: fmt.Sprintf("the GPU's driver hangs: %v", p),
				Why:  "whoever asks it waits for ever, and a tier whose process hangs in the kernel cannot be ended",
				Fix:  "sudo systemctl reboot"})
			break
		}
	}
	switch {
	case r.gpu == nil:
		r.noGPU()
	case r.gpu.KFD == nil:
		r.add(Finding{ID: "gpu-no-kfd", Severity: r.ifOnGPU(Error, Warning), Source: "kernel, kfd_topology.c",
			What: fmt.Sprintf("ROCm cannot use the GPU at %s: the kernel's compute driver does not list it", r.gpu.PCI),
			Why:  "vLLM and llama.cpp by HIP do not find a GPU; Vulkan does",
			Fix:  "sudo dmesg | grep -i kfd tells why; the kernel needs CONFIG_HSA_AMD, and this chip a kernel from 6.18.4 on"})
	case r.pool == nil:
		r.add(Finding{ID: "gpu-no-pool", Severity: Warning, Source: "kernel, amdgpu driver documentation, mem_info_gtt_total",
			What: fmt.Sprintf("the kernel does not say how much memory the GPU at %s has", r.gpu.PCI),
			Why:  "without that no sum of the models on it is made",
			Fix:  "tierctl host shows which file could not be read"})
	case r.gpu.Gfx() != "gfx1151":
		r.add(Finding{ID: "gpu-other", Severity: Note, Source: "kyuz0/amd-strix-halo-vllm-toolboxes, table of models",
			What: fmt.Sprintf("tiers use the %s at %s: %s", r.gpu.Gfx(), r.gpu.PCI, r.why),
			Why:  "the figures and the warnings about formats were found on gfx1151"})
	case r.pool.Broken == "":
		r.fine("gpu", "kernel, amdgpu_ttm_init", "tiers use the %s at %s (%s), whose pool is %s of %s",
			r.gpu.Gfx(), r.gpu.PCI, r.why, amount(r.gpu.PoolSize), strings.ToUpper(string(r.gpu.Pool)))
	}
}

func (r *report) noGPU() {
	f := Finding{ID: "gpu-none", Severity: Note, Source: "kernel, amdgpu driver", What: "this host has no AMD GPU", Why: "models run on the CPU alone, which is slow"}
	if names := tiersOf(r.gpuUnits()); len(names) > 0 {
		f.Severity = Error
		f.Why = fmt.Sprintf("%s cannot start: their engines load onto one", strings.Join(names, " and "))
		f.Fix = "in tiers.toml, give them a variant on the CPU (an engine of kind \"llama\" without gpu = true) or one of engine \"remote\""
	}
	r.add(f)
}

func tiersOf(list []units.Unit) []string {
	var names []string
	for _, u := range list {
		if len(names) == 0 || names[len(names)-1] != u.Tier {
			names = append(names, u.Tier)
		}
	}
	return names
}

// ifOnGPU is bad when tiers load onto the GPU, else mild.
func (r *report) ifOnGPU(bad, mild Severity) Severity {
	if len(r.gpuUnits()) > 0 {
		return bad
	}
	return mild
}

// checkSeveralGPUs: engines see every GPU, and take the first one unless they are told.
func (r *report) checkSeveralGPUs() {
	var others []string
	index := 0 // among those that ROCm lists: by node
	for _, g := range r.Snapshot.GPUs {
		if !g.AMD || r.gpu == nil || g.PCI == r.gpu.PCI {
			continue
		}
		others = append(others, fmt.Sprintf("the %s at %s", orUnknown(g.Gfx()), g.PCI))
		if g.KFD != nil && r.gpu.KFD != nil && g.KFD.Node < r.gpu.KFD.Node {
			index++
		}
	}
	if len(others) == 0 {
		return
	}
	f := Finding{ID: "gpu-several", Severity: Warning, Source: "ROCm documentation, GPU isolation",
		What: fmt.Sprintf("besides the %s at %s, which tiers are planned for (%s), there is %s", orUnknown(r.gpu.Gfx()), r.gpu.PCI, r.why, strings.Join(others, " and ")),
		Why:  "an engine takes the first GPU that it sees, and its models would land in the wrong memory",
		Fix:  fmt.Sprintf("in `env` of every engine that uses the GPU: ROCR_VISIBLE_DEVICES = \"%d\"; for Vulkan GGML_VK_VISIBLE_DEVICES, by the list that llama-server --list-devices prints", index)}
	if r.gpusChosen() {
		f.Severity, f.Fix = Note, ""
		f.Why = "the engines in tiers.toml are told which one to use"
	}
	r.add(f)
}

// gpusChosen tells whether every engine that uses the GPU is told which.
func (r *report) gpusChosen() bool {
	if r.Plan == nil {
		return false
	}
	told := 0
	for _, e := range r.Plan.Config.Engines {
		if !e.UsesGPU() || e.Kind == units.KindRemote {
			continue
		}
		told++
		for _, name := range []string{"ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "GGML_VK_VISIBLE_DEVICES"} {
			if e.Env[name] != "" {
				told--
				break
			}
		}
	}
	return told == 0
}

func orUnknown(s string) string {
	if s == "" {
		return "GPU"
	}
	return s
}

// large is from where on a carve-out is meant to hold models. Some firmware takes 4 GiB at least.
const large = 8 * units.GiB

func (r *report) checkCarveOut() {
	if r.gpu == nil || !r.gpu.APU || amount(r.gpu.VRAMTotal) < large || r.pool != nil && r.pool.Broken != "" {
		return // the last is a worse finding of its own
	}
	vram, ram := amount(r.gpu.VRAMTotal), amount(r.Snapshot.Memory.MemTotal)
	f := Finding{ID: "carve-out", Severity: Note, Source: "ROCm/hip#3892, ROCm/legacy-rocm-build#5444",
		What: fmt.Sprintf("the BIOS keeps %s for the GPU alone, and %s are left as RAM", vram, ram),
		Why:  "neither pool can use what the other has left: models on the CPU, the page cache and the desktop share the RAM",
		Fix:  r.lessCarveOut(vram + ram)}
	if m := r.defaultMode(); m != nil && !m.Fits() {
		f.Severity = Warning
	}
	r.add(f)
}

// lessCarveOut is how to give the memory back: by Linux where the firmware lets it, else in the BIOS.
func (r *report) lessCarveOut(all units.Bytes) string {
	least := rocm.CarveOutOption{Text: "512 MB"}
	how := "in the BIOS setup choose the least UMA frame buffer (dedicated graphics memory), 512 MB on most boards"
	if c := r.gpu.CarveOut; c != nil && len(c.Options) > 0 {
		least = c.Options[0]
		for _, o := range c.Options {
			if o.Size != nil && (least.Size == nil || *o.Size < *least.Size) {
				least = o
			}
		}
		how = fmt.Sprintf("echo %d | sudo tee /sys/class/drm/%s/device/uma/carveout (%s)", least.Index, r.gpu.Card, least.Text)
	}
	left := all - min(all, max(amount(least.Size), units.GiB/2))
	return fmt.Sprintf("%s; and for %s of GPU memory from the RAM: %s", how, bestLimit(left), r.set("ttm.pages_limit", pages(bestLimit(left))))
}
