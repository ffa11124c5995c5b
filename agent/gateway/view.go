package gateway

import (
	"slices"

	"github.com/tierd/tierd/agent/api"
)

// view is a table with its look-ups. It is never changed.
type view struct {
	table  api.Table
	access access
	keys   keyring
	byPort map[int]*api.Route
	byTier map[string]*api.Route
	byName map[string]*api.Route
}

// newView indexes a table. A name that several tiers could claim goes to the tier that is called so, then to the one
// with that role, then to the first in the table's order: so a tier's own name always means that tier. Names of variants that
// are not up come last: they stay valid over a switch, and yet take no other tier's.
func newView(t api.Table) *view {
	v := &view{
		table:  t,
		access: access{names: t.Hosts},
		keys:   newKeyring(t),
		byPort: make(map[int]*api.Route, len(t.Routes)),
		byTier: make(map[string]*api.Route, len(t.Routes)),
		byName: make(map[string]*api.Route),
	}
	claim := func(name string, r *api.Route) {
		if _, taken := v.byName[name]; name != "" && !taken {
			v.byName[name] = r
		}
	}
	for i := range t.Routes {
		r := &t.Routes[i]
		v.byPort[r.Port] = r
		v.byTier[r.Tier] = r
		claim(r.Tier, r)
	}
	for i := range t.Routes {
		claim(t.Routes[i].Role, &t.Routes[i])
	}
	for i := range t.Routes {
		for _, name := range slices.Concat(t.Routes[i].Names, t.Routes[i].Adapters) {
			claim(name, &t.Routes[i])
		}
	}
	for i := range t.Routes {
		for _, name := range t.Routes[i].Others {
			claim(name, &t.Routes[i])
		}
	}
	return v
}

// names lists what a caller may put into `model`, sorted.
func (v *view) names(who caller) []string {
	names := make([]string, 0, len(v.byName))
	for name, r := range v.byName {
		if who.mayTalk(r.Tier) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// tiers lists a caller's tiers by the names that paths and ports go by, in the table's order.
func (v *view) tiers(who caller) []string {
	names := make([]string, 0, len(v.table.Routes))
	for _, r := range v.table.Routes {
		if who.mayTalk(r.Tier) {
			names = append(names, r.Tier)
		}
	}
	return names
}

// answersTo tells whether a request for name may go to r: also when another tier has the better claim to the name,
// since two tiers may serve the same model.
func answersTo(r *api.Route, name string) bool {
	return name == r.Tier || name == r.Role || name == r.Served ||
		slices.Contains(r.Names, name) || slices.Contains(r.Adapters, name) || slices.Contains(r.Others, name)
}

// ports are the listeners that a table asks for: port to tier, "" for the port of all tiers.
func (v *view) ports() map[int]string {
	ports := make(map[int]string, len(v.byPort)+1)
	for port, r := range v.byPort {
		if port != 0 {
			ports[port] = r.Tier
		}
	}
	if v.table.Port != 0 {
		ports[v.table.Port] = ""
	}
	return ports
}
