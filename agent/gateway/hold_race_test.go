package gateway

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tierd/tierd/agent/api"
)

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

func TestALookThatComesJustAsItsTierStopsDoesNotStartIt(t *testing.T) {
	inHold(t, func(*api.Route) {}, func(r *holdRig) {
		r.routes[0].State = api.Stopped
		r.pool.apply(r.routes) // the hold has not heard of it
		if one := r.ask(Ask{Light: true, Probe: true}); !one.over() || r.failed(one).code != codeNotReady {
			r.t.Errorf("the first look: %+v", one)
		}
		if one := r.ask(Ask{Light: true, Probe: true}); !one.over() || r.failed(one).code != codeNotReady {
			r.t.Errorf("the next one: %+v", one)
		}
		r.apply(r.routes)
		synctest.Wait()
		if begun, _ := r.calls(); begun != 0 {
			r.t.Error("tierd was asked")
		}
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
