package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/agent/opencode"
)

func (a *app) opencodeUndoCommand() *cobra.Command {
	var w opencodeWish
	var force bool
	cmd := &cobra.Command{
		Use:   "undo",
		Short: "Bring back what was there before apply",
		Long: `Bring back what was there before tierctl opencode apply: each byte and mode, and the absence
of files and of the directories that it made, as far as they are empty. It refuses when
somebody has edited a file since, and shows what; --force takes it back nevertheless.

After apply --force it brings back what that one replaced; another undo brings back what
was there before. Without anything to take back it does nothing.`,
		Example: `  tierctl opencode undo
  tierctl opencode undo --project
  sudo tierctl opencode undo --managed`,
		Args: takes(0, 0),
		RunE: func(*cobra.Command, []string) error {
			p, err := a.opencodePlace(w)
			if err != nil {
				return err
			}
			c, err := opencode.Undo(p, force)
			if err != nil {
				return notYours(a.withDiffs(err))
			}
			if a.format == formatJSON {
				return a.writeJSON(opencodeResultOf(p, c, opencode.Plan{}, false))
			}
			return a.printUndone(p, c)
		},
	}
	w.placeFlags(cmd)
	cmd.Flags().BoolVar(&force, "force", false, "also when a file was edited since; what was edited is lost")
	return cmd
}

func (a *app) printUndone(p opencode.Place, c opencode.Changes) error {
	for _, f := range c.Files {
		if f.Mode() == 0 {
			fmt.Fprintf(a.stdout, "%s is gone, as it was before.\n", f.Path)
		} else {
			fmt.Fprintf(a.stdout, "%s is as it was before.\n", f.Path)
		}
	}
	if len(c.Files) == 0 {
		fmt.Fprintf(a.stdout, "There is nothing to take back for the %s configuration.\n", p.Scope)
	}
	left, err := opencode.Applied(p)
	if err != nil || len(left) == 0 {
		return err
	}
	fmt.Fprintln(a.stderr, "Written by tierctl as well, and still there:")
	for _, r := range left {
		fmt.Fprintf(a.stderr, "  %s: %s\n", r.Path, undoOf(r, c))
	}
	return nil
}

// undoOf is the command that takes a file back.
func undoOf(r opencode.Record, c opencode.Changes) string {
	switch {
	case slices.ContainsFunc(c.Files, func(f opencode.Change) bool { return f.Path == r.Path }):
		return "tierctl opencode undo, once more"
	case r.Named:
		return "tierctl opencode undo --to " + r.Path
	case r.Scope == opencode.ScopeProject:
		return "tierctl opencode undo --project, in its directory"
	}
	return "tierctl opencode undo"
}
