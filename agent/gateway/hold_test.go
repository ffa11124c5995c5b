package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/gateway/queue"
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

func TestTheHoldHasABound(t *testing.T) {
	for rule, c := range map[string]struct {
		state      api.State
		readyIn    time.Duration
		err        error
		says       string
		retryAfter int
	}{
		"a load of which nothing is known":                 {api.Starting, 0, nil, `"a" is starting`, retryStarting},
		"a long load: five attempts last until it is done": {api.Starting, 240*time.Second + 10*time.Minute, nil, "waited 4m0s", 120},
		"a load that is nearly done":                       {api.Starting, 241 * time.Second, nil, "starting", retryBroken},
		"a load that takes longer than others did":         {api.Starting, 200 * time.Second, nil, "starting", retryStarting},
		"tierd is away": {api.Stopped, 0, &api.Error{Kind: api.KindUnavailable, Message: "cannot reach tierd at /x"},
			"as long as it may: cannot reach tierd at /x", retryAbsent},
		"tierd's words are no prompt": {api.Stopped, 0, errors.New("context deadline exceeded"), "as long as it may: tierd does not answer", retryAbsent},
	} {
		inHold(t, func(r *api.Route) { r.State, r.Hold = c.state, 240 }, func(r *holdRig) {
			r.tierd.ensure = func(ctx context.Context, _ string) error {
				if c.err == nil {
					<-ctx.Done()
				}
				return c.err
			}
			if c.readyIn > 0 {
				r.set(func(r *api.Route) { r.ReadyBy = time.Now().Add(c.readyIn) })
			}
			one := r.ask(Ask{})
			f := r.failed(one)
			if one.took != 240*time.Second || f.status != 503 || f.retryAfter != c.retryAfter || !strings.Contains(f.message, c.says) {
				r.t.Errorf("%s: after %v %d, again in %d s: %s", rule, one.took, f.status, f.retryAfter, f.message)
			}
			if s := r.stats()["a"]; s.Refused[codeNotReady] != 1 {
				r.t.Errorf("%s: counted %+v", rule, s)
			}
		})
	}
}

func TestTierdsNoEndsTheHoldAtOnce(t *testing.T) {
	for rule, c := range map[string]struct {
		err  *api.Error
		want failure
		says string
	}{
		"no room": {&api.Error{Kind: api.KindBudget, Message: "cannot start tier \"a\": it needs 5GiB", RetryAfter: 11.2},
			failure{status: 503, code: "no_room", retryAfter: 12}, "it needs 5GiB. `tierctl status` says more."},
		"a load that failed": {&api.Error{Kind: api.KindUnit, Message: "the engine died.", Hint: "journalctl -u tier-a.service", RetryAfter: 40},
			failure{status: 503, code: codeNotReady, retryAfter: 40}, "the engine died. Hint: journalctl -u tier-a.service"},
		"a fault of the configuration": {&api.Error{Kind: api.KindConfig, Message: "there is no model"},
			failure{status: 503, code: "tier_blocked", retryAfter: retryAbsent}, "there is no model"},
		"a tier that there is not":       {&api.Error{Kind: api.KindNotFound, Message: "no tier"}, failure{status: 404, code: "model_not_found"}, "no tier"},
		"words that OpenCode looks for":  {&api.Error{Kind: api.KindUnit, Message: "the Context is too large"}, failure{status: 503, code: codeNotReady, retryAfter: retryAbsent}, "now. `tierctl"},
		"one that is started by hand":    {&api.Error{Kind: api.KindConflict, Message: "a is not up", Hint: "tierctl start a"}, failure{status: 503, code: codeNotReady, retryAfter: retryAbsent}, "Hint: tierctl start a"},
		"one that somebody has ended":    {&api.Error{Kind: api.KindAborted, Message: "stopped by root"}, failure{status: 503, code: codeNotReady, retryAfter: retryAbsent}, "root"},
		"a gateway that has no business": {&api.Error{Kind: api.KindForbidden, Message: "not permitted"}, failure{status: 503, code: codeNotReady, retryAfter: retryAbsent}, "permitted"},
	} {
		inHold(t, stopped, func(r *holdRig) {
			r.tierd.ensure = func(context.Context, string) error {
				time.Sleep(3 * time.Second)
				return c.err
			}
			first, second := r.ask(Ask{}), r.ask(Ask{})
			for _, one := range []*asked{first, second} {
				f := r.failed(one)
				if one.took != 3*time.Second || f.status != c.want.status || f.code != c.want.code || f.retryAfter != c.want.retryAfter || !strings.Contains(f.message, c.says) {
					r.t.Errorf("%s: after %v %+v", rule, one.took, f)
				}
			}
			if begun, _ := r.calls(); begun != 1 {
				r.t.Errorf("%s: asked %d times", rule, begun)
			}
			third := r.ask(Ask{}) // the next one asks anew
			r.failed(third)
			if begun, _ := r.calls(); begun != 2 {
				r.t.Errorf("%s: asked %d times", rule, begun)
			}
		})
	}
}

