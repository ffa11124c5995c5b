package rocm

import (
	"fmt"
	"strings"
)

// Pool is where the memory that ROCm and Vulkan allocate on a GPU comes from.
type Pool string

// The pools.
const (
	PoolGTT  Pool = "gtt"  // the host's memory, which the GPU maps
	PoolVRAM Pool = "vram" // the GPU's own, or what the BIOS carved out for it
)

// setPool fills Pool and its size and use. limit is ttm.pages_limit in bytes.
func (g *GPU) setPool(limit *uint64) {
	if g.VRAMTotal == nil || g.GTTTotal == nil {
		return
	}
	var bank *uint64
	if g.KFD != nil {
		bank = g.KFD.Bank
	}
	// amdgpu_ttm_init: an APU with less VRAM than GTT gets even what asks for VRAM from GTT (from 6.10 on).
	if g.APU && *g.VRAMTotal < *g.GTTTotal {
		// amdgpu.gttsize raises mem_info_gtt_total above what ttm then grants.
		g.Pool, g.PoolSize, g.PoolUsed = PoolGTT, least(g.GTTTotal, bank, limit), g.GTTUsed
		return
	}
	g.Pool, g.PoolSize, g.PoolUsed = PoolVRAM, least(g.VRAMTotal, bank), g.VRAMUsed
}

// least is the smallest of those that are known.
func least(values ...*uint64) *uint64 {
	var found *uint64
	for _, v := range values {
		if v != nil && (found == nil || *v < *found) {
			found = v
		}
	}
	return found
}

// Unattributed is the memory of a GPU, in bytes, that no process is known to hold: the driver's own, and what an engine left
// behind that died. Up to some 200 MiB are normal. Both are nil when that cannot be told, since some process may not be
// looked into. A client's memory may be counted a moment after the sum, so less than nothing is nothing.
func (s Snapshot) Unattributed(pci string) (gtt, vram *uint64) {
	g := s.GPU(pci)
	if g == nil || !s.ClientsComplete {
		return nil, nil
	}
	var ofGTT, ofVRAM uint64
	for _, c := range s.Clients {
		for _, m := range c.Memory {
			if m.PCI == g.PCI {
				ofGTT, ofVRAM = ofGTT+m.GTT, ofVRAM+m.VRAM
			}
		}
	}
	return rest(g.GTTUsed, ofGTT), rest(g.VRAMUsed, ofVRAM)
}

func rest(used *uint64, held uint64) *uint64 {
	if used == nil {
		return nil
	}
	left := *used - min(*used, held)
	return &left
}

// GPU finds a GPU by its PCI address, with or without the domain 0000; nil when there is none.
func (s Snapshot) GPU(pci string) *GPU {
	pci = strings.ToLower(pci)
	for i, g := range s.GPUs {
		if g.PCI != "" && (g.PCI == pci || g.PCI == "0000:"+pci) {
			return &s.GPUs[i]
		}
	}
	return nil
}

// TierGPU is the GPU that the tiers use, and why it is that one. choice is a PCI address, or "" for the best. It is nil
// when there is none, which is no error: the host then has CPU tiers only. why is a clause without a full stop.
func (s Snapshot) TierGPU(choice string) (gpu *GPU, why string) {
	if choice != "" {
		switch g := s.GPU(choice); {
		case g == nil:
			return nil, fmt.Sprintf("there is no GPU at %s, but %s", quote(choice), s.listGPUs())
		case !g.AMD:
			return nil, fmt.Sprintf("the GPU at %s is not AMD's; there are %s", g.PCI, s.listGPUs())
		default:
			return g, "chosen by its address"
		}
	}
	var found []*GPU
	for i := range s.GPUs {
		if s.GPUs[i].AMD {
			found = append(found, &s.GPUs[i])
		}
	}
	if len(found) == 0 {
		return nil, "no AMD GPU"
	}
	best := found[0]
	for _, g := range found[1:] {
		if better(g, best) {
			best = g
		}
	}
	switch {
	case best.KFD == nil:
		return best, "ROCm can use no GPU here, Vulkan this one"
	case len(found) == 1:
		return best, "the only AMD GPU"
	case best.KFD.Gfx == strixHalo:
		return best, "the tiers are sized for the memory of " + strixHalo
	default:
		return best, "the AMD GPU with the most compute units"
	}
}

const strixHalo = "gfx1151"

// better says which of two GPUs the tiers use. Strix Halo comes before a discrete card that computes faster: the four
// tiers need some 100 GiB between them, and what is known of engines and quantisations is known of gfx1151. The size of
// the pool does not decide, since half of the host's memory counts for the small GPU of any desktop CPU: so it is
// compute units.
func better(a, b *GPU) bool {
	if (a.KFD != nil) != (b.KFD != nil) {
		return a.KFD != nil
	}
	if a.KFD == nil {
		return false
	}
	if (a.KFD.Gfx == strixHalo) != (b.KFD.Gfx == strixHalo) {
		return a.KFD.Gfx == strixHalo
	}
	return a.KFD.CUs > b.KFD.CUs
}

// listGPUs names what there is: "0000:03:00.0 (gfx1100), 0000:c4:00.0 (gfx1151)".
func (s Snapshot) listGPUs() string {
	var names []string
	for _, g := range s.GPUs {
		what := g.Gfx()
		if what == "" {
			what = g.Driver
		}
		names = append(names, fmt.Sprintf("%s (%s)", g.PCI, what))
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, ", ")
}
