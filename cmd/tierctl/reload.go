package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/agent/api"
)

// reloaded is what `tierctl reload --format json` prints: the API's result, and the change that restarts tiers.
type reloaded struct {
	api.ConfigResult
	Change *api.Change `json:"change,omitempty"`
}

func (a *app) reloadCommand() *cobra.Command {
	var restart bool
	cmd := a.waits(&cobra.Command{
		Use:   "reload",
		Short: "Read tiers.toml again",
		Long: `Read tiers.toml again. A file with a fault changes nothing. Running tiers go on as they
are: those that the new file changes are shown with "restart pending" until they are
restarted, here with --restart or one by one with tierctl restart. Tiers that are no
longer in the file run on until they are stopped.`,
		Example: `  tierctl check && tierctl reload
  tierctl reload --restart`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.reload(cmd.Context(), restart)
		},
	})
	cmd.Flags().BoolVar(&restart, "restart", false, "restart the running tiers that the new file changes")
	return cmd
}

func (a *app) reload(ctx context.Context, restart bool) error {
	c := a.client()
	result, id, err := c.Reload(ctx, restart)
	if err != nil {
		return err
	}
	if a.format == formatText {
		a.printReload(result, id != "")
		if id == "" {
			return nil
		}
		return a.finish(ctx, c, []string{id}, false)
	}
	if id == "" {
		return a.writeJSON(reloaded{ConfigResult: result})
	}
	if a.noWait {
		return a.writeJSON(reloaded{result, &api.Change{ID: id, State: "doing"}})
	}
	changes, err := a.wait(ctx, c, []string{id})
	if errors.Is(err, context.Canceled) {
		return goesOn([]string{id})
	}
	if len(changes) == 0 {
		return err
	}
	if err := a.writeJSON(reloaded{result, &changes[0]}); err != nil {
		return err
	}
	return endOf(changes[0])
}

func (a *app) printReload(r api.ConfigResult, restarting bool) {
	for _, w := range r.Warnings {
		say(a.stderr, 2, warning(w))
	}
	if len(r.Changed)+len(r.Removed)+len(r.Gateway)+len(r.Settings) == 0 {
		fmt.Fprintln(a.stdout, "tiers.toml was read again: nothing has changed.")
	}
	if len(r.Changed) > 0 {
		fmt.Fprintf(a.stdout, "changed: %s\n", list(r.Changed))
	}
	if len(r.Removed) > 0 {
		fmt.Fprintf(a.stdout, "removed: %s\n", list(r.Removed))
	}
	if len(r.Gateway) > 0 {
		fmt.Fprintf(a.stdout, "in force at the gateway: %s\n", list(r.Gateway))
	}
	if len(r.Settings) > 0 {
		fmt.Fprintf(a.stdout, "in force: %s\n", list(r.Settings))
	}
	if len(r.Pending) > 0 && !restarting {
		fmt.Fprintf(a.stdout, "restart pending: %s (tierctl reload --restart, or tierctl restart TIER)\n", list(r.Pending))
	}
}
