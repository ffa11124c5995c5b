package gateway

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// scriptedTierd answers Table by a function, and counts.
type scriptedTierd struct {
	Control
	table  func(ctx context.Context, after uint64) (api.Table, error)
	report func(ctx context.Context) error
}

func (s scriptedTierd) Table(ctx context.Context, after uint64) (api.Table, error) {
	return s.table(ctx, after)
}

func (s scriptedTierd) Report(ctx context.Context, _ api.GatewayReport) error { return s.report(ctx) }

func TestWatchCallsAnAbsentTierdLessAndLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		g := New(Config{Log: slog.New(slog.DiscardHandler), Control: scriptedTierd{table: func(context.Context, uint64) (api.Table, error) {
			calls.Add(1)
			return api.Table{}, errors.New("away")
		}}})
		ctx, stop := context.WithCancel(t.Context())
		go g.watch(ctx, nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		early := calls.Load()
		time.Sleep(time.Minute)
		synctest.Wait()
		if early > 20 || calls.Load()-early > int32(time.Minute/lastPause) {
			t.Errorf("%d calls in the first minute, %d in the second", early, calls.Load()-early)
		}
		if calls.Load()-early < 10 {
			t.Errorf("only %d calls a minute: tierd would be heard late", calls.Load()-early)
		}
		stop()
		synctest.Wait()
	})
}

func TestWatchHandsOverEachTableOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var latest atomic.Uint64
		latest.Store(5)
		g := New(Config{Log: slog.New(slog.DiscardHandler), Control: scriptedTierd{table: func(ctx context.Context, after uint64) (api.Table, error) {
			if after == latest.Load() {
				time.Sleep(10 * time.Minute) // tierd's time limit, then the same table again
			}
			return api.Table{Seq: latest.Load()}, ctx.Err()
		}}})
		ctx, stop := context.WithCancel(t.Context())
		tables := make(chan api.Table)
		go g.watch(ctx, tables)
		if got := <-tables; got.Seq != 5 {
			t.Errorf("got %d", got.Seq)
		}
		select {
		case got := <-tables:
			t.Errorf("the same table came again: %+v", got)
		case <-time.After(25 * time.Minute):
		}
		latest.Store(6)
		if got := <-tables; got.Seq != 6 {
			t.Errorf("got %d", got.Seq)
		}
		stop()
		time.Sleep(time.Hour)
	})
}

func TestWatchGivesUpACallThatLostItsPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		g := New(Config{Log: slog.New(slog.DiscardHandler), Control: scriptedTierd{table: func(ctx context.Context, _ uint64) (api.Table, error) {
			calls.Add(1)
			<-ctx.Done()
			return api.Table{}, ctx.Err()
		}}})
		ctx, stop := context.WithCancel(t.Context())
		go g.watch(ctx, nil)
		time.Sleep(pollLimit + time.Second)
		synctest.Wait()
		if calls.Load() != 2 {
			t.Errorf("%d calls", calls.Load())
		}
		stop()
		synctest.Wait()
	})
}

func TestKicksAreJoined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reports atomic.Int32
		g := New(Config{Log: slog.New(slog.DiscardHandler), Control: scriptedTierd{report: func(context.Context) error {
			time.Sleep(time.Second)
			reports.Add(1)
			return nil
		}}})
		ctx, stop := context.WithCancel(t.Context())
		go g.tell(ctx)
		for range 100 {
			g.kick()
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if reports.Load() != 2 {
			t.Errorf("100 kicks within a report made %d reports, want the one and one more", reports.Load())
		}
		stop()
		synctest.Wait()
	})
}

func TestRequestsThatComeAndGoMakeOneReportASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var reports atomic.Int32
		g := New(Config{Log: slog.New(slog.DiscardHandler), Control: scriptedTierd{report: func(context.Context) error {
			reports.Add(1)
			return nil
		}}})
		ctx, stop := context.WithCancel(t.Context())
		go g.tell(ctx)
		time.Sleep(time.Minute)
		g.nudge()
		synctest.Wait()
		if reports.Load() != 1 {
			t.Errorf("the first request after a while made %d reports, at once", reports.Load())
		}
		for range 3000 {
			g.nudge()
			time.Sleep(time.Millisecond)
		}
		if n := reports.Load(); n < 3 || n > 5 {
			t.Errorf("three seconds of requests made %d reports", n)
		}
		g.nudge()
		g.kick() // what tierd waits for does not wait
		before := reports.Load()
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if reports.Load() <= before {
			t.Error("a drain's report waited for the pause")
		}
		stop()
		synctest.Wait()
	})
}
