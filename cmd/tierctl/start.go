package main

import "github.com/spf13/cobra"

func (a *app) startCommand() *cobra.Command {
	return a.waits(&cobra.Command{
		Use:   "start TIER...",
		Short: "Start tiers",
		Long: `Start tiers in their default variants and wait until each answers. A tier that is up
already stays as it is, whatever its variant. What does not fit in memory is refused,
with the sum. The same as systemctl start tier-NAME, with progress.`,
		Example: `  tierctl start coder
  tierctl start reviewer utility --no-wait`,
		Args:              takes(1, -1),
		ValidArgsFunction: a.completeTiers,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.actOn(cmd.Context(), "start", args)
		},
	})
}
