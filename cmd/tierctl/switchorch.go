package main

import (
	"github.com/spf13/cobra"

	"github.com/tierd/tierd/agent/api"
)

const orchestrator = "orchestrator" // the role, not a tier's name

func (a *app) switchOrchCommand() *cobra.Command {
	var drain bool
	cmd := a.waits(&cobra.Command{
		Use:   "switch-orch VARIANT",
		Short: "Serve the orchestrator by another of its variants",
		Long: `Serve the tier whose role is "orchestrator" by another of its variants, whatever the
tier is called. The same as tierctl switch with its name.`,
		Example: `  tierctl switch-orch llama
  tierctl switch-orch cloud`,
		Args:              takes(1, 1),
		ValidArgsFunction: a.completeOrchestrator,
		RunE: func(cmd *cobra.Command, args []string) error {
			c := a.client()
			status, err := c.Status(cmd.Context())
			if err != nil {
				return err
			}
			tier, ok := byRole(status.Tiers, orchestrator)
			if !ok {
				return &failure{
					status:  exitUsage,
					message: `no tier has the role "orchestrator"`,
					hint:    `give one of them role = "orchestrator" in ` + status.ConfigPath + ", then tierctl reload",
				}
			}
			return a.switchTo(cmd.Context(), c, tier.Name, args[0], drain)
		},
	})
	drainFlag(cmd, &drain)
	return cmd
}

func byRole(tiers []api.Tier, role string) (api.Tier, bool) {
	for _, t := range tiers {
		if t.Role == role {
			return t, true
		}
	}
	return api.Tier{}, false
}
