package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// stage is a tierd whose tiers come, go, are switched and fail at random.
type stage struct {
	*hold
	pool *pool

	mu     sync.Mutex
	rand   *rand.Rand
	routes []api.Route
}

// below is a random length of time.
func (s *stage) below(d time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Duration(s.rand.Int64N(int64(d)))
}

func (s *stage) one(in int) bool { return s.below(time.Duration(in)) == 0 }

func (s *stage) set(tier int, edit func(*api.Route)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	edit(&s.routes[tier])
	s.pool.apply(s.routes)
	s.hold.apply(s.routes)
}

// Ensure brings a tier up, or says no, or is away.
func (s *stage) Ensure(ctx context.Context, tier string) error {
	n := int(tier[0] - 'a')
	switch {
	case s.one(10):
		return &api.Error{Kind: api.KindUnavailable, Message: "away"}
	case s.one(10):
		wait(ctx, s.below(20*time.Second))
		return &api.Error{Kind: api.KindBudget, Message: "no room"}
	}
	begun := false
	s.set(n, func(r *api.Route) {
		if begun = r.State == api.Stopped; begun {
			r.State = api.Starting
		}
	})
	wait(ctx, s.below(90*time.Second))
	if begun { // a load that has begun goes on though nobody waits
		s.set(n, func(r *api.Route) {
			if r.State == api.Starting {
				r.State = api.Ready
			}
		})
	}
	return ctx.Err()
}

func (s *stage) Table(context.Context, uint64) (api.Table, error) { return api.Table{}, nil }
func (s *stage) Report(context.Context, api.GatewayReport) error  { return nil }

// chaos takes tiers down and switches them until the end.
func (s *stage) chaos(end time.Time) {
	for time.Now().Before(end) {
		time.Sleep(s.below(30 * time.Second))
		n := int(s.below(time.Duration(len(s.routes))))
		switch {
		case s.one(3): // side by side
			s.set(n, func(r *api.Route) {
				if r.State == api.Ready {
					r.Unit, r.Socket = r.Unit+"'", r.Socket+"'"
				}
			})
		default:
			down := false
			s.set(n, func(r *api.Route) {
				if down = r.State == api.Ready; down {
					r.State = api.Draining
				}
			})
			if down {
				time.Sleep(s.below(10 * time.Second))
				s.set(n, func(r *api.Route) { r.State = api.Stopping })
				time.Sleep(s.below(time.Second))
				s.set(n, func(r *api.Route) { r.State = api.Stopped })
			}
		}
	}
}

// service counts who is served where, against the limits.
type service struct {
	mu  sync.Mutex
	now map[string]int
	all int
}

func (v *service) note(t *testing.T, l *Lease, by int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.now[l.Route.Unit] += by
	v.all++
	if limit := l.Route.Concurrency; limit > 0 && v.now[l.Route.Unit] > limit {
		t.Errorf("%d at %s, and the limit is %d", v.now[l.Route.Unit], l.Route.Unit, limit)
	}
}

// client asks at random, hangs up now and then, and tries again what came to nothing.
func (s *stage) client(t *testing.T, name string, v *service, bound time.Duration, end time.Time) {
	for time.Now().Before(end) {
		ctx, leave := context.WithCancel(context.Background())
		if s.one(8) {
			time.AfterFunc(s.below(2*bound), leave)
		}
		ask := Ask{Tier: string(rune('a' + s.below(time.Duration(len(s.routes))))), Session: name}
		waited := time.Duration(0)
		for again := true; again; {
			again = false
			begun := time.Now()
			lease, err := s.Acquire(ctx, ask)
			if waited += time.Since(begun); waited > bound {
				t.Errorf("waited %v, and the bound is %v", waited, bound)
			}
			if err != nil {
				if _, told := errors.AsType[*failure](err); !told && ctx.Err() == nil {
					t.Errorf("an error that explains nothing: %v", err)
				}
				continue
			}
			v.note(t, lease, 1)
			for left := s.below(20 * time.Second); left > 0 && !lease.gone(); left -= time.Second {
				time.Sleep(min(left, time.Second))
			}
			if again = lease.gone(); again {
				ask.again(lease, &unsent{notReady(lease.Route)})
			}
			v.note(t, lease, -1)
			lease.Release()
		}
		leave()
		time.Sleep(s.below(5 * time.Second))
	}
}

// Whatever tierd and the clients do: nobody waits beyond the bound, no limit is broken, and nothing is left over.
func TestHoldUnderRandomTraffic(t *testing.T) {
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			log := slog.New(slog.DiscardHandler)
			s := &stage{rand: rand.New(rand.NewPCG(seed, 1)), pool: newPool(log, func() {}, func() {})}
			s.hold = newHold(s.pool, s, log, func() {})
			defer s.cancel()
			const bound = time.Minute
			for n := range 4 {
				tier := string(rune('a' + n))
				s.routes = append(s.routes, api.Route{Tier: tier, Unit: tier, Socket: tier, State: api.Stopped, Hold: bound.Seconds(), Concurrency: n, Drain: 5})
			}
			s.set(0, func(*api.Route) {})
			end := time.Now().Add(20 * time.Minute)
			v := &service{now: map[string]int{}}
			var all sync.WaitGroup
			all.Go(func() { s.chaos(end) })
			for n := range 16 {
				all.Go(func() { s.client(t, fmt.Sprint(n), v, bound, end) })
			}
			all.Wait()
			synctest.Wait()
			for name, stats := range s.hold.stats() {
				if stats.Waiting != 0 || stats.InFlight != 0 || stats.Longest != 0 {
					t.Errorf("seed %d, tier %s is left with %+v", seed, name, stats)
				}
			}
			if v.all < 500 {
				t.Errorf("seed %d: only %d requests were served", seed, v.all/2)
			}
		})
	}
}
