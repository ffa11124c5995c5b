package budget

import (
	"fmt"
	"strings"

	"github.com/tierd/tierd/rocm"
	"github.com/tierd/tierd/units"
)

// leakFloor is how much of a pool may belong to no process without being a leak: the driver's own comes to some 200 MiB.
const leakFloor = units.GiB

// GPUOf is the pool of the GPU that tiers run on, as a snapshot shows it; choice is its PCI address, or "" for the best.
// It is nil without an AMD GPU, and when the kernel does not say how large its pools are.
func GPUOf(s rocm.Snapshot, choice string) *GPU {
	g, _ := s.TierGPU(choice)
	if g == nil || g.PoolSize == nil {
		return nil
	}
	pool := &GPU{Pool: string(g.Pool), Size: units.Bytes(*g.PoolSize)}
	gtt, vram := s.Unattributed(g.PCI)
	left := vram
	if pool.Pool == GTT {
		left = gtt
	}
	if left != nil && units.Bytes(*left) > leakFloor {
		pool.Leaked = units.Bytes(*left)
	}
	for _, c := range s.Clients {
		for _, m := range c.Memory {
			if m.PCI == g.PCI && !IsTier(c.Unit) {
				pool.Others += units.Bytes(held(m, pool.Pool))
			}
		}
	}
	if ram := s.Memory.MemTotal; pool.Pool == GTT && ram != nil && pool.Size > units.Bytes(*ram) {
		pool.Broken = fmt.Sprintf("ttm.pages_limit lets the GPU map %s, and this host has %s of RAM beside the %s that the BIOS "+
			"carved out: a tier would freeze it; take ttm.pages_limit off the kernel's command line, see `tierctl doctor`",
			pool.Size, units.Bytes(*ram), carvedOut(g))
	}
	return pool
}

// GPUTotal is what HIP calls the size of the GPU's memory, of which vLLM takes its shares: KFD's memory bank. 0: not known.
func GPUTotal(s rocm.Snapshot, choice string) units.Bytes {
	g, _ := s.TierGPU(choice)
	switch {
	case g == nil:
		return 0
	case g.KFD != nil && g.KFD.Bank != nil:
		return units.Bytes(*g.KFD.Bank)
	case g.PoolSize != nil:
		return units.Bytes(*g.PoolSize)
	}
	return 0
}

// Carved is what was carved out of the RAM for models on the GPU; 0 when they go into the RAM.
func Carved(s rocm.Snapshot, choice string) units.Bytes {
	if g := GPUOf(s, choice); g != nil && g.Pool == VRAM {
		return g.Size
	}
	return 0
}

// Held is what a unit holds of that pool of a snapshot's GPU.
func Held(s rocm.Snapshot, choice, unit string) units.Bytes {
	g, _ := s.TierGPU(choice)
	if g == nil {
		return 0
	}
	var sum uint64
	for _, c := range s.Clients {
		for _, m := range c.Memory {
			if c.Unit == unit && m.PCI == g.PCI {
				sum += held(m, string(g.Pool))
			}
		}
	}
	return units.Bytes(sum)
}

// IsTier tells a unit of a tier by its name.
func IsTier(unit string) bool {
	return strings.HasPrefix(unit, "tier-") && strings.HasSuffix(unit, ".service") && unit != "tier-gateway.service" && unit != "tier-guard.service"
}

func held(m rocm.ClientMemory, pool string) uint64 {
	if pool == GTT {
		return m.GTT
	}
	return m.VRAM
}

func carvedOut(g *rocm.GPU) units.Bytes {
	if g.VRAMTotal == nil {
		return 0
	}
	return units.Bytes(*g.VRAMTotal)
}
