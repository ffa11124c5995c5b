package main

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"
)

// watchdogInterval is how often systemd wants to hear of this process; 0 when it does not watch it.
func watchdogInterval(env []string, pid int) time.Duration {
	usec, err := strconv.ParseInt(lookup(env, "WATCHDOG_USEC"), 10, 64)
	if err != nil || usec <= 0 {
		return 0
	}
	if owner := lookup(env, "WATCHDOG_PID"); owner != "" && owner != strconv.Itoa(pid) {
		return 0
	}
	return time.Duration(usec) * time.Microsecond
}

// engineView is what the watch needs of a prober.
type engineView interface {
	healthy(ctx context.Context) error
	counters(ctx context.Context) (counters, error)
	completes(ctx context.Context) error
	settle(ctx context.Context) error
}

// watch judges whether a ready engine still works. It feeds systemd's watchdog as long as it does.
type watch struct {
	engine   engineView
	interval time.Duration // of systemd's watchdog
	stall    time.Duration // longest time with requests in flight and no token
	feed     func(lines ...string)

	fedAt   atomic.Int64 // time of the last sign of life, in ns since the watch was made
	made    time.Time
	work    float64   // the work counters when they last moved
	movedAt time.Time // then, or when there was nothing to do
	unwell  bool
}

func newWatch(engine engineView, interval, stall time.Duration, feed func(...string)) *watch {
	now := time.Now()
	return &watch{engine: engine, interval: interval, stall: stall, feed: feed, made: now, movedAt: now}
}

// unfed is how long systemd has heard nothing.
func (w *watch) unfed() time.Duration { return time.Since(w.made) - time.Duration(w.fedAt.Load()) }

// overdue tells whether systemd's own timer may have run out: a SIGTERM then comes from the watchdog.
func (w *watch) overdue() bool { return w.unfed() >= w.interval }

// run watches until ctx ends or the engine is given up: then the reason is returned, and systemd has been told to act.
//
// An engine that is well is asked every third of the interval. One that is not gets three chances: looks last a sixth of
// the interval at most, and it is given up at four fifths, so that this side and not systemd's timer ends it and the
// reason is known.
func (w *watch) run(ctx context.Context) string {
	pause := w.interval / 3
	for {
		sleep(ctx, pause)
		err := w.look(ctx)
		switch {
		case ctx.Err() != nil:
			return ""
		case err == nil:
			w.well()
			pause = w.interval / 3
		case w.unfed() > w.interval*4/5:
			w.feed("WATCHDOG=trigger")
			return err.Error()
		default:
			w.unwell = true
			w.feed("STATUS=Not answering: " + oneLine(err.Error()))
			pause = min(time.Second, w.interval/60)
		}
	}
}

func (w *watch) well() {
	w.fedAt.Store(int64(time.Since(w.made)))
	w.feed("WATCHDOG=1")
	if w.unwell {
		w.unwell = false
		w.feed("STATUS=Ready (the engine answers again)")
	}
}

// look asks the engine once. An error says what is wrong with it.
func (w *watch) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, w.interval/6)
	defer cancel()
	if err := w.engine.healthy(ctx); err != nil {
		return err
	}
	seen, err := w.engine.counters(ctx)
	if err != nil {
		return err
	}
	if !seen.known || seen.inFlight == 0 || seen.work != w.work {
		w.work, w.movedAt = seen.work, time.Now()
		return nil
	}
	idle := time.Since(w.movedAt)
	if idle < w.stall {
		return nil
	}
	// A client that keeps its stream open and does not read holds a request in flight with no token for ever, and the
	// engine is well; only a fresh request tells the two apart.
	if err := w.engine.completes(ctx); err != nil {
		return fmt.Errorf("%.0f requests are in flight and there has been no token for %s", seen.inFlight, elapsed(idle))
	}
	w.movedAt = time.Now()
	return w.engine.settle(ctx)
}
