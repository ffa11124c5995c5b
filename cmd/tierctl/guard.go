package main

import (
	"cmp"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/agent/api"
)

func (a *app) guardCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "guard",
		Short: "Show the pressure guard: whether it watches, and who would give way",
		Long: `Show the process that has tiers give way when the host runs short of memory: whether it is
armed, how much memory is available and how fast that changes, the lines below which it
acts, the order in which tiers would give way and why, what it would do now, tiers that
gave way and when they may come back, and what it did last.

Below the line "refuse" no tier begins to load. Below "soft" an idle tier gives way, below
"hard" busy ones too, and below "emergency" whatever frees most, at once. In the bar e, h,
s and r are the memory below these lines, + what is above them and a dot what is gone.

Exit status 0 when the guard is armed, or tiers.toml wants none; 3 when it is not armed
or tierd does not hear from it.`,
		Example: `  tierctl guard
  tierctl guard test
  tierctl guard trace trace.jsonl && tierctl guard replay trace.jsonl
  tierctl guard --format json | jq -r '.state.order[] | .tier'`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			g, err := a.client().Guard(cmd.Context())
			if err != nil {
				return err
			}
			if a.format == formatJSON {
				err = a.writeJSON(g)
			} else {
				a.printGuard(g)
			}
			if err != nil {
				return err
			}
			return unarmed(g)
		},
	}
	cmd.AddCommand(a.guardTraceCommand(), a.guardReplayCommand(), a.guardTestCommand(), a.guardLoadCommand())
	return cmd
}

// guardUnit is the guard's own unit.
const guardUnit = "tier-guard.service"

// unarmed is the error of a guard that is wanted and does not watch; nil when it does, or is not wanted.
func unarmed(g api.Guard) error {
	f := &failure{status: exitNotReady, hint: "systemctl status " + guardUnit}
	switch {
	case !g.Enabled:
		return nil
	case g.Text != "":
		f.message = g.Text
	case !g.Connected:
		f.message = "the guard is not connected to tierd: nothing gives way when memory runs short"
	case g.State == nil:
		f.message = "the guard is connected and does not answer"
	case !g.State.Armed:
		f.message = "the guard is not armed: " + cmp.Or(g.State.Why, "it does not say why")
	default:
		return nil
	}
	return f
}
