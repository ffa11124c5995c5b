package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func (a *app) abortCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "abort ID",
		Short: "End a change early",
		Long: `End a change early: a tier that is still loading is stopped, what is ready stays, what
was not begun is left out. tierctl changes shows the ids.`,
		Example:           `  tierctl abort 7`,
		Args:              takes(1, 1),
		ValidArgsFunction: a.completeChanges,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.client().Abort(cmd.Context(), args[0]); err != nil {
				return hintAtChanges(err)
			}
			if a.format == formatJSON {
				return a.writeJSON(begun{args[0]})
			}
			fmt.Fprintf(a.stdout, "change %s is being aborted\n", args[0])
			return nil
		},
	}
}
