package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// loadResult is what `tierctl guard test --format json` prints. Times are in milliseconds.
type loadResult struct {
	End     string           `json:"end"` // "back", "dry-run", "not-back", "not-reached", "no-action", "floor", "ended"
	Before  uint64           `json:"before"`
	Lowest  uint64           `json:"lowest"` // available
	Taken   uint64           `json:"taken"`
	Crossed time.Time        `json:"crossed,omitzero"` // the soft line
	Action  *api.GuardEvent  `json:"action,omitempty"`
	Delay   *float64         `json:"delay_ms,omitempty"` // from the crossing to the action
	Back    *float64         `json:"back_ms,omitempty"`  // from the action until the soft line was passed again, with all of it still taken
	Events  []api.GuardEvent `json:"events,omitempty"`   // of the guard meanwhile
	Resting []api.GuardRest  `json:"resting,omitempty"`
}

// guardPause is between two questions to tierd about the guard.
const guardPause = 50 * time.Millisecond

// run takes the memory, watches and gives it back, whatever comes of it.
func (t *loadTest) run(ctx context.Context, c control) (loadResult, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := loadResult{Before: t.before, Lowest: t.before}
	known, err := c.Guard(ctx) // what it did before is none of ours
	if err != nil {
		return r, err
	}
	load, err := t.start(t.load, t.dmaHeap)
	if err != nil {
		return r, err
	}
	defer load.end()
	if err := t.watch(ctx, &r, load, follows(ctx, c, known.Recent)); err != nil {
		return r, err
	}
	load.end()
	if g, err := c.Guard(ctx); err == nil {
		r.Resting = g.Resting
	}
	return r, nil
}

// watch goes by what the load and the guard say until one of the ends is reached.
func (t *loadTest) watch(ctx context.Context, r *loadResult, load taker, events <-chan api.GuardEvent) error {
	var deadline <-chan time.Time // from when the pace begins, anew when the guard has acted
	for r.End == "" {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline:
			r.End = r.late()
		case e := <-events:
			r.Events = append(r.Events, e)
			if r.Action == nil && acts(e) {
				r.Action = &e
				load.hold()
				deadline = time.After(backWithin)
				if e.DryRun { // no memory will come back
					r.End = "dry-run"
				}
			}
		case report, ok := <-load.reports():
			if !ok {
				r.End = "ended"
				return endedEarly(r, load.why())
			}
			if deadline == nil && report.Phase != "quick" {
				deadline = time.After(t.seconds)
			}
			t.note(r, report)
		}
	}
	return nil
}

// endedEarly is the error of a load that ended before it was told to.
func endedEarly(r *loadResult, why string) error {
	f := &failure{status: exitFailed, message: fmt.Sprintf("the process that takes the memory ended, at %s: %s", size(r.Taken), why)}
	if strings.Contains(why, "killed") {
		f.hint = "the kernel, or a program such as earlyoom, was faster than the guard: journalctl -k, tierctl doctor"
	}
	return f
}

// note takes in what the load says.
func (t *loadTest) note(r *loadResult, report loadReport) {
	r.Taken, r.Lowest = report.Taken, min(r.Lowest, report.Available)
	// The load looks right after it has taken, so that a line which it crosses itself is seen at once.
	if r.Crossed.IsZero() && report.Available < t.state.Soft {
		r.Crossed = report.Time
	}
	if r.Action != nil && !r.Crossed.IsZero() && r.Delay == nil {
		r.Delay = milli(max(r.Action.Time.Sub(r.Crossed), 0))
	}
	switch {
	case report.Phase == "floor":
		r.End = "floor"
	case r.Action != nil && report.Time.After(r.Action.Time) && report.Available >= t.state.Soft:
		r.Back = milli(report.Time.Sub(r.Action.Time))
		r.End = "back"
	case report.Phase == "holding" && r.Crossed.IsZero() && r.Action == nil:
		r.End = "not-reached"
	}
}

// late is the end of a test whose time is over.
func (r *loadResult) late() string {
	switch {
	case r.Action != nil:
		return "not-back"
	case r.Crossed.IsZero():
		return "not-reached"
	}
	return "no-action"
}

func milli(d time.Duration) *float64 {
	ms := float64(d.Microseconds()) / 1000
	return &ms
}

// acts tells whether a tier gives way by it.
func acts(e api.GuardEvent) bool { return slices.Contains([]string{"ask", "stop", "kill"}, e.Kind) }

// follows tells of what the guard does, other than what is known. It asks for the state: the stream of events is for people, and
// has neither the kind nor the guard's own time.
func follows(ctx context.Context, c control, known []api.GuardEvent) <-chan api.GuardEvent {
	events := make(chan api.GuardEvent)
	told := map[eventKey]bool{}
	for _, e := range known {
		told[keyOf(e)] = true
	}
	go func() {
		for ctx.Err() == nil {
			g, _ := c.Guard(ctx) // one that cannot be asked now, can the next time
			for _, e := range g.Recent {
				if told[keyOf(e)] {
					continue
				}
				told[keyOf(e)] = true
				select {
				case events <- e:
				case <-ctx.Done():
				}
			}
			select {
			case <-time.After(guardPause):
			case <-ctx.Done():
			}
		}
	}()
	return events
}

// eventKey tells events apart, whatever time zone they were written in.
type eventKey struct {
	at         int64
	kind, text string
}

func keyOf(e api.GuardEvent) eventKey { return eventKey{e.Time.UnixNano(), e.Kind, e.Text} }

func (a *app) printLoadResult(r loadResult) {
	fmt.Fprintf(a.stdout, "Took %s; what was available fell from %s to %s at the least.\n", size(r.Taken), size(r.Before), size(r.Lowest))
	if r.Action != nil {
		when := "Before it fell below the soft line"
		if r.Delay != nil {
			when = fmt.Sprintf("%.0f ms after it fell below the soft line", *r.Delay)
		}
		fmt.Fprintf(a.stdout, "%s the guard acted: %s.\n", when, r.Action.Text)
	}
	for _, e := range r.Events {
		if r.Action == nil || keyOf(e) != keyOf(*r.Action) {
			fmt.Fprintf(a.stdout, "It also says: %s.\n", e.Text)
		}
	}
	if r.Back != nil {
		fmt.Fprintf(a.stdout, "%.0f ms later memory was back above the soft line, with all of that still taken.\n", *r.Back)
	}
	fmt.Fprintln(a.stdout, "All of it is given back.")
	for _, line := range (guardPage{Guard: api.Guard{Resting: r.Resting}, now: a.now()}).resting() {
		fmt.Fprintln(a.stdout, line+".")
	}
}

// verdict is the command's error.
func (t *loadTest) verdict(r loadResult) error {
	f := &failure{status: exitFailed, hint: "journalctl -u " + guardUnit}
	switch r.End {
	case "back", "dry-run":
		return nil
	case "not-back":
		f.message = fmt.Sprintf("%s after the guard acted less than %s was available still", formatAge(backWithin), size(t.state.Soft))
	case "not-reached":
		f.message, f.hint = "the soft line was not reached, so nothing was tested", "take more with --size, or take longer with --seconds"
	case "no-action":
		f.message = fmt.Sprintf("the guard did not act, though less than %s was available", size(t.state.Soft))
	case "floor":
		f.message = fmt.Sprintf("less than %s, the hard line, was available before memory was back: the load was taken away", size(t.floor))
	}
	return f
}
