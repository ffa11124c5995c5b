package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/budget"
	"github.com/tierd/tierd/units"
)

func (a *app) budgetCommand() *cobra.Command {
	var mode, root, config string
	cmd := &cobra.Command{
		Use:   "budget [--mode MODE]",
		Short: "Show who holds what of the memory, and what is left",
		Long: `Show what the tiers that are up were promised of the memory, what is kept in reserve,
what other programs hold of the GPU, what an engine that died has left behind, what is
left, and which tiers wait for room.

With --mode, what it would be with the tiers of that mode up and no others: what does
not fit, and without which tiers it would. Nothing is changed. Exit status 6 when the
mode does not fit.

With --root or --config, the sum is made without tierd. What is up is not known then, so
a mode is summed up: the default mode if --mode names none.

In the bars a capital letter is a tier, r the reserve, o other programs, x what leaked
and a dot what is left. The columns WEIGHTS, KV and OVERHEAD are what a tier's memory is
for, and BY says where its size is from: written in tiers.toml, measured in an earlier
run, or estimated from the model's files.`,
		Example: `  tierctl budget
  tierctl budget --mode full
  tierctl budget --root host.tar.gz --config ./tiers.toml`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := a.budgetOf(cmd.Context(), mode, root, config)
			if err != nil {
				return err
			}
			if err := a.printBudget(b); err != nil {
				return err
			}
			if b.Mode != "" && !b.Fits {
				return &failure{status: exitRefused, message: b.Words, hint: withoutWords(b)}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&mode, "mode", "", "what if this mode were up")
	rootFlag(cmd, &root)
	cmd.Flags().StringVar(&config, "config", "", "sum up the tiers of this file, without tierd")
	_ = cmd.MarkFlagFilename("config", "toml")
	_ = cmd.RegisterFlagCompletionFunc("mode", func(cmd *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return a.completeModes(cmd, nil, typed)
	})
	return cmd
}

func (a *app) budgetOf(ctx context.Context, mode, root, config string) (api.Budget, error) {
	switch {
	case root != "":
		return fileBudget(ctx, mode, root, config)
	case config != "":
		return fileBudget(ctx, mode, "/", config)
	}
	c := a.client()
	b, err := c.Budget(ctx, mode)
	return b, suggestMode(ctx, c, mode, err)
}

// fileBudget sums a mode up for a host on which no tier is up.
func fileBudget(ctx context.Context, mode, root, config string) (api.Budget, error) {
	host, err := openHost(root)
	if err != nil {
		return api.Budget{}, err
	}
	s, err := host.look(ctx)
	if err != nil {
		return api.Budget{}, err
	}
	file := host.config(config)
	if file == "" {
		return api.Budget{}, &failure{status: exitUsage, message: "a recording of a host holds no tiers.toml", hint: "name one with --config"}
	}
	plan, faults, err := planFile(file, host.units(ctx, s))
	switch {
	case err != nil:
		return api.Budget{}, err
	case plan == nil:
		return api.Budget{}, planError(file, faults)
	}
	want, err := plan.Mode(mode)
	if err != nil {
		return api.Budget{}, missing(fmt.Sprintf("there is no mode %q", mode), mode, configModes(plan.Config))
	}
	if mode == "" {
		mode = plan.Config.Host.DefaultMode
	}
	h := budget.HostOf(s, plan.Config.Host, "")
	described := func(name string) units.Unit { u, _ := plan.Unit(name); return u }
	return *budget.OfMode(h, want).Report(mode, h.Free, described), nil
}

// withoutWords tells without which tiers a mode would fit, "" when nothing helps.
func withoutWords(b api.Budget) string {
	if len(b.GiveWay) == 0 {
		return ""
	}
	return "without " + strings.Join(b.GiveWay, " and ") + " it would fit"
}
