package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

func (a *app) planCommand() *cobra.Command {
	var config string
	cmd := &cobra.Command{
		Use:   "plan [MODE]",
		Short: "Show what `up` would do, with the text of the units",
		Long: `Show what tierctl up MODE would do: for each unit whether it would be started, stopped,
restarted or kept, and the unit as systemctl cat would show it. Nothing is changed.

With --config the plan is made from that file, without tierd: every unit of the mode
as it would be defined on this host.`,
		Example: `  tierctl plan full
  tierctl plan --config ./tiers.toml gpu`,
		Args:              takes(0, 1),
		ValidArgsFunction: a.completeModes,
		RunE: func(cmd *cobra.Command, args []string) error {
			mode := strings.Join(args, "")
			source := a.livePlan
			if config != "" {
				source = func(ctx context.Context, mode string) (api.Plan, error) { return filePlan(ctx, config, mode) }
			}
			plan, err := source(cmd.Context(), mode)
			if err != nil {
				return err
			}
			if err := a.printPlan(plan); err != nil {
				return err
			}
			if plan.Refusal != "" {
				return &failure{status: exitRefused, message: plan.Refusal}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&config, "config", "", "plan with this file, without tierd")
	_ = cmd.MarkFlagFilename("config", "toml")
	return cmd
}

func (a *app) livePlan(ctx context.Context, mode string) (api.Plan, error) {
	c := a.client()
	a.warnEdited(ctx, c)
	plan, err := c.Plan(ctx, mode)
	if err != nil {
		return plan, suggestMode(ctx, c, mode, err)
	}
	return plan, nil
}

// filePlan makes the daemon's answer from a file, as for a host on which nothing runs.
func filePlan(ctx context.Context, file, mode string) (api.Plan, error) {
	made, faults, err := planFile(file, localHost(ctx))
	if err != nil {
		return api.Plan{}, err
	}
	if made == nil {
		return api.Plan{}, planError(file, faults)
	}
	out := api.Plan{Mode: cmp.Or(mode, made.Config.Host.DefaultMode), Units: []api.UnitText{}}
	for _, f := range faults {
		out.Warnings = append(out.Warnings, f.Error())
	}
	members, err := made.Mode(mode)
	if err != nil {
		return out, missing(fmt.Sprintf("there is no mode %q", mode), mode, configModes(made.Config))
	}
	for _, u := range members {
		out.Units = append(out.Units, api.UnitText{
			Unit: u.Name, Tier: u.Tier, Variant: u.Variant, Action: "start", Text: u.Text(),
		})
	}
	return out, nil
}

func configModes(c *units.Config) []string {
	names := make([]string, len(c.Modes))
	for i, m := range c.Modes {
		names[i] = m.Name
	}
	return names
}

func configTiers(c *units.Config) []string {
	names := make([]string, len(c.Tiers))
	for i, t := range c.Tiers {
		names[i] = t.Name
	}
	return names
}

func (a *app) printPlan(p api.Plan) error {
	if a.format == formatJSON {
		return a.writeJSON(p)
	}
	for _, w := range p.Warnings {
		say(a.stderr, 2, warning(w))
	}
	if len(p.Units) == 0 {
		fmt.Fprintf(a.stdout, "Mode %q has no tiers.\n", p.Mode)
	}
	for i, u := range p.Units {
		if i > 0 {
			fmt.Fprintln(a.stdout)
		}
		fmt.Fprintf(a.stdout, "# %s: %s\n", u.Unit, u.Action)
		if u.Text != "" {
			fmt.Fprintln(a.stdout, strings.TrimRight(u.Text, "\n"))
		}
	}
	return nil
}
