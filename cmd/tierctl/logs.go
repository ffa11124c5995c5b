package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// tierField is the journal field that every unit of a tier carries (LogExtraFields=), so one match finds all variants.
const tierField = "TIERD_TIER"

func (a *app) logsCommand() *cobra.Command {
	var follow bool
	var lines, since string
	cmd := &cobra.Command{
		Use:   "logs [TIER...]",
		Short: "Show what tiers wrote to the journal",
		Long: `Show what the engines of the tiers wrote, all variants of a tier together, by running
journalctl with your own rights: you see what the journal lets you see (groups adm and
systemd-journal see all). Without TIER, the logs of every tier.

With names, tierd need not be running.`,
		Example: `  tierctl logs coder
  tierctl logs -f orch coder
  tierctl logs coder --since -1h -n all`,
		ValidArgsFunction: a.completeTiers,
		RunE: func(cmd *cobra.Command, args []string) error {
			tiers, err := a.logTiers(cmd.Context(), args)
			if err != nil {
				return err
			}
			return execJournalctl(journalArgs(tiers, a.format, follow, lines, since))
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with new lines as they come")
	cmd.Flags().StringVarP(&lines, "lines", "n", "50", `number of lines to show, or "all"`)
	cmd.Flags().StringVar(&since, "since", "", `show lines from then on, as journalctl reads it: "-1h", "today", "2026-03-01 12:00"`)
	return cmd
}

// logTiers checks the names against the daemon when there is one; names that it does not know would show nothing, and
// with -f for ever.
func (a *app) logTiers(ctx context.Context, names []string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	status, err := a.client().Status(ctx)
	switch {
	case err != nil && len(names) > 0:
		return names, nil
	case err != nil:
		return nil, err
	}
	tiers, err := onlyKnown(status.Tiers, names)
	if err != nil {
		return nil, err
	}
	if len(tiers) == 0 {
		return nil, &failure{status: exitFailed, message: "cannot show logs: tiers.toml defines no tier"}
	}
	return tierNames(tiers), nil
}

func journalArgs(tiers []string, format string, follow bool, lines, since string) []string {
	args := []string{"journalctl", "--no-pager", "--lines=" + lines}
	if follow {
		args = append(args, "--follow")
	}
	if since != "" {
		args = append(args, "--since="+since)
	}
	if format == formatJSON {
		args = append(args, "--output=json")
	}
	for _, t := range tiers {
		args = append(args, tierField+"="+t) // matches on one field are alternatives
	}
	return args
}

// execJournalctl becomes journalctl: its output, signals and exit status are the user's directly.
func execJournalctl(args []string) error {
	path, err := exec.LookPath(args[0])
	if err != nil {
		return &failure{
			status:  exitFailed,
			message: "cannot show logs: journalctl is not installed",
			hint:    "the engines write to the journal alone; journalctl comes with systemd",
		}
	}
	if err := syscall.Exec(path, args, os.Environ()); err != nil {
		return fmt.Errorf("cannot run %s: %w", path, err)
	}
	return nil
}
