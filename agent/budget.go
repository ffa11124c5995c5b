package agent

import (
	"context"
	"slices"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/budget"
	"github.com/tierd/tierd/units"
)

// planned is the phase, in a Budget, of a unit that is not up.
const planned budget.Phase = "planned"

// Budget tells who holds what, or would if a mode were up. Nothing is changed.
func (a *Agent) Budget(ctx context.Context, mode string) (api.Budget, error) {
	r, err := a.look(ctx)
	if err != nil {
		return api.Budget{}, err
	}
	return inLoop(ctx, a, func() (api.Budget, error) {
		h := a.host(r)
		if mode == "" {
			return *a.explain(budget.Add(h, a.claims(r))), nil
		}
		want, name, err := a.members(api.StackRequest{Mode: mode})
		if err != nil {
			return api.Budget{}, err
		}
		return a.whatIf(name, want, h), nil
	})
}

// whatIf sums a mode up, without those that would stay on demand.
func (a *Agent) whatIf(mode string, want []units.Unit, h budget.Host) api.Budget {
	left, refused := leaveOut(mode, want, h)
	live := h.Free
	h.Free = nil // what runs now is not what would
	var claims []budget.Claim
	for _, u := range want {
		if u.Blocked == "" && left[u.Name] == "" {
			c := claimOf(u, h.Pool())
			c.Phase, c.Taken = planned, 0
			claims = append(claims, c)
		}
	}
	b := a.explain(budget.Add(h, claims))
	b.Mode, b.Pending, b.Free = mode, 0, plain(live)
	if refused != nil {
		b.Words = refused.Message
	}
	for _, u := range want {
		if why := left[u.Name]; why != "" && b.Words == "" {
			b.Words = why
		}
	}
	return *b
}

// explain is inAPI with what the loop knows of the units.
func (a *Agent) explain(s budget.Sums) *api.Budget {
	b := inAPI(s)
	for i := range b.Tiers {
		share := &b.Tiers[i]
		share.Variant = a.unit(share.Unit).Variant
		share.Charge = chargeInAPI(a.chargeOf(share.Unit))
	}
	return b
}

// inAPI is a sum as it goes over the socket.
func inAPI(s budget.Sums) *api.Budget {
	b := &api.Budget{
		RAM:     api.Pool{Name: "ram", Size: plain(s.Host.RAM), Promised: uint64(s.RAM)},
		Reserve: uint64(s.Host.Reserve), KeepFree: uint64(s.Host.KeepFree), Free: plain(s.Host.Free), Pending: uint64(s.Promised),
		Tiers: []api.Share{}, Fits: s.Fits(), Words: s.Words(),
	}
	if g := s.Host.GPU; g != nil {
		size := uint64(g.Size)
		b.GPU = &api.Pool{Name: g.Pool, Size: &size, Promised: uint64(s.GPU), Others: uint64(g.Others), Leaked: uint64(g.Leaked)}
	}
	for _, c := range s.Claims {
		b.Tiers = append(b.Tiers, api.Share{Tier: c.Tier, Unit: c.Unit, Phase: string(c.Phase),
			RAM: uint64(c.Need.RAM), GPU: uint64(c.Need.GPU), Taken: uint64(c.Taken)})
	}
	return b
}

func chargeInAPI(c units.Charge) api.Charge {
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

// refusal is why a unit was not let in the last time, nil when it was.
func (a *Agent) refusal(unit string) *api.Budget {
	v, refused := a.refusals[unit]
	if !refused {
		return nil
	}
	b := a.explain(v.Sums)
	b.GiveWay = slices.Clone(tiersOf(v.Victims, v.Sums.Claims))
	return b
}
