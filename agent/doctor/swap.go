package doctor

import (
	"fmt"

	"github.com/tierd/tierd/rocm"
	"github.com/tierd/tierd/units"
)

// tooMuchSwap is from where on swap on a disk hides for minutes that the memory is gone.
const tooMuchSwap = 32 * units.GiB

// checkSwap: a tier itself never swaps, and the GPU's memory cannot. Swap is for the rest of the host, which goes first.
func (r *report) checkSwap() {
	if len(r.Snapshot.Swaps) == 0 {
		r.add(Finding{ID: "swap-none", Severity: Note, Source: "systemd, oomd-manager.c",
			What: "there is no swap",
			Why:  r.byGuard("tiers need none; systemd-oomd, where it runs, sees pressure late without", "to tier-guard, which goes by available memory, it is all the same")})
		return
	}
	for _, s := range r.Snapshot.Swaps {
		size := units.Bytes(s.Size)
		switch {
		case s.Kind == rocm.SwapZram:
			r.add(Finding{ID: "swap-zram", Severity: Note, Source: "hakavlad/nohang#31, rfjakob/earlyoom#100",
				What: fmt.Sprintf("%s of swap are compressed memory (%s)", size, s.Name),
				Why: r.byGuard("it takes from the RAM what it gives, weights of models do not get smaller in it, and earlyoom and systemd-oomd wait until it is full",
					"tier-guard does not wait: idle tiers give way although it is free, and only busy ones are spared for it above the hard line")})
		case s.Rotational != nil && *s.Rotational:
			r.add(Finding{ID: "swap-slow", Severity: Warning, Source: "kyuz0/amd-strix-halo-vllm-toolboxes#65",
				What: fmt.Sprintf("%s of swap are on a rotating disk (%s)", size, s.Name),
				Why:  r.byGuard("when models take the memory, the desktop goes there first and stands still for minutes", "tier-guard does not wait for it with idle tiers, only with busy ones"),
				Fix:  fmt.Sprintf("sudo swapoff %s, and remove it from /etc/fstab", s.Name)})
		case size > tooMuchSwap:
			r.add(Finding{ID: "swap-large", Severity: Warning, Source: "kyuz0/amd-strix-halo-vllm-toolboxes#65; C. König on amd-gfx, 2026-03-23",
				What: fmt.Sprintf("%s of swap are on a disk (%s)", size, s.Name),
				Why:  r.byGuard("GPU memory is not swapped, so it helps no model: it only hides for longer that the memory is gone", "while some is free tier-guard spares busy tiers above the hard line"),
				Fix:  fmt.Sprintf("sudo swapoff %s, and a smaller one, 8 GiB or so, in its place", s.Name)})
		default:
			r.fine("swap", "kernel, Documentation/admin-guide/mm/concepts.rst", "%s of swap are on a disk (%s)%s", size, s.Name, r.byGuard("", "while some is free tier-guard spares busy tiers, not idle ones"))
		}
	}
}

func (r *report) checkZswap() {
	if r.Files == nil || r.Files.Zswap == nil || !*r.Files.Zswap {
		return
	}
	for _, s := range r.Snapshot.Swaps {
		if s.Kind == rocm.SwapZram {
			r.add(Finding{ID: "zswap-zram", Severity: Warning, Source: "kernel, Documentation/admin-guide/mm/zswap.rst",
				What: "zswap is on in front of zram",
				Why:  "pages are compressed twice, and take memory in both places",
				Fix:  r.set("zswap.enabled", "0")})
			return
		}
	}
}