func TestWhoNeedNotWaitIsAnsweredAtOnce(t *testing.T) {
	for rule, c := range map[string]struct {
		edit func(*api.Route)
		ask  Ask
		code string
	}{
		"a blocked tier":                {func(r *api.Route) { r.State, r.Reason = api.Blocked, "no model" }, Ask{}, codeNotReady},
		"a look at a tier's health":     {stopped, Ask{Light: true, Probe: true}, codeNotReady},
		"a route without a hold":        {func(r *api.Route) { r.State, r.Hold = api.Stopped, 0 }, Ask{}, codeNotReady},
		"a tier that there is not":      {func(*api.Route) {}, Ask{Tier: "b"}, "model_not_found"},
		"a gateway that is to stop":     {stopped, Ask{}, "gateway_stopping"},
		"a route without time to queue": {func(r *api.Route) { r.Concurrency, r.Hold = 1, 0 }, Ask{}, "tier_busy"},
	} {
		inHold(t, c.edit, func(r *holdRig) {
			switch c.code {
			case "gateway_stopping":
				r.stop()
			case "tier_busy":
				defer r.ask(Ask{}).lease.Release()
			}
			one := r.ask(c.ask)
			if !one.over() || r.failed(one).code != c.code {
				r.t.Errorf("%s: %+v", rule, one)
			}
			if begun, _ := r.calls(); begun != 0 {
				r.t.Errorf("%s: tierd was asked", rule)
			}
		})
	}
}

func TestATierThatGetsBlockedOrGoesEndsItsHolds(t *testing.T) {
	inHold(t, stopped, func(r *holdRig) {
		one := r.ask(Ask{})
		r.set(func(r *api.Route) { r.State, r.Reason = api.Blocked, "its model is gone" })
		if f := r.failed(one); !strings.Contains(f.message, "its model is gone") {
			r.t.Errorf("got %q", f.message)
		}
		r.set(stopped)
		one = r.ask(Ask{})
		r.routes[0].Tier = "b"
		r.set(func(*api.Route) {})
		if f := r.failed(one); f.status != 404 {
			r.t.Errorf("got %+v", f)
		}
		if begun, ended := r.calls(); begun != ended {
			r.t.Errorf("%d of %d calls go on", begun-ended, begun)
		}
	})
}

func TestAStopAnswersAllThatWait(t *testing.T) {
	inHold(t, stopped, func(r *holdRig) {
		one := r.ask(Ask{})
		r.stop()
		if f := r.failed(one); f.code != "gateway_stopping" || f.retryAfter != retryBroken {
			r.t.Errorf("got %+v", f)
		}
		r.set(func(r *api.Route) { r.State = api.Ready })
		r.served(r.ask(Ask{})) // what need not wait is served to the end
	})
}

