package main

import (
	"github.com/spf13/cobra"

	"github.com/tierd/tierd/agent/api"
)

func (a *app) upCommand() *cobra.Command {
	var boot bool
	cmd := a.waits(&cobra.Command{
		Use:   "up [MODE]",
		Short: "Run the tiers of a mode, and no others",
		Long: `Make the running tiers equal to a mode of tiers.toml: stop what the mode does not
name, switch tiers that run as another variant, start the rest. GPU tiers load one
after the other, by priority; CPU tiers load beside them. Without MODE the default
mode is taken. Tiers that are right already are not touched.

A second "tierctl up" for the same mode joins the first. One for another mode is an
error while the first is at work.`,
		Example: `  tierctl up
  tierctl up full
  tierctl up gpu --no-wait`,
		Args:              takes(0, 1),
		ValidArgsFunction: a.completeModes,
		RunE: func(cmd *cobra.Command, args []string) error {
			req := api.StackRequest{Action: "up", Boot: boot}
			if len(args) == 1 {
				req.Mode = args[0]
			}
			c := a.client()
			a.warnEdited(cmd.Context(), c)
			id, err := c.Stack(cmd.Context(), req)
			if err != nil {
				return suggestMode(cmd.Context(), c, req.Mode, err)
			}
			return a.finish(cmd.Context(), c, []string{id}, false)
		},
	})
	cmd.Flags().BoolVar(&boot, "boot", false, `start only the tiers with start = "boot", in their default variants`)
	return cmd
}
