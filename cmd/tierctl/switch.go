package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/agent/api"
)

func (a *app) switchCommand() *cobra.Command {
	return a.waits(&cobra.Command{
		Use:   "switch TIER VARIANT",
		Short: "Serve a tier by another of its variants",
		Long: `Serve a tier by another of its variants: another engine, model or server behind the
same name and port, so that no client has to change. When the new variant does not
come up, the one before is started again and the error says both.`,
		Example: `  tierctl switch orch llama
  tierctl switch orch vllm`,
		Args:              takes(2, 2),
		ValidArgsFunction: a.completeSwitch,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.switchTo(cmd.Context(), a.client(), args[0], args[1])
		},
	})
}

func (a *app) switchTo(ctx context.Context, c control, tier, variant string) error {
	id, err := c.Act(ctx, tier, api.TierRequest{Action: "switch", Variant: variant})
	if err != nil {
		return suggestVariant(ctx, c, tier, variant, err)
	}
	return a.finish(ctx, c, []string{id}, false)
}
