package agent

import (
	"context"

	"github.com/tierd/tierd/agent/api"
)

// Summary is how the tiers are, in a few words' worth.
type Summary struct {
	Tiers       []api.State // in the order of tiers.toml
	ConfigError string
}

// Summary is answered by the loop from what it learned last. Unlike Status it makes nobody read anything, so that a
// watchdog may ask often, and so that telling systemd of a start does not keep systemd from it.
func (a *Agent) Summary(ctx context.Context) (Summary, error) {
	return inLoop(ctx, a, func() (Summary, error) {
		s := Summary{ConfigError: a.configErr}
		if a.observations == 0 {
			return s, a.unavailable()
		}
		for _, name := range a.tierNames() {
			s.Tiers = append(s.Tiers, a.states[a.shownUnit(name)].State)
		}
		return s, nil
	})
}
