package gateway

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// holdRig is a hold around a pool, without a network, in a bubble of its own time.
type holdRig struct {
	*hold
	t      *testing.T
	pool   *pool
	tierd  *fakeTierd
	active int
	routes []api.Route
}

// inHold runs a test on a hold with one tier "a".
func inHold(t *testing.T, edit func(*api.Route), test func(r *holdRig)) {
	synctest.Test(t, func(t *testing.T) {
		r := &holdRig{t: t, tierd: newFakeTierd()}
		log := slog.New(slog.NewTextHandler(t.Output(), nil))
		r.pool = newPool(log, func() {}, func() {})
		r.hold = newHold(r.pool, r.tierd, log, func() { r.active++ })
		defer r.cancel()
		r.routes = []api.Route{{Tier: "a", Unit: "tier-a.service", State: api.Ready, Hold: 240}}
		edit(&r.routes[0])
		r.set(func(*api.Route) {})
		test(r)
		synctest.Wait()
		r.mu.Lock()
		defer r.mu.Unlock()
		if heldA := r.tiers["a"]; heldA != nil && heldA.waiting() != 0 {
			t.Errorf("%d wait at the end", heldA.waiting())
		}
	})
}

// set edits the route of tier a.
func (r *holdRig) set(edit func(*api.Route)) {
	edit(&r.routes[0])
	r.pool.apply(r.routes)
	r.apply(r.routes)
}

// waiting is a request that may wait.
type asked struct {
	leave context.CancelFunc
	done  chan struct{}
	lease *Lease
	err   error
	took  time.Duration
}

func (r *holdRig) ask(ask Ask) *asked {
	ctx, leave := context.WithCancel(context.Background())
	one := &asked{leave: leave, done: make(chan struct{})}
	if ask.Tier == "" {
		ask.Tier = "a"
	}
	begun := time.Now()
	go func() {
		defer close(one.done)
		one.lease, one.err = r.Acquire(ctx, ask)
		one.took = time.Since(begun)
	}()
	synctest.Wait()
	return one
}

func (a *asked) over() bool {
	select {
	case <-a.done:
		return true
	default:
		return false
	}
}

// failed waits for the failure of a request.
func (r *holdRig) failed(a *asked) *failure {
	r.t.Helper()
	<-a.done
	f, ok := errors.AsType[*failure](a.err)
	if !ok {
		r.t.Fatalf("got %v, %v", a.lease, a.err)
	}
	for _, word := range []string{"context", "too many tokens", "rate limit"} {
		if strings.Contains(strings.ToLower(f.message), word) {
			r.t.Errorf("OpenCode would take %q for something else", f.message)
		}
	}
	return f
}

func (r *holdRig) served(all ...*asked) {
	r.t.Helper()
	for i, a := range all {
		<-a.done
		if a.err != nil {
			r.t.Fatalf("request %d: %v", i, a.err)
		}
	}
}

func (r *holdRig) calls() (begun, ended int) {
	synctest.Wait()
	r.tierd.mu.Lock()
	defer r.tierd.mu.Unlock()
	return len(r.tierd.wishes), r.tierd.ended
}

func stopped(r *api.Route) { r.State = api.Stopped }

func TestAReadyTierIsHandedOutAtOnce(t *testing.T) {
	inHold(t, func(*api.Route) {}, func(r *holdRig) {
		// The client's context must not be touched as long as there is nothing to wait for.
		lease, err := r.Acquire(untouched{r.t}, Ask{Tier: "a", Session: "s"})
		if err != nil {
			r.t.Fatal(err)
		}
		lease.Release()
		if s := r.stats()["a"]; s.Waits != 0 || s.Held != 0 || s.InFlight != 0 {
			r.t.Errorf("counted %+v", s)
		}
	})
}

// untouched is a context whose end nobody may ask for but the pool, which derives the lease's from it.
type untouched struct{ t *testing.T }

func (untouched) Deadline() (time.Time, bool) { return time.Time{}, false }
func (untouched) Done() <-chan struct{}       { return nil }
func (untouched) Err() error                  { return nil }
func (untouched) Value(any) any               { return nil }

