package agent

import (
	"cmp"
	"reflect"
	"slices"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

// What the gateway's table says while no tiers.toml could be used.
const (
	defaultListen = "127.0.0.1"
	defaultPort   = 8000
	defaultDrain  = 30 * time.Second
)

// publish gives the gateway a new table when it differs from the last, and tells when the gateway comes or goes.
func (a *Agent) publish() {
	t := a.makeTable()
	t.Seq = a.table.Seq
	if !reflect.DeepEqual(t, a.table) {
		t.Seq++
		a.table = t
		close(a.tableNew)
		a.tableNew = make(chan struct{})
	}
	if there := a.gateway.connected(time.Now()); there != a.gatewayKnown {
		a.gatewayKnown = there
		text := "the gateway is connected"
		if !there {
			text = "the gateway is gone"
		}
		a.opts.Log.Info(text)
		a.events.add(api.Event{Kind: "gateway", Text: text})
	}
}

func (a *Agent) makeTable() api.Table {
	t := api.Table{Listen: defaultListen, Port: defaultPort, NoConfig: true}
	if a.plan != nil {
		t = accessOf(a.plan.Config.Gateway)
	}
	for _, tier := range a.tierNames() {
		t.Routes = append(t.Routes, a.route(tier))
		t.Leaving = append(t.Leaving, a.leavingOf(tier)...)
	}
	return t
}

// tierNames lists the tiers in the order of the file; those that are only running follow by name.
func (a *Agent) tierNames() []string {
	var names []string
	if a.plan != nil {
		for _, t := range a.plan.Config.Tiers {
			names = append(names, t.Name)
		}
	}
	var others []string
	for name, s := range a.seen {
		if s.Tier != "" && (running(s) || a.plan == nil) && !slices.Contains(names, s.Tier) && !slices.Contains(others, s.Tier) && a.states[name].State != "" {
			others = append(others, s.Tier)
		}
	}
	slices.Sort(others)
	return append(names, others...)
}

func (a *Agent) route(tier string) api.Route {
	name := a.shownUnit(tier)
	next := a.coming(tier)
	comes := next != "" && !up(a.states[name].State)
	if comes {
		name = next
	}
	r := a.routeOf(tier, name)
	if comes {
		r.State, r.Reason = api.Starting, ""
	}
	if r.ReadyBy.IsZero() && up(r.State) && r.State != api.Ready {
		r.ReadyBy, _ = a.comesBy(tier)
	}
	return r
}

func (a *Agent) routeOf(tier, name string) api.Route {
	u, s, v := a.unit(name), a.seen[name], a.states[name]
	r := api.Route{
		Tier: tier, Port: u.Port, State: v.State, Reason: v.Reason, Unit: name, Variant: cmp.Or(u.Variant, s.Variant),
		Engine: u.Engine, Model: u.Model, Served: u.Served, Socket: cmp.Or(u.Socket, socketOf(name)), Context: u.Context,
		Drain: a.drainLimit(name).Seconds(),
	}
	if r.Port == 0 {
		r.Port = s.Port
	}
	if v.State == api.Starting && v.Reason == "" {
		r.Status = s.StatusText
	}
	r.ReadyBy, _ = a.readyBy(name)
	if a.plan != nil {
		t, _ := a.plan.Config.Tier(tier)
		r.Role = t.Role
		setPassage(&r, a.plan.Config)
	} else {
		setPassage(&r, nil)
	}
	for _, n := range []string{tier, r.Role, u.Model, tier + "/" + r.Variant, u.Served} {
		if n != "" && !slices.Contains(r.Names, n) {
			r.Names = append(r.Names, n)
		}
	}
	r.Adapters = u.AdapterNames()
	r.Others = a.otherNames(tier, slices.Concat(r.Names, r.Adapters))
	return r
}

// socketOf is where the engine of a unit listens; it is the same for every definition of that unit.
func socketOf(unit string) string {
	return "/run/tier/" + unit[:max(0, len(unit)-len(".service"))] + "/engine.sock"
}

// shownUnit is the unit that stands for a tier: the one that is up, else one that failed since the tier was up last, else the
// one that a start without a variant means.
func (a *Agent) shownUnit(tier string) string {
	best, rank := "", -1
	var since time.Time
	preferred, up := a.preferred(tier).Name, a.chosen.Tiers[tier].Ready
	consider := func(name string) {
		r := shownRank(a.states[name].State)
		at := a.seen[name].Since
		if r == failedRank && name != preferred && at.Before(up) {
			r = 0 // old news
		}
		if r == 0 && name == preferred {
			r = 1
		}
		if r > rank || r == rank && r > 1 && at.After(since) {
			best, rank, since = name, r, at
		}
	}
	if a.plan != nil {
		for _, u := range a.plan.Units {
			if u.Tier == tier {
				consider(u.Name)
			}
		}
	}
	var others []string
	for name, s := range a.seen {
		if s.Tier == tier && a.unit(name).Name == "" {
			others = append(others, name)
		}
	}
	slices.Sort(others)
	for _, name := range others {
		consider(name)
	}
	return best
}

const failedRank = 2

func shownRank(s api.State) int {
	switch s {
	case api.Ready:
		return 6
	case api.Starting:
		return 5
	case api.Draining:
		return 4
	case api.Stopping:
		return 3
	case api.Failed:
		return failedRank
	}
	return 0
}

// tierOf is the tier of a unit, planned or only loaded.
func (a *Agent) tierOf(unit string) string { return cmp.Or(a.unit(unit).Tier, a.seen[unit].Tier) }

// memoryOf is a unit's charge: that of the definition that runs, else of the planned one.
func (a *Agent) memoryOf(u units.Unit, s UnitStatus) units.Bytes {
	if running(s) && s.Memory > 0 && s.Hash != u.Hash || u.Name == "" {
		return s.Memory
	}
	return u.Memory
}