func TestASwitchLosesNothing(t *testing.T) {
	inHold(t, func(r *api.Route) { r.Concurrency = 2 }, func(r *holdRig) {
		var all []*asked
		for range 6 {
			all = append(all, r.ask(Ask{}))
		}
		for _, state := range []api.State{api.Draining, api.Stopping} {
			r.set(func(r *api.Route) { r.State = state })
			all = append(all, r.ask(Ask{}))
		}
		r.set(func(r *api.Route) { r.State, r.Unit = api.Starting, "tier-a-llama.service" })
		time.Sleep(30 * time.Second)
		served := 0
		for _, one := range all {
			if one.over() {
				served++
			}
		}
		if served != 2 {
			r.t.Errorf("%d were served before the switch", served)
		}
		r.set(func(r *api.Route) { r.State = api.Ready })
		for !all[len(all)-1].over() {
			synctest.Wait()
			at := slices.IndexFunc(all[2:], func(a *asked) bool { return a.over() && a.lease.held != nil })
			if at < 0 {
				r.t.Fatal("nobody is served, and some wait")
			}
			one := all[2+at]
			if one.lease.Route.Unit != "tier-a-llama.service" {
				r.t.Errorf("served by %s", one.lease.Route.Unit)
			}
			one.lease.Release()
			one.lease.held = nil
		}
		r.served(all...)
		if begun, ended := r.calls(); begun != 1 || ended != 1 {
			r.t.Errorf("%d calls of tierd, %d ended", begun, ended)
		}
	})
}

// The requests of the unit that was, which end late, must not count for the unit that is.
func TestWhatEndsLateAtTheOldUnitFreesNoTurnOfTheNewOne(t *testing.T) {
	inHold(t, func(r *api.Route) { r.Concurrency = 1 }, func(r *holdRig) {
		old := r.ask(Ask{})
		r.served(old)
		r.set(func(r *api.Route) { r.Unit = "tier-a-llama.service" })
		first, second := r.ask(Ask{}), r.ask(Ask{})
		r.served(first)
		old.lease.Release()
		synctest.Wait()
		if second.over() {
			r.t.Error("two in service with a limit of one")
		}
		first.lease.Release()
		r.served(second)
	})
}

// late is a pool that knows of a table before the hold does.
type late struct {
	Source
	refusals int
}

func (l *late) Acquire(ctx context.Context, ask Ask) (*Lease, error) {
	if l.refusals > 0 {
		l.refusals--
		return nil, notReady(api.Route{Tier: "a", State: api.Draining})
	}
	return l.Source.Acquire(ctx, ask)
}

func TestATierThatGoesBetweenTurnAndLeaseIsWaitedFor(t *testing.T) {
	inHold(t, func(r *api.Route) { r.Concurrency = 1 }, func(r *holdRig) {
		source := &late{Source: r.pool, refusals: 1}
		r.source = source
		first := r.ask(Ask{})
		second := r.ask(Ask{}) // does not even try
		if first.over() || second.over() || source.refusals != 0 {
			r.t.Fatal("somebody went through")
		}
		r.set(func(*api.Route) {}) // the table comes, and says ready after all
		r.served(first)
		source.refusals = 1
		first.lease.Release()
		synctest.Wait()
		if second.over() {
			r.t.Fatal("went through")
		}
		r.set(func(*api.Route) {})
		r.served(second)
	})
}

// overtaken is a pool that refuses by a table, while the next one reaches the hold.
type overtaken struct {
	Source
	next func()
}

func (o *overtaken) Acquire(ctx context.Context, ask Ask) (*Lease, error) {
	if next := o.next; next != nil {
		o.next = nil
		next()
		return nil, notReady(api.Route{Tier: "a", State: api.Draining})
	}
	return o.Source.Acquire(ctx, ask)
}

func TestARefusalThatANewerTableOvertookIsForgotten(t *testing.T) {
	inHold(t, func(*api.Route) {}, func(r *holdRig) {
		r.source = &overtaken{r.pool, func() { r.set(func(*api.Route) {}) }}
		one := r.ask(Ask{})
		if !one.over() {
			r.t.Fatal("waits for a table that has come")
		}
		r.served(one)
	})
}

