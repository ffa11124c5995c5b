package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// tick bounds how old the progress is that a waiting user sees.
const tick = 250 * time.Millisecond

// begun is what --no-wait prints as JSON.
type begun struct {
	Change string `json:"change"`
}

// finish waits for changes that were begun, shows their progress on stderr and their end on stdout. With --no-wait it
// prints the ids only. many: the command may act on several tiers, so its JSON is always an array.
func (a *app) finish(ctx context.Context, c control, ids []string, many bool) error {
	ids = distinct(ids) // a second start of a tier that is starting joins the first change
	if a.noWait {
		return a.printBegun(ids, many)
	}
	changes, err := a.wait(ctx, c, ids)
	if errors.Is(err, context.Canceled) {
		return goesOn(ids)
	}
	if printErr := a.printEnds(changes, many); printErr != nil {
		return printErr
	}
	failed := []error{err}
	for _, ch := range changes {
		failed = append(failed, endOf(ch))
	}
	return errors.Join(failed...)
}

// wait follows every change to its end and returns them in the order of ids. A change that cannot be followed is left
// out, with its error.
func (a *app) wait(ctx context.Context, c control, ids []string) ([]api.Change, error) {
	show := a.newProgress()
	defer show.close()
	type answer struct {
		index  int
		change api.Change
		err    error
	}
	answers := make(chan answer)
	for i, id := range ids {
		go follow(ctx, c, id, func(ch api.Change, err error) { answers <- answer{i, ch, err} })
	}
	ends := make([]*api.Change, len(ids))
	var failed []error
	for left := len(ids); left > 0; {
		got := <-answers
		switch {
		case got.err != nil:
			failed = append(failed, got.err)
			left--
		case got.change.Done():
			ends[got.index] = &got.change
			left--
		}
		if got.err == nil {
			show.update(got.change)
		}
	}
	var changes []api.Change
	for _, ch := range ends {
		if ch != nil {
			changes = append(changes, *ch)
		}
	}
	if ctx.Err() != nil {
		return changes, ctx.Err()
	}
	return changes, errors.Join(failed...)
}

// follow tells of a change at each tick, up to and with its end or the error that ends the following.
func follow(ctx context.Context, c control, id string, tell func(api.Change, error)) {
	var last api.Change
	for {
		ch, err := c.WaitChange(ctx, id, tick)
		if last.ID != "" && (isKind(err, api.KindNotFound) || err == nil && !ch.Started.Equal(last.Started)) {
			err = &api.Error{
				Kind:    api.KindAborted,
				Message: fmt.Sprintf("cannot follow change %s to its end: tierd was restarted meanwhile and no longer knows it", id),
				Hint:    "what systemd had begun goes on: tierctl status",
			}
		}
		tell(ch, err)
		if err != nil || ch.Done() {
			return
		}
		last = ch
	}
}

func isKind(err error, kind api.ErrorKind) bool {
	var sent *api.Error
	return errors.As(err, &sent) && sent.Kind == kind
}

// endOf is the error of a change that did not do what it was for.
func endOf(ch api.Change) error {
	switch {
	case ch.Err != nil:
		return ch.Err
	case ch.State == "done":
		return nil
	}
	return &api.Error{Kind: api.KindAborted, Message: fmt.Sprintf("cannot finish change %s (%s): it was aborted", ch.ID, ch.Summary)}
}

// goesOn is the answer to Ctrl-C: the wait ends, the change does not, since the units are systemd's by now.
func goesOn(ids []string) error {
	if len(ids) == 1 {
		return &failure{
			status:  exitInterrupted,
			message: fmt.Sprintf("no longer waiting; change %s goes on", ids[0]),
			hint:    fmt.Sprintf("tierctl changes %[1]s --wait, or tierctl abort %[1]s", ids[0]),
		}
	}
	return &failure{
		status:  exitInterrupted,
		message: fmt.Sprintf("no longer waiting; the changes %s go on", list(ids)),
		hint:    "tierctl changes, or tierctl abort ID",
	}
}

func (a *app) printBegun(ids []string, many bool) error {
	if a.format == formatJSON {
		out := make([]begun, len(ids))
		for i, id := range ids {
			out[i] = begun{id}
		}
		return a.writeOneOrAll(toAny(out), many)
	}
	for _, id := range ids {
		fmt.Fprintf(a.stdout, "change %s\n", id)
	}
	return nil
}

func (a *app) printEnds(changes []api.Change, many bool) error {
	if a.format == formatJSON {
		return a.writeOneOrAll(toAny(changes), many)
	}
	for _, ch := range changes {
		switch {
		case ch.State != "done":
		case len(ch.Tasks) == 0:
			fmt.Fprintf(a.stdout, "%s: nothing to do\n", ch.Summary)
		default:
			fmt.Fprintf(a.stdout, "%s: done in %s\n", ch.Summary, formatAge(ch.Finished.Sub(ch.Started)))
		}
	}
	return nil
}

// writeOneOrAll writes an array for commands that take several tiers and the object alone for the others.
func (a *app) writeOneOrAll(values []any, many bool) error {
	if many {
		return a.writeJSON(values)
	}
	for _, v := range values {
		if err := a.writeJSON(v); err != nil {
			return err
		}
	}
	return nil
}

func toAny[T any](values []T) []any {
	out := make([]any, len(values))
	for i, v := range values {
		out[i] = v
	}
	return out
}

// distinct keeps the first of equal ids, in order.
func distinct(ids []string) []string {
	var out []string
	for _, id := range ids {
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}
