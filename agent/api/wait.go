package api

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"
)

const (
	waitSlice  = 30 * time.Second       // one request of WaitChange; the next one follows at once
	waitOutage = 15 * time.Second       // how long WaitChange puts up with a tierd that does not answer
	retryFirst = 100 * time.Millisecond // the first pause before a connection is tried again; doubled each time
	retryMost  = 2 * time.Second
)

// WaitChange returns the change once it is done, whatever its end: look at its State and Err. After timeout it returns
// the change as it is then, without an error; 0 means no limit but the context's.
//
// A restart of tierd is waited out. The new tierd does not know the changes of the old one: that gives KindAborted,
// and what was started goes on under systemd.
func (c *Client) WaitChange(ctx context.Context, id string, timeout time.Duration) (Change, error) {
	w := waiter{client: c, id: id}
	if timeout > 0 {
		w.until = time.Now().Add(timeout)
	}
	for {
		done, err := w.once(ctx)
		if done || err != nil {
			return w.last, err
		}
	}
}

// waiter is one WaitChange: what it knows of the change and since when tierd has been silent.
type waiter struct {
	client *Client
	id     string
	until  time.Time // zero: no limit
	last   Change
	seen   bool // last is of tierd
	silent time.Time
	pause  time.Duration
}

// once asks once; done tells that there is no more to ask.
func (w *waiter) once(ctx context.Context) (done bool, err error) {
	slice := waitSlice
	if !w.until.IsZero() {
		slice = min(slice, max(time.Until(w.until), 0))
	}
	change, err := get[Change](ctx, w.client, fmt.Sprintf("/v1/changes/%s/wait?timeout=%s", url.PathEscape(w.id), slice))
	switch {
	case err == nil && w.seen && !change.Started.Equal(w.last.Started):
		return false, w.lost() // the same id in a new tierd's life is another change
	case err == nil:
		w.last, w.seen, w.silent, w.pause = change, true, time.Time{}, 0
		return change.Done() || !w.until.IsZero() && !time.Now().Before(w.until), nil
	case Unavailable(err):
		return false, w.retry(ctx, err)
	case w.seen || !w.silent.IsZero():
		var e *Error
		if errors.As(err, &e) && e.Kind == KindNotFound {
			return false, w.lost()
		}
	}
	return false, err
}

// retry waits a little, unless tierd has been silent for too long.
func (w *waiter) retry(ctx context.Context, cause error) error {
	now := time.Now()
	if w.silent.IsZero() {
		w.silent = now
	}
	if now.Sub(w.silent) > waitOutage {
		return cause
	}
	w.pause = nextPause(w.pause)
	return sleep(ctx, w.pause)
}

func (w *waiter) lost() error {
	return &Error{
		Kind:    KindAborted,
		Message: fmt.Sprintf("cannot follow change %s to its end: tierd was restarted meanwhile and no longer knows it", w.id),
		Hint:    "tierctl status",
	}
}

func nextPause(last time.Duration) time.Duration {
	return min(max(2*last, retryFirst), retryMost)
}

// sleep waits, or returns the context's error when it ends first.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
