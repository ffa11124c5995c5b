package agent

import (
	"slices"
	"strings"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

// accessOf is what [gateway] of tiers.toml tells the gateway: where it listens, who may use it, and how much. It is in the
// table so that a reload takes effect at once.
func accessOf(g units.Gateway) api.Table {
	t := api.Table{
		Listen: g.Listen, Port: g.Port, OpenLoopback: g.OpenLoopback, MaxConnections: g.MaxConnections, MaxBody: uint64(g.MaxBody),
	}
	for _, host := range g.Hosts {
		t.Hosts = append(t.Hosts, strings.ToLower(host))
	}
	for _, k := range g.Keys {
		t.Keys = append(t.Keys, api.Key{
			Name: k.Name, SHA256: strings.ToLower(k.SHA256), Scopes: slices.Clone(k.Scopes), Tiers: slices.Clone(k.Tiers),
		})
	}
	return t
}
