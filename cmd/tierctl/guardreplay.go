package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/agent/guard"
)

func (a *app) guardReplayCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "replay FILE",
		Short: "Decide anew on a saved trace, and tell each decision with its reason",
		Long: `Put the looks of a trace before the guard's rules once more, and print what they decide each
time, with the reason. Without --all, only looks at which something was done or the reason
was another than before. The time is that since the first look.

Exit status 0 when every decision is the one that was made then, and 1 with the line of
the trace when one is not: the guard that wrote it had other rules. It works offline, and
on any machine; FILE may be - for standard input.`,
		Example: `  tierctl guard replay trace.jsonl
  tierctl guard trace | tierctl guard replay --all -`,
		Args: takes(1, 1),
		RunE: func(_ *cobra.Command, args []string) error { return a.replayTrace(args[0], all) },
	}
	cmd.Flags().BoolVar(&all, "all", false, "print every look")
	return cmd
}

// replayed is one line of `tierctl guard replay --format json`.
type replayed struct {
	At        float64      `json:"at"` // seconds since the first look
	Available uint64       `json:"available"`
	Level     guard.Level  `json:"level"`
	Act       guard.Act    `json:"act"`
	Reason    guard.Reason `json:"reason"`
	Tier      string       `json:"tier,omitempty"`
	Text      string       `json:"text"`
}

func (a *app) replayTrace(file string, all bool) error {
	in := a.stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return fmt.Errorf("cannot read the trace: %w", err)
		}
		defer f.Close()
		in = f
	}
	looks, err := a.replay(in, all)
	var differs *guard.Difference
	var broken *guard.TraceError
	switch {
	case errors.As(err, &differs):
		return &failure{status: exitFailed, message: differs.Error(), hint: fmt.Sprintf("was it written by another version? %s before it agree", count(looks, "look"))}
	case errors.As(err, &broken):
		return &failure{status: exitFailed, message: broken.Error(), hint: "tierctl guard trace FILE saves one"}
	case err != nil:
		return err
	}
	if a.format == formatText {
		fmt.Fprintf(a.stdout, "%s: every decision is the one that was made then.\n", count(looks, "look"))
	}
	return nil
}

// replay prints what is decided, and returns at how many looks.
func (a *app) replay(in io.Reader, all bool) (looks int, err error) {
	var first time.Duration
	var before guard.Reason
	var wrote error
	out := json.NewEncoder(a.stdout)
	looks, err = guard.Replay(in, func(f *guard.Facts, d guard.Decision) {
		if looks++; looks == 1 {
			first = f.At
		}
		if wrote != nil || !all && looks > 1 && d.Act == guard.Nothing && d.Reason == before {
			return
		}
		before = d.Reason
		r := replayed{At: (f.At - first).Seconds(), Available: f.Available, Level: d.Level, Act: d.Act, Reason: d.Reason, Tier: d.Victim.Name, Text: string(d.AppendText(nil))}
		if a.format == formatJSON {
			wrote = out.Encode(r)
			return
		}
		_, wrote = fmt.Fprintf(a.stdout, "%9.3fs  %-7s  %s\n", r.At, r.Act, r.Text)
	})
	return looks, errors.Join(err, wrote)
}
