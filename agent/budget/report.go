package budget

import (
	"cmp"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

// Planned is the phase, in a report, of a unit that is not up.
const Planned Phase = "planned"

// Report is a sum as it goes over the socket. unit tells of which variant a unit is and what its charge consists of; nil:
// nobody knows.
func (s Sums) Report(unit func(name string) units.Unit) *api.Budget {
	b := &api.Budget{
		RAM:     api.Pool{Name: "ram", Size: plain(s.Host.RAM), Promised: uint64(s.RAM)},
		Reserve: uint64(s.Host.Reserve), KeepFree: uint64(s.Host.KeepFree), Free: plain(s.Host.Free), Pending: uint64(s.Promised),
		Tiers: []api.Share{}, Fits: s.Fits(), Words: s.Words(),
	}
	if g := s.Host.GPU; g != nil {
		size := uint64(g.Size)
		b.GPU = &api.Pool{Name: g.Pool, Size: &size, Promised: uint64(s.GPU), Others: uint64(g.Others), Leaked: uint64(g.Leaked), Broken: g.Broken}
	}
	for _, c := range s.Claims {
		share := api.Share{Tier: c.Tier, Unit: c.Unit, Phase: string(c.Phase),
			RAM: uint64(c.Need.RAM), GPU: uint64(c.Need.GPU), Taken: uint64(c.Taken)}
		if unit != nil {
			u := unit(c.Unit)
			share.Variant, share.Charge = u.Variant, report(u.Charge)
		}
		b.Tiers = append(b.Tiers, share)
	}
	return b
}

// Report is a mode as it would be; what stays on demand is said when nothing else has to be. free is what is free now,
// which is told and not summed up.
func (m Mode) Report(name string, free *units.Bytes, unit func(name string) units.Unit) *api.Budget {
	b := m.Sums.Report(unit)
	for i := range b.Tiers {
		b.Tiers[i].Phase, b.Tiers[i].Taken = string(Planned), 0
	}
	b.Mode, b.Pending, b.Free, b.GiveWay = name, 0, plain(free), m.GiveWay
	b.Fits = m.Fits()
	if !b.Fits {
		b.Words = m.Refusal(name)
	}
	for _, unit := range m.named {
		b.Words = cmp.Or(b.Words, m.Left[unit])
	}
	return b
}

// Refusal says why a mode does not fit, in one sentence.
func (m Mode) Refusal(name string) string { return "mode " + name + " does not fit: " + m.Sums.Words() }

func report(c units.Charge) api.Charge {
	return api.Charge{
		Weights: uint64(c.Weights), KV: uint64(c.KV), Overhead: uint64(c.Overhead), Host: uint64(c.Host), Mapped: uint64(c.Mapped),
		Measured: uint64(c.Measured), Written: uint64(c.Written), Text: c.String(),
	}
}

// plain is an amount without its type, for JSON.
func plain(b *units.Bytes) *uint64 {
	if b == nil {
		return nil
	}
	n := uint64(*b)
	return &n
}