func TestWhoHangsUpJustAsItsTurnComesGivesItBack(t *testing.T) {
	inHold(t, func(r *api.Route) { r.Concurrency = 1 }, func(r *holdRig) {
		for n := range 100 {
			first, second := r.ask(Ask{}), r.ask(Ask{})
			r.served(first)
			if n%2 == 0 {
				second.leave()
				first.lease.Release()
			} else {
				first.lease.Release()
				second.leave()
			}
			<-second.done
			if second.lease != nil {
				second.lease.Release()
			}
		}
		if s := r.stats()["a"]; s.InFlight != 0 || s.Left == 0 {
			r.t.Errorf("left with %+v", s)
		}
	})
}

func TestAnAttemptThatCameToNothingIsMadeAgainWithinTheSameBound(t *testing.T) {
	inHold(t, stopped, func(r *holdRig) {
		ask := Ask{Tier: "a", Session: "s"}
		one := r.ask(ask)
		time.Sleep(200 * time.Second)
		r.set(func(r *api.Route) { r.State = api.Ready })
		r.served(one)
		time.Sleep(time.Hour) // in service: that is no wait
		r.set(stopped)
		ask.again(one.lease, &unsent{notReady(r.routes[0])})
		one.lease.Release()
		next := r.ask(ask)
		if f := r.failed(next); next.took != 40*time.Second || f.code != codeNotReady {
			r.t.Errorf("after %v more: %+v", next.took, f)
		}
	})
}

func TestAnEngineThatTakesNoConnectionIsTriedForAWhile(t *testing.T) {
	refused := errors.New("connection refused")
	for _, c := range []struct {
		hold float64
		want time.Duration
	}{{240, 5 * time.Second}, {2, 2 * time.Second}, {0, 0}} {
		inHold(t, func(r *api.Route) { r.Hold = c.hold }, func(r *holdRig) {
			ask := Ask{Tier: "a", Session: "s"}
			begun := time.Now()
			attempts := 0
			for {
				one := r.ask(ask)
				<-one.done
				if one.err != nil {
					if !errors.Is(one.err, refused) {
						r.t.Errorf("got %v", one.err)
					}
					break
				}
				attempts++
				ask.again(one.lease, refused)
				one.lease.Release()
			}
			took := time.Since(begun)
			if took < c.want || took > c.want+time.Second || c.hold == 240 && attempts != unsentTries+1 {
				r.t.Errorf("hold of %v s: %d attempts in %v", c.hold, attempts, took)
			}
		})
	}
}

func TestAnEngineThatDiedIsWaitedFor(t *testing.T) {
	inHold(t, func(*api.Route) {}, func(r *holdRig) {
		ask := Ask{Tier: "a"}
		one := r.ask(ask)
		r.served(one)
		ask.again(one.lease, errors.New("connection refused"))
		one.lease.Release()
		next := r.ask(ask)
		r.set(func(r *api.Route) { r.State = api.Starting })
		time.Sleep(time.Minute)
		if next.over() {
			r.t.Fatal("did not wait")
		}
		r.set(func(r *api.Route) { r.State = api.Ready })
		r.served(next)
	})
}

func TestABusyTierKeepsItsLimitAndItsBounds(t *testing.T) {
	inHold(t, func(r *api.Route) { r.Concurrency = 1 }, func(r *holdRig) {
		first := r.ask(Ask{})
		r.served(first)
		r.served(r.ask(Ask{Light: true})) // needs no turn
		var line []*asked
		for range queueRoom {
			line = append(line, r.ask(Ask{}))
		}
		if f := r.failed(r.ask(Ask{})); f.status != 503 || f.code != "queue_full" || f.retryAfter != retryBusy {
			r.t.Errorf("beyond the room: %+v", f)
		}
		if begun, _ := r.calls(); begun != 0 {
			r.t.Error("tierd was asked for a tier that is ready")
		}
		time.Sleep(100 * time.Second)
		if s := r.stats()["a"]; s.Longest != 100*time.Second || s.Waiting != queueRoom || s.InFlight != 1 {
			r.t.Errorf("counted %+v", s)
		}
		first.lease.Release()
		r.served(line[0])
		f := r.failed(line[1])
		if line[1].took != 240*time.Second || f.code != "tier_busy" || f.retryAfter != retryBusy {
			r.t.Errorf("after %v %+v", line[1].took, f)
		}
	})
}

