package main

import (
	"github.com/spf13/cobra"

	"github.com/tierd/tierd/agent/api"
)

func (a *app) restartCommand() *cobra.Command {
	return a.waits(&cobra.Command{
		Use:   "restart TIER...",
		Short: "Restart tiers",
		Long: `Stop tiers and start them again, with the configuration as it is now: this is how a
tier with "restart pending" gets its new settings.`,
		Example:           `  tierctl restart coder`,
		Args:              takes(1, -1),
		ValidArgsFunction: a.completeTiers,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.actOn(cmd.Context(), api.TierRequest{Action: "restart"}, args)
		},
	})
}
