package gateway

import (
	"strings"

	"github.com/tierd/tierd/agent/api"
)

// shownBudget is the memory as the page draws it: one bar for each kind.
type shownBudget struct {
	Bars     []bar   `json:"bars"`
	Free     *uint64 `json:"free,omitempty"`    // of the RAM, now
	Pending  uint64  `json:"pending,omitempty"` // of Free, promised to tiers that have not taken it yet
	KeepFree uint64  `json:"keep_free"`         // has to stay free after a load
	Words    string  `json:"words,omitempty"`   // the sum that does not hold
}

// bar is one kind of memory. Its parts follow each other and together are the whole bar: Size, or more when more than
// that was promised. "left" is neither promised nor kept nor held by others.
type bar struct {
	Name   string  `json:"name"`             // "RAM", "GTT", "VRAM"
	Size   *uint64 `json:"size,omitempty"`   // not there where it is not known
	Over   uint64  `json:"over,omitempty"`   // by how much the parts exceed Size
	Broken string  `json:"broken,omitempty"` // why nothing may be loaded there
	Parts  []part  `json:"parts"`
}

// part is what somebody holds of a bar.
type part struct {
	Kind  string `json:"kind"` // "tier", "reserve", "others", "leaked" or "left"
	Tier  string `json:"tier,omitempty"`
	Unit  string `json:"unit,omitempty"`  // of a tier, which in a switch may have two
	Phase string `json:"phase,omitempty"` // of a tier: "loading", "retrying", "ready", "ending"
	Bytes uint64 `json:"bytes"`
}

// newShownBudget counts as `tierctl budget` does: the reserve is RAM, and what leaked of the GTT is RAM as well.
func newShownBudget(b *api.Budget) *shownBudget {
	s := &shownBudget{Free: b.Free, Pending: b.Pending, KeepFree: b.KeepFree}
	if !b.Fits {
		s.Words = b.Words
	}
	ram := newBar(b.RAM, b.Tiers, func(s api.Share) uint64 { return s.RAM })
	ram.add(part{Kind: "reserve", Bytes: b.Reserve})
	if b.GPU != nil && b.GPU.Name == "gtt" {
		ram.add(part{Kind: "leaked", Bytes: b.GPU.Leaked})
	}
	ram.close()
	s.Bars = []bar{ram}
	if b.GPU != nil {
		gpu := newBar(*b.GPU, b.Tiers, func(s api.Share) uint64 { return s.GPU })
		gpu.add(part{Kind: "others", Bytes: b.GPU.Others})
		gpu.add(part{Kind: "leaked", Bytes: b.GPU.Leaked})
		gpu.close()
		s.Bars = append(s.Bars, gpu)
	}
	return s
}

func newBar(p api.Pool, shares []api.Share, of func(api.Share) uint64) bar {
	b := bar{Name: strings.ToUpper(p.Name), Size: p.Size, Broken: p.Broken, Parts: []part{}}
	for _, s := range shares {
		b.add(part{Kind: "tier", Tier: s.Tier, Unit: s.Unit, Phase: s.Phase, Bytes: of(s)})
	}
	return b
}

func (b *bar) add(p part) {
	if p.Bytes > 0 {
		b.Parts = append(b.Parts, p)
	}
}

// close adds what is left, or notes what is too much.
func (b *bar) close() {
	var sum uint64
	for _, p := range b.Parts {
		sum += p.Bytes
	}
	switch {
	case b.Size == nil:
	case sum > *b.Size:
		b.Over = sum - *b.Size
	default:
		b.add(part{Kind: "left", Bytes: *b.Size - sum})
	}
}