func TestSubAgentsShareTheirSessionsTurns(t *testing.T) {
	inHold(t, func(r *api.Route) { r.Concurrency = 1 }, func(r *holdRig) {
		running := r.ask(Ask{Session: "main"})
		r.served(running)
		var all []*asked
		for i := range 5 {
			all = append(all, r.ask(Ask{Session: fmt.Sprint("sub", i), Parent: "main"}))
		}
		other := r.ask(Ask{Session: "other"})
		running.lease.Release()
		r.served(all[0])
		all[0].lease.Release()
		r.served(other)
		if all[1].over() {
			r.t.Error("the sub-agents went ahead of another session twice")
		}
		other.lease.Release()
		for _, one := range all[1:] {
			r.served(one)
			one.lease.Release()
		}
	})
}

func TestABurstOfOneSessionIsHeldAndNotRefused(t *testing.T) {
	inHold(t, func(*api.Route) {}, func(r *holdRig) {
		var all []*asked
		for range queue.Burst + 4 {
			all = append(all, r.ask(Ask{Session: "s"}))
		}
		if all[queue.Burst-1].took != 0 || all[queue.Burst].over() {
			r.t.Error("not the burst alone went through")
		}
		r.served(r.ask(Ask{Session: "other"}), r.ask(Ask{}), r.ask(Ask{Session: "s", Light: true}))
		// One gives up; the last waits no longer for it.
		all[queue.Burst+1].leave()
		r.served(all[len(all)-1])
		if took := all[len(all)-1].took; took != 4*queue.Interval {
			r.t.Errorf("the fourth beyond the burst waited %v", took)
		}
		next := r.ask(Ask{Session: "s"})
		r.served(next)
		if next.took > queue.Interval {
			r.t.Errorf("after one that gave up: %v", next.took)
		}
		if s := r.stats()["a"]; s.Slowed < 4 || s.Left != 1 || len(s.Refused) != 0 {
			r.t.Errorf("counted %+v", s)
		}
	})
}

func TestAStreamThatWaitsIsKeptAliveOnlyWhereTheTierSaysSo(t *testing.T) {
	for keepalive, want := range map[string]int{"": 0, keepaliveComments: 1 + 5} {
		inHold(t, func(r *api.Route) { r.State, r.Keepalive = api.Starting, keepalive }, func(r *holdRig) {
			beats := 0
			one := r.ask(Ask{Beat: func() { beats++ }})
			time.Sleep(firstBeat + 5*nextBeat)
			synctest.Wait()
			if beats != want {
				r.t.Errorf("%q: %d beats", keepalive, beats)
			}
			r.set(func(r *api.Route) { r.State = api.Ready })
			r.served(one)
		})
	}
}

func TestTheElderCountsAgainstTheLimit(t *testing.T) {
	inHold(t, func(r *api.Route) { r.Concurrency = 2 }, func(r *holdRig) {
		r.setElder(map[string]int{"tier-a.service": 1})
		first, second := r.ask(Ask{}), r.ask(Ask{})
		r.served(first)
		if second.over() {
			r.t.Error("three in service with a limit of two")
		}
		r.setElder(nil)
		r.served(second)
	})
}

