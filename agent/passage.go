package agent

import (
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

// defaultHold is what the table says while no tiers.toml could be used.
const defaultHold = 4 * time.Minute

// setPassage tells the gateway how it lets requests through to the variant that a route is for.
func setPassage(r *api.Route, c *units.Config) {
	r.Hold = defaultHold.Seconds()
	if c == nil {
		return
	}
	t, known := c.Tier(r.Tier)
	r.Hold = c.HoldOf(t).Seconds()
	v, named := t.Variant(r.Variant)
	if !known || !named {
		return // it runs on though the file has it no longer: whatever it takes
	}
	r.Keepalive, r.Concurrency = t.Alive, c.ConcurrencyOf(t, v)
	if e, _ := c.Engine(v.Engine); e.Kind != units.KindRemote {
		r.Parallel = v.Parallel
	}
}
