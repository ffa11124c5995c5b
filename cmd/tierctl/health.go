package main

import (
	"cmp"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/agent/api"
)

// health is what `tierctl health --format json` prints.
type health struct {
	Healthy bool         `json:"healthy"`
	Gateway string       `json:"gateway"` // "connected" or "absent"
	Tiers   []tierHealth `json:"tiers"`
}

type tierHealth struct {
	Tier   string    `json:"tier"`
	State  api.State `json:"state"`
	Ready  bool      `json:"ready"`
	Reason string    `json:"reason,omitempty"`
}

func (a *app) healthCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "health [TIER...]",
		Short: "Tell whether the tiers answer, by exit status",
		Long: `Tell whether tiers answer, for scripts and monitoring. Exit status 0 when everything
asked about is ready and reachable through the gateway, 3 when something is not.

With TIER, each of these has to be ready. Without, every tier that is neither stopped
nor blocked: one that nobody started is not ill. It is also 3 when nothing is up at all.`,
		Example: `  tierctl health
  tierctl health coder orch || systemctl status tier-coder tier-orch`,
		ValidArgsFunction: a.completeTiers,
		RunE: func(cmd *cobra.Command, args []string) error {
			status, err := a.client().Status(cmd.Context())
			if err != nil {
				return err
			}
			tiers, err := onlyKnown(status.Tiers, args)
			if err != nil {
				return err
			}
			if len(args) == 0 {
				tiers = notStopped(tiers)
			}
			h := judge(status.Gateway, tiers)
			if err := a.printHealth(h); err != nil {
				return err
			}
			return h.verdict()
		},
	}
}

func notStopped(tiers []api.Tier) []api.Tier {
	var up []api.Tier
	for _, t := range tiers {
		// A blocked tier that nobody started is not asked about either.
		if t.State != api.Stopped && t.State != api.Blocked {
			up = append(up, t)
		}
	}
	return up
}

func judge(gateway string, tiers []api.Tier) health {
	h := health{Healthy: len(tiers) > 0 && gateway != "absent", Gateway: gateway, Tiers: []tierHealth{}}
	for _, t := range tiers {
		one := tierHealth{Tier: t.Name, State: t.State, Ready: t.State == api.Ready && t.PortError == ""}
		if !one.Ready {
			h.Healthy = false
			one.Reason = cmp.Or(t.PortError, t.Reason, t.Status)
		}
		h.Tiers = append(h.Tiers, one)
	}
	return h
}

func (h health) verdict() error {
	if h.Healthy {
		return nil
	}
	f := &failure{status: exitNotReady, hint: "tierctl status"}
	var ill []string
	for _, t := range h.Tiers {
		if !t.Ready {
			ill = append(ill, t.Tier)
		}
	}
	switch {
	case len(ill) > 0:
		f.message = "not ready: " + list(ill)
	case h.Gateway == "absent":
		f.message, f.hint = "no request can come in: the gateway is not connected", "systemctl status tier-gateway"
	default:
		f.message = "no tier is up"
	}
	return f
}

func (a *app) printHealth(h health) error {
	if a.format == formatJSON {
		return a.writeJSON(h)
	}
	for _, t := range h.Tiers {
		line := fmt.Sprintf("%s: %s", t.Tier, t.State)
		if t.Reason != "" {
			line += ": " + t.Reason
		}
		say(a.stdout, 2, line)
	}
	return nil
}
