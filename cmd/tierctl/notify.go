package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/agent/api"
)

func (a *app) notifyCommand() *cobra.Command {
	var try bool
	cmd := &cobra.Command{
		Use:   "notify",
		Short: "Show on the desktop that a tier gave way or failed",
		Long: `Show a desktop notification when the pressure guard has a tier give way, when it cannot
help, and when a tier fails. It runs for as long as the session: the package starts it
in each graphical one, as tierd-notify.service of the user. One notification is there at
a time, a new one takes its place, and a tier that fails again and again is told of once
in ten minutes.

Where there is no session bus it ends at once, with exit status 0.`,
		Example: `  tierctl notify --try
  systemctl --user status tierd-notify
  systemctl --user mask --now tierd-notify`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := openDesktop()
			if err != nil {
				fmt.Fprintf(a.stderr, "There is no session bus to show anything on: %v.\n", err)
				return nil
			}
			defer d.close()
			if try {
				return tried(d.show(notice{summary: "tierd can show notifications", body: "It does when a tier gives way or fails."}))
			}
			return a.notify(cmd.Context(), d)
		},
	}
	cmd.Flags().BoolVar(&try, "try", false, "show one notification, and end")
	return cmd
}

// tried is the error of a notification that somebody waits to see.
func tried(err error) error {
	if err == nil {
		return nil
	}
	return &failure{status: exitFailed, message: fmt.Sprintf("nothing here shows notifications: %v", err),
		hint: "the desktop, or a program such as mako or dunst, has to own the name " + notifyName}
}

// notify follows the events until the session ends.
func (a *app) notify(ctx context.Context, d *desktop) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events := a.everyEvent(ctx)
	waiting := newNotices()
	var due <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.gone():
			return nil // the user has logged out
		case e := <-events:
			if n, ok := noticeOf(e, a.guardKind(ctx, e)); ok {
				waiting.add(n, time.Now())
			}
		case <-due:
		}
		n, pause := waiting.next(time.Now())
		if due = nil; pause > 0 {
			due = time.After(pause)
		}
		if n != nil {
			if err := d.show(*n); err != nil { // nobody shows notifications just now; the next may be shown
				fmt.Fprintf(a.stderr, "cannot show %q: %v\n", n.summary, err)
			}
		}
	}
}

// guardKind asks what kind of thing the guard did, which the stream does not tell; "" when tierd does not know it either, and
// "dry-run" when it only said that it would.
func (a *app) guardKind(ctx context.Context, e api.Event) string {
	if e.Kind != "guard" {
		return ""
	}
	g, err := a.client().Guard(ctx)
	if err != nil {
		return ""
	}
	for _, known := range g.Recent {
		switch {
		case known.Tier != e.Tier || known.Told() != e.Text:
		case known.DryRun:
			return "dry-run"
		default:
			return known.Kind
		}
	}
	return ""
}

// The pauses between attempts to reach a tierd that is not there.
const (
	firstRetry = time.Second
	lastRetry  = time.Minute
)

// everyEvent tells of what happens from now on, for as long as ctx lives, whether tierd is there or not.
func (a *app) everyEvent(ctx context.Context) <-chan api.Event {
	events := make(chan api.Event)
	go func() {
		for pause := firstRetry; ctx.Err() == nil; pause = min(2*pause, lastRetry) {
			for e, err := range a.client().Events(ctx, api.FromNow) {
				if err != nil {
					break
				}
				select {
				case events <- e:
				case <-ctx.Done():
				}
			}
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
		}
	}()
	return events
}
