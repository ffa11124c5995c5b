package main

import (
	"context"
	"os"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/bench"
	"github.com/tierd/tierd/rocm"
	"github.com/tierd/tierd/units"
)

// subject is a tier with what its files say of its model.
func (r *benchRun) subject(f *benchFacts, t api.Tier) bench.Subject {
	s := bench.Subject{
		Tier:   bench.Tier{Tier: t.Name, Variant: t.Variant, Engine: t.Engine, Model: t.Model, Context: t.Context},
		Client: bench.Client{Base: f.gateway.URL(t.Port), Model: t.Name, Engine: t.Engine, Key: os.Getenv("TIERD_KEY")},
	}
	u, ok := f.unit(t)
	if !ok {
		s.Tier.Notes = append(s.Tier.Notes, "no bound: "+f.why)
		return s
	}
	s.Limit = f.limit(t)
	s.Tier.Bandwidth = r.bandwidth(f.snapshot, u.GPU)
	if t.RestartPending {
		s.Tier.Notes = append(s.Tier.Notes, "no bound: it runs with another configuration than tiers.toml has now")
		return s
	}
	if !u.Reads.Known() {
		s.Tier.Notes = append(s.Tier.Notes, "no bound: what a token reads of its model is not known")
		return s
	}
	s.Cost = bench.Cost{Weights: uint64(u.Reads.Weights), KV: func(depth int) uint64 { return uint64(u.Reads.KV(depth)) }}
	s.Tier.Weights, s.Tier.Experts, s.Tier.Used = uint64(u.Reads.Weights), u.Reads.Experts, u.Reads.Used
	if s.Tier.Bandwidth == nil {
		s.Tier.Notes = append(s.Tier.Notes, "no bound: the bandwidth of the memory that it is in is not known; --bandwidth tells it")
	}
	return s
}

// benchFacts is what is known of the tiers without asking them.
type benchFacts struct {
	plan     *units.Plan // nil: not known
	why      string      // then
	snapshot rocm.Snapshot
	gateway  units.Gateway
}

// look reads the configuration and the models' files, as the user may.
func (r *benchRun) look(ctx context.Context, status api.Status) *benchFacts {
	f := &benchFacts{gateway: units.Gateway{Listen: "127.0.0.1"}, why: "tiers.toml cannot be read"}
	if h, err := openHost("/"); err == nil {
		f.snapshot = h.reader.Snapshot(ctx)
		plan, _, err := planFile(status.ConfigPath, h.units(ctx, f.snapshot))
		if f.plan = plan; err != nil {
			f.why = err.Error()
		}
	}
	if s, err := r.app.daemonSnapshot(ctx); err == nil {
		f.snapshot = s
	}
	if f.plan != nil {
		f.gateway = f.plan.Config.Gateway
	}
	return f
}

func (f *benchFacts) unit(t api.Tier) (units.Unit, bool) {
	if f.plan == nil {
		return units.Unit{}, false
	}
	u, ok := f.plan.Variant(t.Name, t.Variant)
	if !ok || u.Model != t.Model {
		f.why = "tiers.toml does not have what is up"
		return u, false
	}
	return u, true
}

// limit is how many requests the gateway lets through at a time; 0: no limit.
func (f *benchFacts) limit(t api.Tier) int {
	for _, tier := range f.plan.Config.Tiers {
		if v, ok := tier.Variant(t.Variant); tier.Name == t.Name && ok {
			return f.plan.Config.ConcurrencyOf(tier, v)
		}
	}
	return 0
}
