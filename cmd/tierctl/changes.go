package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/agent/api"
)

func (a *app) changesCommand() *cobra.Command {
	var wait bool
	cmd := &cobra.Command{
		Use:   "changes [ID]",
		Short: "Show changes that are under way or over",
		Long: `Show the changes that tierd remembers since it was started, the oldest first. With ID,
its tasks one by one; with --wait, follow it to its end and take over its outcome as
exit status.`,
		Example: `  tierctl changes
  tierctl changes 7
  tierctl changes 7 --wait`,
		Args:              takes(0, 1),
		ValidArgsFunction: a.completeChanges,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) == 0 && wait:
				return &failure{status: exitUsage, message: "--wait needs the id of a change", hint: "tierctl changes ID --wait"}
			case len(args) == 0:
				return a.listChanges(cmd.Context())
			case wait:
				return a.waitFor(cmd.Context(), args[0])
			}
			return a.showChange(cmd.Context(), args[0])
		},
	}
	cmd.Flags().BoolVar(&wait, "wait", false, "wait for the change to end")
	return cmd
}

func (a *app) listChanges(ctx context.Context) error {
	changes, err := a.client().Changes(ctx)
	if err != nil {
		return err
	}
	if a.format == formatJSON {
		return a.writeJSON(changes)
	}
	if len(changes) == 0 {
		fmt.Fprintln(a.stdout, "No changes since tierd was started.")
		return nil
	}
	rows := make([]row, len(changes))
	for i, ch := range changes {
		rows[i] = a.changeRow(ch)
	}
	writeTable(a.stdout, []string{"ID", "STATE", "BEGUN", "TOOK", "CHANGE"}, rows)
	return nil
}

func (a *app) changeRow(ch api.Change) row {
	end := ch.Finished
	if end.IsZero() {
		end = a.now()
	}
	r := row{cells: []cell{
		{text: ch.ID}, {text: ch.State}, {text: ch.Started.Local().Format(time.DateTime)},
		{text: formatAge(end.Sub(ch.Started))}, {text: ch.Summary},
	}}
	if ch.Err != nil {
		r.notes = []string{ch.Err.Message}
	}
	return r
}

func (a *app) showChange(ctx context.Context, id string) error {
	ch, err := a.client().Change(ctx, id)
	if err != nil {
		return hintAtChanges(err)
	}
	if a.format == formatJSON {
		return a.writeJSON(ch)
	}
	writeTable(a.stdout, []string{"ID", "STATE", "BEGUN", "TOOK", "CHANGE"}, []row{a.changeRow(ch)})
	for _, t := range ch.Tasks {
		line := fmt.Sprintf("  %-8s %s: %s", t.State, t.Tier, t.Summary)
		switch {
		case t.Err != "":
			line += ": " + t.Err
		case t.Status != "" && t.State == "doing":
			line += ": " + t.Status
		}
		say(a.stdout, 4, line)
	}
	return nil
}

func (a *app) waitFor(ctx context.Context, id string) error {
	return hintAtChanges(a.finish(ctx, a.client(), []string{id}, false))
}

// hintAtChanges tells where the ids are to be found when one is not known.
func hintAtChanges(err error) error {
	var sent *api.Error
	if errors.As(err, &sent) && sent.Kind == api.KindNotFound && sent.Hint == "" {
		return &api.Error{Kind: sent.Kind, Message: sent.Message, Hint: "tierctl changes"}
	}
	return err
}
