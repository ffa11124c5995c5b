package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/gateway/queue"
)

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
