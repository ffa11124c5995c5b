package main

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/agent/api"
)

// live completes from the daemon's status. Without a daemon there is nothing to offer, and no error to show: stderr
// would land in the middle of the user's line.
func (a *app) live(cmd *cobra.Command, offer func(api.Status) []cobra.Completion) ([]cobra.Completion, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), a.completeWithin)
	defer cancel()
	status, err := a.client().Status(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return offer(status), cobra.ShellCompDirectiveNoFileComp
}

// completeTiers offers the tiers that the line does not name yet.
func (a *app) completeTiers(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.live(cmd, func(s api.Status) []cobra.Completion { return tierCompletions(s.Tiers, args) })
}

func tierCompletions(tiers []api.Tier, named []string) []cobra.Completion {
	var out []cobra.Completion
	for _, t := range tiers {
		if !slices.Contains(named, t.Name) {
			out = append(out, cobra.CompletionWithDesc(t.Name, t.Role+", "+string(t.State)))
		}
	}
	return out
}

func variantCompletions(t api.Tier) []cobra.Completion {
	var out []cobra.Completion
	for _, v := range t.Variants {
		out = append(out, cobra.CompletionWithDesc(v.Name, v.Model))
	}
	return out
}

func (a *app) completeSwitch(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.live(cmd, func(s api.Status) []cobra.Completion {
		if len(args) == 0 {
			return tierCompletions(s.Tiers, nil)
		}
		if t, ok := byName(s.Tiers, args[0]); ok && len(args) == 1 {
			return variantCompletions(t)
		}
		return nil
	})
}

func (a *app) completeOrchestrator(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return a.live(cmd, func(s api.Status) []cobra.Completion {
		if t, ok := byRole(s.Tiers, orchestrator); ok && len(args) == 0 {
			return variantCompletions(t)
		}
		return nil
	})
}

func (a *app) completeModes(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), a.completeWithin)
	defer cancel()
	modes, err := a.client().Modes(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return modeNames(modes), cobra.ShellCompDirectiveNoFileComp
}

func (a *app) completeChanges(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), a.completeWithin)
	defer cancel()
	changes, err := a.client().Changes(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []cobra.Completion
	for _, ch := range changes {
		out = append(out, cobra.CompletionWithDesc(ch.ID, ch.Summary+", "+ch.State))
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
