package main

import (
	"github.com/spf13/cobra"

	"github.com/tierd/tierd/agent/api"
)

func (a *app) downCommand() *cobra.Command {
	return a.waits(&cobra.Command{
		Use:   "down",
		Short: "Stop every tier",
		Long: `Stop every tier, each after its requests in flight. tierd and its ports stay: a tier
can be started again at any time, and one with start = "boot" or "demand" is by the next
request for it.`,
		Example: `  tierctl down`,
		Args:    takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := a.client()
			id, err := c.Stack(cmd.Context(), api.StackRequest{Action: "down"})
			if err != nil {
				return err
			}
			if err := a.finish(cmd.Context(), c, []string{id}, false); err != nil {
				return err
			}
			a.startAgain(cmd.Context(), nil)
			return nil
		},
	})
}
