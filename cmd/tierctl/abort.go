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
			c := a.client()
			if err := c.Abort(cmd.Context(), args[0]); err != nil {
				return hintAtChanges(err)
			}
			state := "is being aborted"
			if ch, err := c.Change(cmd.Context(), args[0]); err == nil && ch.State == "aborted" {
				state = "was aborted"
			} else if err == nil && ch.Done() {
				return &failure{status: exitFailed, message: fmt.Sprintf("change %s (%s) cannot be aborted: it is over (%s)", ch.ID, ch.Summary, ch.State)}
			}
			if a.format == formatJSON {
				return a.writeJSON(begun{args[0]})
			}
			fmt.Fprintf(a.stdout, "change %s %s\n", args[0], state)
			return nil
		},
	}
}
