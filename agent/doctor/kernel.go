package doctor

import (
	"strings"

	"github.com/tierd/tierd/rocm/quirks"
)

// checkKernel goes by what is known of kernels and firmware that hang the GPU.
func (r *report) checkKernel() {
	if r.gpu == nil || r.Snapshot.Kernel.Release == "" {
		return
	}
	wrong := false
	for _, v := range r.hostVerdicts() {
		if v.Topic != "kernel" && v.Topic != "mes" {
			continue
		}
		wrong = true
		f := Finding{ID: v.ID, Severity: r.ifOnGPU(Warning, Note), Source: v.Source, Why: v.Reason}
		if v.Verdict == quirks.Refuse {
			f.Severity = r.ifOnGPU(Error, Warning)
		}
		if v.Topic == "mes" {
			f.What = "the GPU's scheduler firmware is " + r.mes()
			if r.Files != nil && r.Files.Firmware != "" {
				f.What += ", of " + r.Files.Firmware
			}
			f.Fix = r.newer("another linux-firmware")
		} else {
			f.What = "kernel " + r.Snapshot.Kernel.Release + " is too old for the " + orUnknown(r.gpu.Gfx())
			f.Fix = r.newer("a kernel from 6.18.4 on")
		}
		r.add(f)
	}
	if !wrong {
		r.fine("kernel", "kernel commit 71776e0965f9", "nothing is known against kernel %s with this GPU", r.Snapshot.Kernel.Release)
	}
}

// mes is the version of the GPU's scheduler firmware: the one that was loaded, which takes root to read, else what the
// installed package is known to have.
func (r *report) mes() string {
	switch {
	case r.gpu != nil && r.gpu.MES != "":
		return r.gpu.MES
	case r.Files != nil && strings.Contains(r.Files.Firmware, "20251125"):
		return "0x83"
	}
	return ""
}

// checkIOMMU tells of a setting that makes models faster and turns other things off.
func (r *report) checkIOMMU() {
	if r.gpu == nil || r.gpu.Gfx() != "gfx1151" {
		return
	}
	const source = "kyuz0/amd-strix-halo-toolboxes#66"
	amd, _ := r.parameter("amd_iommu")
	iommu, _ := r.parameter("iommu")
	switch {
	case amd == "off" || iommu == "off":
		r.add(Finding{ID: "iommu", Severity: Note, Source: source,
			What: "the IOMMU is off",
			Why:  "models are 5 to 12 % faster so; the NPU and the isolation of devices, as for virtual machines, do not work (with iommu=pt instead they do)"})
	case strings.Contains(iommu, "pt"):
		r.fine("iommu", source, "the IOMMU passes the GPU's accesses through (iommu=pt)")
	default:
		r.add(Finding{ID: "iommu", Severity: Note, Source: source,
			What: "the IOMMU translates every access of the GPU",
			Why:  "without that models were 5 to 12 % faster",
			Fix:  r.set("iommu", "pt") + "  # amd_iommu=off is a little faster still, and turns the NPU off"})
	}
}

func (r *report) checkCgroup() {
	const source = "kernel, Documentation/admin-guide/cgroup-v2.rst"
	switch has := r.Snapshot.Kernel.Controls("memory"); {
	case has == nil:
	case *has:
		r.fine("cgroup-memory", source, "the kernel counts and limits the memory of a tier's processes")
	default:
		fix := "remove cgroup_disable=memory from the boot line, or boot a kernel with CONFIG_MEMCG"
		if r.isSet("cgroup_disable") {
			fix = r.unset("cgroup_disable")
		}
		r.add(Finding{ID: "cgroup-memory", Severity: Warning, Source: source,
			What: "the kernel's memory controller is off",
			Why: r.byGuard("a tier on the CPU that leaks is not held at its limit, and what tiers really take is not seen",
				"tier-guard finds no tier that leaks, and goes by what tiers were promised"),
			Fix: fix})
	}
}

func (r *report) checkPressure() {
	const source = "kernel, Documentation/accounting/psi.rst"
	if r.Snapshot.Pressure.Memory != nil {
		r.fine("psi", source, "the kernel tells of memory pressure")
		return
	}
	r.add(Finding{ID: "psi", Severity: Warning, Source: source,
		What: "the kernel does not tell of memory pressure (PSI)",
		Why: r.byGuard("that the host is short of memory is then seen later, and systemd-oomd does not run at all",
			"tier-guard is not woken early, and does not know whether busy tiers stand still although swap is free"),
		Fix: r.set("psi", "1")})
}
