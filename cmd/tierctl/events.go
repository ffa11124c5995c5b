package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/agent/api"
)

// The listing of past events ends when none has come for a while: tierd writes them in one go, and the stream has no
// mark for "that was all". The first one may take longer, on a host that is loading a model.
const (
	firstEvent = 2 * time.Second
	nextEvent  = 300 * time.Millisecond
)

func (a *app) eventsCommand() *cobra.Command {
	var follow bool
	var since time.Duration
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Show what happened to the tiers, and what happens",
		Long: `Show the events that tierd remembers: changes of state with their causes, changes of
the configuration, the gateway's coming and going. They are kept in memory since tierd
was started; the journal has them for longer (journalctl -u tierd).

With --follow, show events from now on as they happen, until Ctrl-C; together with
--since, past ones first. --format json prints one object a line.`,
		Example: `  tierctl events
  tierctl events --since 10m
  tierctl events -f --format json | jq -r 'select(.state == "failed") | .text'`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			w := eventWish{follow: follow}
			if cmd.Flags().Changed("since") {
				w.from = a.now().Add(-since)
			} else if follow {
				w.after = api.FromNow
			}
			return a.events(cmd.Context(), w)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "show new events as they happen")
	cmd.Flags().DurationVar(&since, "since", 0, `only events of the last "10m", "2h30m"`)
	return cmd
}

// eventWish says which events to show: those after a number, not older than a time.
type eventWish struct {
	after  uint64
	from   time.Time
	follow bool
}

func (a *app) events(ctx context.Context, wish eventWish) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	idle := time.AfterFunc(firstEvent, cancel)
	if wish.follow {
		idle.Stop()
	}
	shown := 0
	for e, err := range a.client().Events(ctx, wish.after) {
		if err != nil {
			return err
		}
		if !wish.follow {
			idle.Reset(nextEvent)
		}
		if e.Time.Before(wish.from) {
			continue
		}
		if err := a.printEvent(e); err != nil {
			return err
		}
		shown++
	}
	if shown == 0 && !wish.follow && a.format == formatText {
		fmt.Fprintln(a.stdout, "No events.")
	}
	return nil
}

func (a *app) printEvent(e api.Event) error {
	if a.format == formatJSON {
		return json.NewEncoder(a.stdout).Encode(e) // one a line: a stream has no end to close an array with
	}
	who := e.Tier
	if who == "" {
		who = e.Kind
	}
	return say(a.stdout, len(time.DateTime)+columnGap, fmt.Sprintf("%s  %-10s  %s", e.Time.Local().Format(time.DateTime), who, e.Text))
}
