package agent

import (
	"slices"
	"strings"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/budget"
	"github.com/tierd/tierd/units"
)

// claims lists what units hold. A unit that systemd is starting counts from the moment that its shim was let in: two that
// start together must not refuse each other. pool is where the GPU has its memory.
func (a *Agent) claims(r room, pool string) []budget.Claim {
	var list []budget.Claim
	for name := range a.known() {
		s := a.seen[name]
		_, admitted := a.admitted[name]
		if !admitted && (!running(s) || s.ActiveState == "activating") {
			continue
		}
		list = append(list, a.claim(name, r, pool))
	}
	slices.SortFunc(list, func(x, y budget.Claim) int { return strings.Compare(x.Unit, y.Unit) })
	return list
}

func (a *Agent) claim(name string, r room, pool string) budget.Claim {
	u, s := a.unit(name), a.seen[name]
	charge := a.chargeOf(name)
	c := budget.Claim{
		Unit: name, Tier: a.tierOf(name), Need: budget.Of(charge, pool), Phase: a.phase(name),
		Priority: u.Priority, Reload: charge.Weights,
	}
	c.Taken = taken(c, charge, r.held)
	if c.Phase == budget.Loading && c.Need.GPU > 0 { // what is in no cgroup; an old look shows less, which is safe
		c.Taken = min(c.Need.RAM, c.Taken+a.gttOf(name, pool))
	}
	use := a.use[c.Tier]
	c.Busy = use.busy(a.gateway, a.started)
	if s.ActiveState == "active" {
		c.Resident = time.Since(s.Since)
		c.Idle = c.Resident
		if !use.ended.IsZero() {
			c.Idle = min(c.Idle, time.Since(use.ended))
		}
	}
	if a.plan != nil {
		if t, ok := a.plan.Config.Tier(c.Tier); ok {
			c.Pinned, c.Keeps = t.Pinned, t.Keeps
		}
	}
	return c
}

// taken is what of a claim MemAvailable lacks already. A tier that is ready has taken all of it, apart from mapped weights,
// which the kernel counts as available; of one that loads, or will again, only as much is believed as its cgroup shows.
func taken(c budget.Claim, charge units.Charge, held map[string]units.Bytes) units.Bytes {
	shown, known := held[c.Unit]
	loads := c.Phase == budget.Loading || c.Phase == budget.Retrying
	switch {
	case known && (loads || c.Need.GPU == 0): // GPU memory is in no cgroup
		return min(shown, c.Need.RAM)
	case loads:
		return 0
	}
	return c.Need.RAM - min(charge.Mapped, c.Need.RAM)
}

// gttOf is what a unit was last seen to hold of the RAM by way of the GPU.
func (a *Agent) gttOf(unit, pool string) units.Bytes {
	if pool != budget.GTT {
		return 0
	}
	return budget.Held(a.gpu.snapshot, "", unit)
}

// chargeOf is a unit's charge: that of the plan, with what was learned since, unless another definition runs.
func (a *Agent) chargeOf(name string) units.Charge {
	u, s := a.unit(name), a.seen[name]
	if u.Name != "" && (!running(s) || s.Hash == u.Hash) || s.Memory == 0 {
		return u.Charge
	}
	old := units.Charge{Written: s.Memory, Mapped: min(u.Charge.Mapped, s.Memory)}
	if a.onGPU(name) {
		old.Device = s.Memory
	}
	return old
}

// onGPU tells whether a unit may open the GPU; of one that is in no tiers.toml its slice says so.
func (a *Agent) onGPU(name string) bool {
	u := a.unit(name)
	return u.GPU || u.Name == "" && a.seen[name].Slice == gpuSlice
}

func (a *Agent) phase(name string) budget.Phase {
	s := a.seen[name]
	_, giving := a.giving[name]
	switch {
	case giving || s.ActiveState == "deactivating" || a.drains[name] != nil:
		return budget.Ending
	case a.states[name].State == api.Ready:
		return budget.Ready
	case strings.HasPrefix(s.SubState, "auto-restart"), s.SubState == "failed-before-auto-restart":
		return budget.Retrying
	}
	return budget.Loading
}

// use is what the gateway said of the requests of a tier.
type use struct {
	inFlight int
	ended    time.Time // of the last request; zero: none was seen
}

// unheardOf is how long after its own start tierd waits for the gateway to say what is in flight.
const unheardOf = 5 * time.Second

// busy tells whether requests are in flight. As long as a gateway may be about to tell, a tier counts as busy; without
// one there are no requests.
func (u use) busy(g gatewayState, started time.Time) bool {
	if g.reported.IsZero() {
		return time.Since(started) < unheardOf
	}
	return u.inFlight > 0 && g.connected(time.Now())
}

// noteUse takes in what a report says of requests. Who waits for a tier to be idle is judged again.
func (a *Agent) noteUse(r api.GatewayReport) {
	now := time.Now()
	a.gateway.reported = now
	for _, tier := range a.tierNames() {
		u := a.use[tier]
		was := u.inFlight
		u.inFlight = r.InFlight[tier]
		if idle, said := r.Idle[tier]; said {
			u.ended = now.Add(-time.Duration(idle * float64(time.Second)))
		} else if was > 0 && u.inFlight == 0 {
			u.ended = now
		}
		a.use[tier] = u
	}
	a.judge()
}
