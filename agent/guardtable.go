package agent

import (
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/budget"
	"github.com/tierd/tierd/agent/guard"
	"github.com/tierd/tierd/units"
)

// orderGuard has the guard told what is different, and says when time alone will make a difference. Without a guard nothing is
// worked out, and while systemd does not answer what was told last stays.
func (a *Agent) orderGuard() (next time.Time) {
	if a.guard.link == nil || a.plan == nil || a.observations == 0 || a.systemdErr != nil {
		return time.Time{}
	}
	t := a.guardTable()
	if t.Seq = a.guard.table.Seq; !reflect.DeepEqual(t, a.guard.table) {
		t.Seq++
		a.guard.table = t
		a.guard.wake()
	}
	return a.nobodyAsks()
}

// nobodyAsks is when it will be known that no request is in flight since there is no gateway; zero while one is there, or that is
// known already.
func (a *Agent) nobodyAsks() time.Time {
	g := a.gateway
	if g.polls > 0 {
		return time.Time{}
	}
	at := a.started.Add(unheardOf)
	if gone := g.last.Add(gatewayGrace); !g.last.IsZero() && gone.After(at) {
		at = gone
	}
	if !at.After(time.Now()) {
		return time.Time{}
	}
	return at
}

// guardLines are the lines of available memory as tiers.toml has them.
func guardLines(c *units.Config) guard.Lines {
	return guard.KeepFreeLines(uint64(c.SoftOf()), 0, uint64(c.HardOf()))
}

// guardTable is all that the guard is to know.
func (a *Agent) guardTable() api.GuardTable {
	c := a.plan.Config
	lines := guardLines(c)
	t := api.GuardTable{
		Refuse: lines.Refuse, Soft: lines.Soft, Hard: lines.Hard, Emergency: lines.Emergency,
		FillRate: uint64(c.Guard.FillRate), DryRun: c.Guard.DryRun || !c.Guard.Enabled, Tiers: []api.GuardTier{},
	}
	before := map[string]api.GuardTier{}
	for _, g := range a.guard.table.Tiers {
		before[g.Unit] = g
	}
	for name := range a.known() {
		if a.inMemory(name) {
			t.Tiers = append(t.Tiers, steady(a.guardTier(name), before[name]))
		}
	}
	slices.SortFunc(t.Tiers, func(x, y api.GuardTier) int { return strings.Compare(x.Unit, y.Unit) })
	t.Tiers = t.Tiers[:min(len(t.Tiers), guard.MaxTiers)]
	return t
}

// inMemory tells whether a unit has processes whose end gives memory back. One whose shim still waits to be let in has not, and
// would only be started again by whoever asked for it.
func (a *Agent) inMemory(name string) bool {
	s := a.seen[name]
	if s.Tier == "" || !running(s) || a.phase(name) == budget.Retrying {
		return false
	}
	_, admitted := a.admitted[name]
	return admitted || s.ActiveState != "activating"
}

func (a *Agent) guardTier(name string) api.GuardTier {
	u, s, tier := a.unit(name), a.seen[name], a.tierOf(name)
	g := api.GuardTier{
		Tier: tier, Unit: name, Cgroup: units.ControlGroup(name, a.onGPU(name)), MainPID: s.MainPID, Priority: u.Priority,
		Charge: uint64(budget.Of(a.chargeOf(name), a.poolName()).RAM), GPU: a.onGPU(name),
		Loading: s.ActiveState == "activating", Ending: a.phase(name) == budget.Ending,
	}
	if t, ok := a.plan.Config.Tier(tier); ok {
		g.Pinned, g.Demand = t.Pinned, t.Start == units.StartDemand
	}
	if !g.Loading {
		g.Busy, g.IdleSince = a.guardUse(name, tier)
	}
	return g
}

// poolName is where the GPU has its memory, "" when there is none.
func (a *Agent) poolName() string { return budget.Host{GPU: a.poolNow()}.Pool() }

// guardUse is whether a unit that is up has requests, and since when it has none. Without a gateway there are none: it alone may
// connect to engines. One that has just come and not said anything yet may have any, and so may one that has yet to notice that
// tierd is back.
func (a *Agent) guardUse(name, tier string) (busy bool, since time.Time) {
	g, now, u := a.gateway, time.Now(), a.use[tier]
	since = a.seen[name].Since
	later := func(at time.Time) {
		if at.After(since) {
			since = at
		}
	}
	switch {
	case !g.connected(now) && now.Sub(a.started) < unheardOf:
		return true, time.Time{}
	case !g.connected(now):
		later(g.last)
		return false, since
	case g.reported.IsZero() || g.reported.Before(g.since):
		return true, time.Time{}
	case a.wishes[tier] != nil, name == a.shownUnit(tier) && u.inFlight > 0, a.gateway.report.Leaving[name] > 0:
		return true, time.Time{}
	}
	if u.ended.IsZero() {
		later(g.since)
	}
	later(u.ended)
	return false, since
}

// steady takes a time over that differs from the one before by less than a second: each report of the gateway's counts anew from
// when it was sent.
func steady(g, before api.GuardTier) api.GuardTier {
	if d := g.IdleSince.Sub(before.IdleSince); !before.IdleSince.IsZero() && d.Abs() < time.Second {
		g.IdleSince = before.IdleSince
	}
	return g
}
