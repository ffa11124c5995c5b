package main

import (
	"github.com/spf13/cobra"

	"github.com/tierd/tierd/agent/api"
)

func (a *app) startCommand() *cobra.Command {
	var evict bool
	cmd := a.waits(&cobra.Command{
		Use:   "start TIER...",
		Short: "Start tiers",
		Long: `Start tiers and wait until each answers. A tier that is up already stays as it is. One
that is not comes up in the variant that served it last since the machine started, else
in the first in tiers.toml. What does not fit in memory is refused, with the sum. The
same as systemctl start of the unit, with progress.

With --evict other tiers give way if they have to: idle ones at once, those that are busy
or came up just now when the tier has waited for its max_wait, pinned ones never. A tier
with start = "demand" needs no --evict.`,
		Example: `  tierctl start coder
  tierctl start reviewer --evict
  tierctl start reviewer utility --no-wait`,
		Args:              takes(1, -1),
		ValidArgsFunction: a.completeTiers,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.actOn(cmd.Context(), api.TierRequest{Action: "start", Evict: evict}, args)
		},
	})
	cmd.Flags().BoolVar(&evict, "evict", false, "let other tiers give way")
	return cmd
}
