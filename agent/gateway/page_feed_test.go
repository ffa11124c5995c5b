package gateway

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/gateway/queue"
)

// feedRig is a board with a feed in a bubble. Whatever it leaves running fails the bubble.
type feedRig struct {
	*board
	tierd    *fakeOverview
	view     atomic.Pointer[view]
	inFlight atomic.Int64
	queues   atomic.Pointer[map[string]queue.Stats]
}

func newFeedRig() *feedRig {
	r := &feedRig{tierd: &fakeOverview{}}
	r.view.Store(pageView(api.Route{Tier: "a", State: api.Stopped}))
	r.queues.Store(&map[string]queue.Stats{})
	f := &feed{
		log: slog.New(slog.DiscardHandler), overview: r.tierd, view: r.view.Load, build: "b",
		load: func() load {
			return load{inFlight: map[string]int{"a": int(r.inFlight.Load())}, queues: *r.queues.Load()}
		},
	}
	r.board = newBoard(f.run)
	return r
}

// next is the newest snapshot once everything else is at rest.
func next(t *testing.T, frames <-chan []byte) snapshot {
	t.Helper()
	select {
	case frame := <-frames:
		return decodeFrame(t, string(frame)).Page
	default:
		t.Fatal("there is no snapshot")
		return snapshot{}
	}
}

type pageFrame struct {
	Now  time.Time
	Page snapshot
}

func decodeFrame(t *testing.T, text string) pageFrame {
	t.Helper()
	line, ok := strings.CutPrefix(strings.TrimSuffix(text, "\n\n"), "data: ")
	var f pageFrame
	if err := json.Unmarshal([]byte(line), &f); !ok || err != nil || f.Now.IsZero() {
		t.Fatalf("%v in %q", err, text)
	}
	return f
}

// pass lets some time go by.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestNobodyIsAskedWhileNobodyWatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFeedRig()
		pass(time.Hour)
		if statuses, listens := r.tierd.asked(); statuses != 0 || listens != 0 {
			t.Errorf("tierd was asked %d times", statuses)
		}
		_, leaveOne, err := r.join()
		if err != nil {
			t.Fatal(err)
		}
		_, leaveTwo, _ := r.join()
		pass(time.Minute)
		if statuses, listens := r.tierd.asked(); statuses < 11 || statuses > 14 || listens != 1 {
			t.Errorf("in a minute with two watchers tierd was asked %d times for its status, and %d times for events", statuses, listens)
		}
		leaveOne()
		leaveOne()
		pass(time.Minute)
		before, _ := r.tierd.asked()
		if before < 20 {
			t.Errorf("with the second watcher alone tierd was asked %d times", before)
		}
		leaveTwo()
		pass(time.Hour)
		if after, _ := r.tierd.asked(); after != before {
			t.Errorf("after the last watcher tierd was asked %d more times", after-before)
		}
	})
}

func TestASnapshotComesAtOnceAndThenWhenSomethingChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFeedRig()
		r.tierd.status = api.Status{Version: "1", Tiers: []api.Tier{{Name: "a", Memory: 7}}}
		frames, leave, _ := r.join()
		defer leave()
		synctest.Wait()
		if s := next(t, frames); s.Build != "b" || len(s.Tiers) != 1 {
			t.Errorf("at once: %+v", s)
		}
		pass(feedTick)
		if s := next(t, frames); s.Tierd.State != "there" || s.Tiers[0].Memory != 7 {
			t.Errorf("with tierd's answer: %+v", s)
		}
		pass(time.Minute)
		if len(frames) != 0 {
			t.Errorf("without a change: %s", <-frames)
		}
		r.inFlight.Store(3)
		r.queues.Store(&map[string]queue.Stats{"a": {Waiting: 2}})
		pass(feedTick)
		if s := next(t, frames); s.Tiers[0].InFlight != 3 || s.Tiers[0].Waiting != 2 {
			t.Errorf("with requests: %+v", s)
		}
		r.view.Store(pageView(api.Route{Tier: "a", State: api.Ready}))
		before, _ := r.tierd.asked()
		pass(feedTick)
		if s := next(t, frames); s.Tiers[0].State != api.Ready {
			t.Errorf("with a new table: %+v", s)
		}
		pass(askAtMost)
		if after, _ := r.tierd.asked(); after != before+1 {
			t.Errorf("after a new table tierd was asked %d times", after-before)
		}
	})
}

func TestEventsComeToThePageAndHaveTierdAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFeedRig()
		r.tierd.events = []api.Event{{Seq: 1, Text: "remembered"}}
		frames, leave, _ := r.join()
		defer leave()
		pass(2 * askAtMost)
		before, _ := r.tierd.asked()
		r.tierd.say(func(f *fakeOverview) { f.events = append(f.events, api.Event{Seq: 2, Text: "new"}) })
		pass(feedTick)
		if s := next(t, frames); len(s.Events) != 2 || s.Events[0].Text != "remembered" || s.Events[1].Text != "new" {
			t.Errorf("events %+v", s.Events)
		}
		if after, _ := r.tierd.asked(); after != before+1 {
			t.Errorf("after the event tierd was asked %d times", after-before)
		}
	})
}

func TestAFloodOfChangesIsAFewSnapshotsASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFeedRig()
		frames, leave, _ := r.join()
		defer leave()
		synctest.Wait()
		got := 0
		end := time.Now().Add(10 * time.Second)
		for n := int64(1); time.Now().Before(end); n++ {
			r.inFlight.Store(n)
			r.tierd.say(func(f *fakeOverview) { f.events = append(f.events, api.Event{Seq: uint64(n)}) })
			pass(10 * time.Millisecond)
			select {
			case <-frames:
				got++
			default:
			}
		}
		if most := 10*int(time.Second/feedTick) + 1; got > most || got < most/2 {
			t.Errorf("in 10 s %d snapshots", got)
		}
		if statuses, _ := r.tierd.asked(); statuses > 11 {
			t.Errorf("in 10 s tierd was asked %d times", statuses)
		}
	})
}

func TestTierdThatIsAwayIsSaidToBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFeedRig()
		r.tierd.silent = true
		frames, leave, _ := r.join()
		defer leave()
		pass(feedTick)
		if s := next(t, frames); s.Tierd.State != "away" || s.Tierd.Error != "cannot reach tierd" || len(s.Tiers) != 1 {
			t.Errorf("while it is away: %+v", s)
		}
		pass(time.Minute)
		if _, listens := r.tierd.asked(); listens < 20 {
			t.Errorf("tierd's events were asked for %d times", listens)
		}
		r.tierd.say(func(f *fakeOverview) { f.silent, f.events = false, []api.Event{{Seq: 1}} })
		pass(askAgain + feedTick)
		if s := next(t, frames); s.Tierd.State != "there" || len(s.Events) != 1 {
			t.Errorf("when it is back: %+v", s)
		}
	})
}

func TestTierdThatHangsIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers, ctx := make(chan answer), t.Context()
		go ask(ctx, &hangingTierd{}, nil, answers)
		begin := time.Now()
		if a := <-answers; a.err == nil || time.Since(begin) != askLimit {
			t.Errorf("%v after %v", a.err, time.Since(begin))
		}
	})
}

// hangingTierd takes a connection and never answers.
type hangingTierd struct{ fakeOverview }

func (*hangingTierd) Status(ctx context.Context) (api.Status, error) {
	<-ctx.Done()
	return api.Status{}, ctx.Err()
}

func TestWithoutTierdThePageShowsWhatTheGatewayKnows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFeedRig()
		r.view.Store(nil)
		f := &feed{log: slog.New(slog.DiscardHandler), view: r.view.Load, load: func() load { return load{} }}
		r.board = newBoard(f.run)
		frames, leave, _ := r.join()
		defer leave()
		pass(time.Minute)
		if len(frames) != 0 {
			t.Errorf("without a table: %s", <-frames)
		}
		r.view.Store(pageView(api.Route{Tier: "a"}))
		pass(feedTick)
		if s := next(t, frames); s.Tierd.State != "asked" || len(s.Tiers) != 1 {
			t.Errorf("with a table: %+v", s)
		}
	})
}
