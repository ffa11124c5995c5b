package opencode

import (
	"cmp"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

// Tiers are those of tiers.toml as they are now: with the variant that is up where tierd tells (st is nil when it does not), and
// with the context that running engines serve, from Ask.
func Tiers(c *units.Config, st *api.Status, live map[string]Live) []Tier {
	now := map[string]api.Tier{}
	if st != nil {
		for _, t := range st.Tiers {
			now[t.Name] = t
		}
	}
	tiers := make([]Tier, 0, len(c.Tiers))
	for _, t := range c.Tiers {
		tiers = append(tiers, newTier(c, t, now[t.Name]).serving(live[t.Name]))
	}
	return tiers
}

// newTier goes by the variant that is up, else by the one that would be started. A variant that tiers.toml no longer has is still
// served until the next restart, and the file tells what will be.
func newTier(c *units.Config, t units.Tier, now api.Tier) Tier {
	v, ok := t.Variant(now.Variant)
	if !ok {
		v, _ = t.Variant("")
	}
	e, _ := c.Engine(v.Engine)
	as := Tier{
		Name: t.Name, Role: t.Role, Port: t.Port, Start: t.Start, Engine: e.Kind, Model: v.Model, Variant: v.Name,
		Ready: ok && now.State == api.Ready, Context: int(v.Context), Wish: int(v.Context), Output: int(t.Output), Memory: uint64(v.Memory),
		Tools: e.Kind != units.KindVLLM || v.Tools != "", Leaves: e.Kind == units.KindRemote,
		Hold: c.HoldOf(t), Silence: v.StallTimeout,
	}
	if ok && now.Memory > 0 {
		as.Memory = now.Memory
	}
	if ok && now.State == api.Blocked {
		as.Blocked = cmp.Or(now.Reason, "it is blocked")
	}
	as.PortLost = now.PortError
	if !as.Leaves { // another server's load is not ours to wait for, and nobody knows what it works on at the same time
		as.Load, as.Parallel = v.LoadTimeout, v.Parallel
	}
	as.Cloud = cloud(c, t)
	return as
}

// cloud is the first variant by which requests leave the machine, where others keep them here.
func cloud(c *units.Config, t units.Tier) string {
	var away string
	stays := false
	for _, v := range t.Variants {
		switch e, _ := c.Engine(v.Engine); {
		case e.Kind != units.KindRemote:
			stays = true
		case away == "":
			away = v.Name
		}
	}
	if !stays {
		return ""
	}
	return away
}

// serving takes over what the engine told. It may serve less than tiers.toml wishes, since a model can have no more; where it
// would take more in one request than was meant for one, that is at the cost of the others.
func (t Tier) serving(l Live) Tier {
	if l.Context > 0 {
		t.Live, t.Context = true, min(t.Wish, l.Context)
	}
	if l.Parallel > 0 {
		t.Parallel = l.Parallel
	}
	return t
}

// OptionsFor is how a client on this machine reaches the gateway of this configuration; what the user chooses is left as it is.
func OptionsFor(c *units.Config) Options {
	g := c.Gateway
	return Options{Address: g.Reach(), Port: g.Port, Keys: len(g.Keys) > 0 && !g.OpenLoopback}
}
