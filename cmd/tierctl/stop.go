package main

import (
	"github.com/spf13/cobra"

	"github.com/tierd/tierd/agent/api"
)

func (a *app) stopCommand() *cobra.Command {
	return a.waits(&cobra.Command{
		Use:   "stop TIER...",
		Short: "Stop tiers",
		Long: `Stop tiers. A tier that serves finishes the requests in flight first, within its drain
time; one that is still loading is killed at once. The same as systemctl stop. A tier with
start = "boot" or "demand" is started again by the next request for it.`,
		Example:           `  tierctl stop reviewer`,
		Args:              takes(1, -1),
		ValidArgsFunction: a.completeTiers,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.actOn(cmd.Context(), api.TierRequest{Action: "stop"}, args); err != nil {
				return err
			}
			a.startAgain(cmd.Context(), args)
			return nil
		},
	})
}
