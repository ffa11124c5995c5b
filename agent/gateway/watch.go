package gateway

import (
	"context"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// Pauses after a failed call of tierd, doubled up to the last. tierd's socket outlives it, so that a call usually
// waits in the socket's queue while tierd restarts and does not fail at all.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
	// pollLimit is above what tierd holds a call for: a call that takes longer has lost its peer.
	pollLimit   = 12 * time.Minute
	reportLimit = 10 * time.Second
	// activityPause keeps requests that come and go by the hundred from being as many reports. tierd lets a tier give way
	// that was idle a moment ago, and its requests may finish all the same.
	activityPause = time.Second
)

// watch hands every new table to out, until the context ends. After an error it asks for any table, whatever its Seq:
// a tierd that has restarted counts from one again.
func (g *Gateway) watch(ctx context.Context, out chan<- api.Table) {
	var seq uint64
	pause := time.Duration(0)
	for ctx.Err() == nil {
		call, cancel := context.WithTimeout(ctx, pollLimit)
		table, err := g.cfg.Control.Table(call, seq)
		cancel()
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			if pause == 0 {
				g.log.Warn("cannot hear from tierd; forwarding goes on by the last table", "err", err)
			}
			seq = 0
			pause = min(max(pause*2, firstPause), lastPause)
			wait(ctx, pause)
			continue
		}
		if pause != 0 {
			g.log.Info("hears from tierd again")
			pause = 0
		}
		if table.Seq == seq && seq != 0 {
			continue // tierd's time limit
		}
		seq = table.Seq
		select {
		case out <- table:
		case <-ctx.Done():
			return
		}
	}
}

// tell reports to tierd whenever something it should know has changed, and again until it has heard it.
func (g *Gateway) tell(ctx context.Context) {
	var last time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.changed:
		case <-g.active:
			select {
			case <-ctx.Done():
				return
			case <-g.changed:
			case <-time.After(time.Until(last.Add(activityPause))):
			}
		}
		last = time.Now()
		for pause := firstPause; ; pause = min(pause*2, lastPause) {
			call, cancel := context.WithTimeout(ctx, reportLimit)
			err := g.cfg.Control.Report(call, g.report())
			cancel()
			if err == nil || ctx.Err() != nil {
				break
			}
			g.log.Debug("cannot report to tierd", "err", err)
			wait(ctx, pause)
		}
	}
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
