package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/agent/api"
)

// waits gives a command that begins changes the flag to leave them to themselves.
func (a *app) waits(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&a.noWait, "no-wait", false, "print the change's id and return at once")
	return cmd
}

// actOn asks for one action on each of the tiers, then waits for all of them. A tier that cannot be asked for does
// not keep the others from it.
func (a *app) actOn(ctx context.Context, req api.TierRequest, tiers []string) error {
	c := a.client()
	if req.Action != "stop" {
		a.warnEdited(ctx, c)
	}
	var ids []string
	var failed []error
	for _, tier := range tiers {
		id, err := c.Act(ctx, tier, req)
		if err != nil {
			failed = append(failed, suggestTier(ctx, c, tier, err))
			continue
		}
		ids = append(ids, id)
	}
	if len(ids) > 0 {
		failed = append(failed, a.finish(ctx, c, ids, true))
	}
	return errors.Join(failed...)
}
