package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/agent/api"
)

func (a *app) switchCommand() *cobra.Command {
	var drain bool
	cmd := a.waits(&cobra.Command{
		Use:   "switch TIER VARIANT",
		Short: "Serve a tier by another of its variants",
		Long: `Serve a tier by another of its variants: another engine, model or server behind the
same name and port, so that no client has to change and no request fails.

Where there is memory for both, the new variant comes up while the old one serves on. Once
it is ready it gets the new requests, and the old one ends when those in flight are
answered, after its drain time at the latest. Where there is not, or with --drain, the old
one ends first: new requests wait until the new one is ready.

When the new variant does not come up, or the switch is aborted, the one before serves:
it never ended, or is started again, and the error says both.`,
		Example: `  tierctl switch orch llama
  tierctl switch --drain orch vllm`,
		Args:              takes(2, 2),
		ValidArgsFunction: a.completeSwitch,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.switchTo(cmd.Context(), a.client(), args[0], args[1], drain)
		},
	})
	drainFlag(cmd, &drain)
	return cmd
}

func drainFlag(cmd *cobra.Command, drain *bool) {
	cmd.Flags().BoolVar(drain, "drain", false, "end the old variant first, also when there is memory for both")
}

func (a *app) switchTo(ctx context.Context, c control, tier, variant string, drain bool) error {
	a.warnEdited(ctx, c)
	id, err := c.Act(ctx, tier, api.TierRequest{Action: "switch", Variant: variant, Drain: drain})
	if err != nil {
		return suggestVariant(ctx, c, tier, variant, err)
	}
	return a.finish(ctx, c, []string{id}, false)
}
