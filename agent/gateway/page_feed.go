package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// feedTick is how often the page's figures are looked at while somebody watches, and so how many snapshots a second there
// are at most. Requests come and go too fast to be told of each.
const feedTick = 250 * time.Millisecond

// feed makes the page's snapshots out of what the gateway knows and what tierd says.
type feed struct {
	log      *slog.Logger
	overview Overview
	view     func() *view
	load     func() load
	build    string // of the page's assets
}

func (g *Gateway) newFeed() *feed {
	return &feed{log: g.log, overview: g.cfg.Overview, view: g.view.Load, load: func() load {
		l := load{queues: g.hold.stats()}
		l.inFlight, l.idle, _ = g.pool.report()
		return l
	}}
}

// run publishes a snapshot at once and then whenever it has changed, until ctx ends.
func (f *feed) run(ctx context.Context, publish func(frame []byte)) {
	wishes := make(chan struct{}, 1)
	answers := make(chan answer)
	events := make(chan api.Event)
	var helpers sync.WaitGroup
	if f.overview != nil {
		helpers.Go(func() { ask(ctx, f.overview, wishes, answers) })
		helpers.Go(func() { listen(ctx, f.overview, events) })
	}
	defer helpers.Wait()
	tick := time.NewTicker(feedTick)
	defer tick.Stop()
	var n told
	var last []byte
	seen := f.view()
	for {
		last = f.publish(&n, last, publish)
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				return
			case a := <-answers:
				n.take(a)
			case e := <-events:
				n.add(e)
				poke(wishes)
			case <-tick.C:
				waiting = false
			}
		}
		if v := f.view(); v != seen {
			seen = v
			poke(wishes)
		}
	}
}

// publish makes the snapshot, hands it on when it differs from last, and returns it.
func (f *feed) publish(n *told, last []byte, publish func([]byte)) []byte {
	v := f.view()
	if v == nil {
		return last
	}
	now := time.Now()
	s := newSnapshot(v, f.load(), n, now)
	s.Build = f.build
	body, err := json.Marshal(s)
	if err != nil { // a time beyond the year 9999, from tierd
		f.log.Warn("cannot tell the page what there is", "err", err)
		return last
	}
	if bytes.Equal(body, last) {
		return last
	}
	// The browser's clock may be another machine's, so ages are counted from the gateway's.
	frame := struct {
		Now  time.Time       `json:"now"`
		Page json.RawMessage `json:"page"`
	}{now, body}
	if whole, err := json.Marshal(frame); err == nil {
		publish(dataFrame(whole))
	}
	return body
}
