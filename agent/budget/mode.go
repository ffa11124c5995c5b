package budget

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/tierd/tierd/rocm"
	"github.com/tierd/tierd/units"
)

// HostOf is what there is to share out of a host, as a snapshot shows it; choice is the PCI address of the GPU, "" for the
// best.
func HostOf(s rocm.Snapshot, c units.HostConfig, choice string) Host {
	return HostWith(s.Memory, c, GPUOf(s, choice))
}

// HostWith is the same of what is known apart: memory is read more often than the rest.
func HostWith(m rocm.Memory, c units.HostConfig, gpu *GPU) Host {
	return Host{RAM: amount(m.MemTotal), Free: amount(m.Free()), Reserve: c.Reserve, KeepFree: c.KeepFreeOf(), GPU: gpu}
}

func amount(n *uint64) *units.Bytes {
	if n == nil {
		return nil
	}
	b := units.Bytes(*n)
	return &b
}

// ClaimOf is a unit as it will be once it is ready.
func ClaimOf(u units.Unit, pool string) Claim {
	need := Of(u.Charge, pool)
	return Claim{Unit: u.Name, Tier: u.Tier, Need: need, Taken: need.RAM, Phase: Ready, Priority: u.Priority, Reload: u.Charge.Weights}
}

// Mode is a set of units summed up before any of them is stopped or started.
type Mode struct {
	Sums    Sums              // of those that start, the highest priority first; it does not fit when those that have to start do not
	Left    map[string]string // by unit, of those that start on demand and find no room: why, one sentence
	GiveWay []string          // when it does not fit: the cheapest tiers without which it would, if any
	named   []string          // its units in the order of the mode
}

// OfMode sums a mode up. Tiers that start with the machine or by hand have to fit together, or the mode does not fit as a
// whole. One that starts on demand stays on demand when it does not fit beside them. What is free just now does not count,
// since what runs outside the mode will have stopped.
func OfMode(h Host, want []units.Unit) Mode {
	h.Free = nil
	var held, demand []Claim
	for _, u := range ByPriority(want) {
		if c := ClaimOf(u, h.Pool()); u.Start == units.StartDemand {
			demand = append(demand, c)
		} else {
			held = append(held, c)
		}
	}
	m := Mode{Sums: Add(h, held), Left: map[string]string{}}
	for _, u := range want {
		m.named = append(m.named, u.Name)
	}
	if !m.Fits() {
		v := Judge(h, Ask{Unit: held[0].Unit, Tier: held[0].Tier, Need: held[0].Need}, held[1:])
		m.GiveWay = Tiers(v.Victims, held)
		return m
	}
	for _, c := range demand {
		v := Judge(h, Ask{Unit: c.Unit, Tier: c.Tier, Need: c.Need}, held)
		if v.Answer != Yes {
			m.Left[c.Unit] = onDemand(c, v, Add(h, held))
			continue
		}
		held = append(held, c)
	}
	m.Sums = Add(h, held)
	return m
}

// Fits tells whether what has to start fits. A mode without such tiers does, whatever else the host holds.
func (m Mode) Fits() bool { return len(m.Sums.Claims) == 0 || m.Sums.Fits() }

// onDemand says why a tier of a mode is not started with it.
func onDemand(c Claim, v Verdict, others Sums) string {
	text := fmt.Sprintf("%s stays on demand: it needs %s", c.Tier, c.Need.RAM)
	if free := others.Room(); free != nil && v.Sums.OverRAM() > 0 {
		text += fmt.Sprintf(" and %s is free", *free)
	} else {
		text += ", and " + v.Sums.Words()
	}
	if v.Answer == IfWay {
		text += "; it needs the room of " + strings.Join(Tiers(v.Victims, others.Claims), " and ")
	}
	return text
}

// Tiers are the tiers of those claims whose units are named, in the order of the claims.
func Tiers(units []string, claims []Claim) []string {
	var tiers []string
	for _, c := range claims {
		if slices.Contains(units, c.Unit) {
			tiers = append(tiers, c.Tier)
		}
	}
	return tiers
}

// ByPriority is the list with the highest priority first, else in the same order.
func ByPriority(list []units.Unit) []units.Unit {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(x, y units.Unit) int { return cmp.Compare(y.Priority, x.Priority) })
	return list
}