func TestSessionsFindTheirSlotsAgain(t *testing.T) {
	chat := Ask{Path: "/v1/chat/completions", Body: []byte(`{"model":"a"}`)}
	ask := func(session string) Ask { a := chat; a.Session = session; return a }
	llama := func(r *api.Route) { r.Engine, r.Parallel, r.Concurrency = engineLlama, 2, 2 }
	inHold(t, llama, func(r *holdRig) {
		slot := func(a Ask) int {
			one := r.ask(a)
			r.served(one)
			one.lease.Release()
			return one.lease.Slot
		}
		got := []int{slot(ask("s")), slot(ask("t")), slot(ask("t")), slot(ask("s")), slot(ask("u")), slot(ask("s")), slot(chat)}
		if want := []int{1, 2, 2, 1, 2, 1, 0}; !slices.Equal(got, want) {
			r.t.Errorf("slots %v, want %v", got, want)
		}
		own := ask("s")
		own.Body = []byte(`{"id_slot":0}`)
		if n := slot(own); n != 0 {
			r.t.Errorf("a client that names its slot got %d", n)
		}
		r.setElder(map[string]int{"tier-a.service": 1})
		if n := slot(ask("s")); n != 0 {
			r.t.Errorf("beside another process: %d", n)
		}
		r.setElder(nil)
		r.setHeir()
		if n := slot(ask("s")); n != 0 {
			r.t.Errorf("beside a successor: %d", n)
		}
	})
	inHold(t, llama, func(r *holdRig) { // a drain that is called off leaves the engine as it was
		first := r.ask(ask("s"))
		r.set(func(r *api.Route) { r.State = api.Draining })
		r.set(func(r *api.Route) { r.State = api.Ready })
		second := r.ask(ask("t"))
		r.served(first, second)
		if first.lease.Slot != 1 || second.lease.Slot != 2 {
			r.t.Errorf("slots %d and %d at the same time", first.lease.Slot, second.lease.Slot)
		}
	})
	for rule, edit := range map[string]func(*api.Route){
		"vLLM has no slots": func(r *api.Route) { llama(r); r.Engine = "vllm" },
		"one is no choice":  func(r *api.Route) { llama(r); r.Parallel = 1 },
	} {
		inHold(t, edit, func(r *holdRig) {
			one := r.ask(ask("s"))
			r.served(one)
			if one.lease.Slot != 0 {
				r.t.Errorf("%s: %d", rule, one.lease.Slot)
			}
		})
	}
}

// A tier's start, stop or load is no business of another tier.
func TestAReadyTierWaitsForNoOther(t *testing.T) {
	inHold(t, func(*api.Route) {}, func(r *holdRig) {
		r.routes = append(r.routes, api.Route{Tier: "b", Unit: "tier-b.service", State: api.Stopped, Hold: 240})
		r.set(func(*api.Route) {})
		var cold []*asked
		for range 50 {
			cold = append(cold, r.ask(Ask{Tier: "b"}))
		}
		for range 50 {
			if one := r.ask(Ask{}); !one.over() || one.took != 0 {
				r.t.Fatal("waited")
			}
		}
		for _, one := range cold {
			one.leave()
			<-one.done
		}
	})
}

func BenchmarkAcquire(b *testing.B) {
	for _, c := range []struct {
		name string
		edit func(*api.Route)
		ask  Ask
	}{
		{"no limit", func(*api.Route) {}, Ask{Tier: "a"}},
		{"limit and session", func(r *api.Route) { r.Concurrency = 4 }, Ask{Tier: "a", Session: "ses_0123456789abcdef"}},
		{"slots", func(r *api.Route) { r.Concurrency, r.Parallel, r.Engine = 4, 4, engineLlama },
			Ask{Tier: "a", Session: "ses_0123456789abcdef", Path: "/v1/chat/completions", Body: []byte(`{"model":"a","messages":[]}`)}},
	} {
		route := api.Route{Tier: "a", Unit: "tier-a.service", State: api.Ready, Hold: 240}
		c.edit(&route)
		lease := &Lease{Route: route, release: func() {}}
		h := newHold(fixedSource{lease}, nil, slog.New(slog.DiscardHandler), func() {})
		h.apply([]api.Route{route})
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				h.sessions.Return(h.id(c.ask.Session)) // else it would be slowed
				lease, err := h.Acquire(context.Background(), c.ask)
				if err != nil {
					b.Fatal(err)
				}
				lease.Release()
			}
		})
	}
}

// fixedSource hands out the same lease again, so that a benchmark measures the hold alone.
type fixedSource struct{ lease *Lease }

func (s fixedSource) Acquire(context.Context, Ask) (*Lease, error) { return s.lease, nil }
