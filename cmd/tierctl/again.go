package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

// startAgain says of tiers that were stopped (none named: of all) which of them a request starts again, as systemctl does of
// units with a socket. It is for people alone, and silent when tierd does not tell.
func (a *app) startAgain(ctx context.Context, tiers []string) {
	if a.format == formatJSON {
		return
	}
	status, err := a.client().Status(ctx)
	if err != nil {
		return
	}
	var names []string
	for _, t := range status.Tiers {
		if wakes(t) && (len(tiers) == 0 || slices.Contains(tiers, t.Name)) {
			names = append(names, t.Name)
		}
	}
	switch len(names) {
	case 0:
	case 1:
		say(a.stderr, 2, fmt.Sprintf("The next request for %s starts it again; start = \"manual\" in %s keeps it stopped.", names[0], status.ConfigPath))
	default:
		say(a.stderr, 2, fmt.Sprintf("The next request for one of %s starts it again; start = \"manual\" in %s keeps it stopped.", list(names), status.ConfigPath))
	}
}

// wakes tells whether a request starts a tier.
func wakes(t api.Tier) bool {
	return !t.Removed && t.State != api.Blocked && (t.Start == units.StartBoot || t.Start == units.StartDemand)
}
