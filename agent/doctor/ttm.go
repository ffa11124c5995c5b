package doctor

import (
	"fmt"
	"strconv"

	"github.com/tierd/tierd/units"
)

const pageSize = 4096 // of amd64, in which ttm.pages_limit counts

// bestLimit is how much of so much RAM the GPU may map at most: 120 GiB of the 124.9 that a machine of 128 GB shows. KFD's
// own limit is the RAM less a 64th and a reserve, so that more is of no use; with nearly all of it a host has frozen.
func bestLimit(ram units.Bytes) units.Bytes {
	const step = 4 * units.GiB
	best := ram / 32 * 31
	if best < step {
		return best
	}
	return best / step * step
}

// tooMuch is where a limit begins to be one in name only.
func tooMuch(ram units.Bytes) units.Bytes { return ram - ram/64 }

func pages(b units.Bytes) string { return strconv.FormatUint(uint64(b)/pageSize, 10) }

// checkPagesLimit: ttm.pages_limit is the one parameter that says how much of the RAM models on the GPU may have.
func (r *report) checkPagesLimit() {
	if r.gpu == nil || !r.gpu.APU || r.pool == nil || r.Snapshot.Memory.MemTotal == nil {
		return
	}
	ram := amount(r.Snapshot.Memory.MemTotal)
	limit, best := amount(r.Snapshot.Kernel.PagesLimit), bestLimit(ram)
	gttsize, _ := r.parameter("amdgpu.gttsize")
	switch {
	case r.pool.Broken != "":
		r.add(Finding{ID: "ttm-above-ram", Severity: Error, Source: "GpuZelenograd/memtest_vulkan#66",
			What: fmt.Sprintf("ttm.pages_limit lets the GPU map %s, and this host has %s of RAM beside the %s that the BIOS carved out", r.pool.Size, ram, amount(r.gpu.VRAMTotal)),
			Why:  "the driver then loads models into RAM that is not there, instead of what was carved out: the host freezes, so nothing is promised on the GPU",
			Fix:  r.unset("ttm.pages_limit") + "; or keep it, and carve the least out in the BIOS setup"})
	case string(r.gpu.Pool) != "gtt" || limit == 0:
		return // models go to what was carved out
	case !r.isSet("ttm.pages_limit") && !r.isSet("amdttm.pages_limit") && limit <= ram/2+units.GiB:
		r.pagesLimitUnset(limit, best, gttsize)
	case limit > tooMuch(ram):
		r.add(Finding{ID: "ttm-pages-limit", Severity: Warning, Source: "Nathanw1014/strix-halo-llamacpp#8",
			What: fmt.Sprintf("ttm.pages_limit is %s (%s), nearly all of the %s of RAM", pages(limit), limit, ram),
			Why:  "the kernel's own limit for ROCm is lower, and a host whose GPU mapped all of its memory froze",
			Fix:  r.set("ttm.pages_limit", pages(best)) + "  # " + best.String()})
	case limit+2*units.GiB < best:
		r.add(r.smallPool(Finding{ID: "ttm-pages-limit", Source: "unslothai/unsloth#7960, peonist-ai/halogen-flash-server#79",
			What: fmt.Sprintf("ttm.pages_limit is %s (%s); this machine can have %s (%s)", pages(limit), limit, pages(best), best),
			Fix:  r.set("ttm.pages_limit", pages(best))}))
	default:
		r.fine("ttm-pages-limit", "unslothai/unsloth#7960", "ttm.pages_limit is %s (%s of %s)", pages(limit), limit, ram)
	}
}

// pagesLimitUnset tells of the kernel's default, which is half of the RAM.
func (r *report) pagesLimitUnset(limit, best units.Bytes, gttsize string) {
	f := Finding{ID: "ttm-pages-limit-unset", Source: "unslothai/unsloth#7960",
		What: fmt.Sprintf("ttm.pages_limit is not set, so models on the GPU have %s, half of the RAM", limit),
		Fix:  r.set("ttm.pages_limit", pages(best)) + "  # " + best.String()}
	if mib, err := strconv.ParseUint(gttsize, 10, 32); err == nil && mib > 0 {
		f.ID, f.Source = "gttsize-only", "unslothai/unsloth#7960, ROCm/legacy-rocm-build#5595"
		f.What = fmt.Sprintf("amdgpu.gttsize=%s makes the GPU's memory look like %s, but without ttm.pages_limit ROCm and Vulkan get %s of it",
			gttsize, units.Bytes(mib)*units.MiB, r.pool.Size)
	}
	r.add(r.smallPool(f))
}

// smallPool says what a pool that could be larger means for the tiers.
func (r *report) smallPool(f Finding) Finding {
	f.Severity = r.ifOnGPU(Warning, Note)
	f.Why = fmt.Sprintf("all models on the GPU together cannot take more than %s", r.pool.Size)
	m := r.defaultMode()
	if m == nil || m.Sums.GPU == 0 {
		return f
	}
	f.Why = fmt.Sprintf("mode %q needs %s there, and %s can be had", r.Plan.Config.Host.DefaultMode, m.Sums.GPU, r.pool.Size)
	if m.Sums.GPU > r.pool.Size {
		f.Severity = Error
	}
	return f
}

// checkPagePool: ttm keeps freed pages for the next buffer, up to this many.
func (r *report) checkPagePool() {
	value, set := r.parameter("ttm.page_pool_size")
	size, err := strconv.ParseUint(value, 10, 40)
	limit := amount(r.Snapshot.Kernel.PagesLimit)
	if !set || err != nil || limit == 0 || !r.isSet("ttm.page_pool_size") {
		return
	}
	if kept := units.Bytes(size * pageSize); kept > limit/2 {
		r.add(Finding{ID: "ttm-page-pool", Severity: Warning, Source: "kernel, ttm_pool.c; ROCm on Strix Halo guides, one report of an OOM",
			What: fmt.Sprintf("ttm.page_pool_size is %s (%s)", value, kept),
			Why:  "the driver keeps that much of what models have freed, and the next program finds no memory",
			Fix:  r.unset("ttm.page_pool_size")})
	}
}