func TestAColdTierIsAskedForOnceAndAllAreLetThrough(t *testing.T) {
	inHold(t, stopped, func(r *holdRig) {
		var all []*asked
		for range 20 {
			all = append(all, r.ask(Ask{}))
		}
		if begun, ended := r.calls(); begun != 1 || ended != 0 {
			r.t.Fatalf("%d calls, %d ended", begun, ended)
		}
		if n := r.hold.waiting()["a"]; n != 20 {
			r.t.Errorf("%d wait", n)
		}
		time.Sleep(time.Minute)
		r.set(func(r *api.Route) { r.State = api.Starting })
		time.Sleep(time.Minute)
		r.set(func(r *api.Route) { r.State = api.Ready })
		r.served(all...)
		if begun, ended := r.calls(); begun != 1 || ended != 1 {
			r.t.Errorf("%d calls, %d ended", begun, ended)
		}
		s := r.stats()["a"]
		if s.Held != 20 || s.Waits != 20 || s.InFlight != 20 || s.WaitSum != 20*120 || s.Buckets[9] != 20 {
			r.t.Errorf("counted %+v", s)
		}
		if r.active < 2 {
			r.t.Error("was not told that somebody waits, or nobody any more")
		}
	})
}

func TestTheCallOfTierdLivesAsLongAsSomebodyWaits(t *testing.T) {
	inHold(t, stopped, func(r *holdRig) {
		first, second := r.ask(Ask{}), r.ask(Ask{})
		first.leave()
		if begun, ended := r.calls(); begun != 1 || ended != 0 {
			r.t.Errorf("%d calls, %d ended, with one waiting", begun, ended)
		}
		second.leave()
		if begun, ended := r.calls(); begun != 1 || ended != 1 {
			r.t.Errorf("%d calls, %d ended, with nobody waiting", begun, ended)
		}
		<-first.done
		if !errors.Is(first.err, context.Canceled) {
			r.t.Errorf("who hung up got %v", first.err)
		}
		third := r.ask(Ask{})
		if begun, ended := r.calls(); begun != 2 || ended != 1 {
			r.t.Errorf("%d calls, %d ended, with the next one waiting", begun, ended)
		}
		third.leave()
		<-third.done
		if s := r.stats()["a"]; s.Left != 3 || s.Waits != 3 {
			r.t.Errorf("counted %+v", s)
		}
	})
}

func TestTierdThatIsAwayIsAskedAgain(t *testing.T) {
	inHold(t, stopped, func(r *holdRig) {
		var mu sync.Mutex
		away := true
		r.tierd.ensure = func(ctx context.Context, _ string) error {
			mu.Lock()
			defer mu.Unlock()
			if away {
				return &api.Error{Kind: api.KindUnavailable, Message: "cannot reach tierd"}
			}
			return nil
		}
		one := r.ask(Ask{})
		time.Sleep(time.Minute)
		begun, _ := r.calls()
		if begun < 10 || begun > 25 {
			r.t.Errorf("asked %d times in a minute", begun)
		}
		mu.Lock()
		away = false
		mu.Unlock()
		time.Sleep(10 * time.Second)
		if one.over() {
			r.t.Fatal("let through before the table says that the tier is ready")
		}
		r.set(func(r *api.Route) { r.State = api.Ready })
		r.served(one)
	})
}

func TestANoIsLoggedOnceHoweverOftenClientsAsk(t *testing.T) {
	inHold(t, stopped, func(r *holdRig) {
		var log bytes.Buffer
		r.log = slog.New(slog.NewTextHandler(&log, nil))
		no := func(reason string) {
			r.tierd.ensure = func(context.Context, string) error { return &api.Error{Kind: api.KindConfig, Message: reason} }
		}
		lines := func(want int) {
			r.t.Helper()
			for range 5 {
				r.failed(r.ask(Ask{}))
			}
			if got := strings.Count(log.String(), "will not have a tier ready"); got != want {
				r.t.Errorf("%d lines, want %d:\n%s", got, want, &log)
			}
		}
		no("no such flag")
		lines(1)
		no("no such model")
		lines(2)
		r.set(func(r *api.Route) { r.State = api.Ready })
		r.set(stopped)
		lines(3)
	})
}
