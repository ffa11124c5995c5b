package agent

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/api"
)

func TestATierThatStartsWithTheMachineComesBackWhenThereIsRoom(t *testing.T) {
	inGuardedBed(t, func(b *bed, g *fakeGuard) {
		b.guardStops(g, coder)
		b.free(70) // coder takes 60, and nothing loads below 10
		b.after(10 * time.Minute)
		b.mustState("coder", api.Stopped)
		b.free(71)
		b.after(15 * time.Second)
		b.mustState("coder", api.Ready)
		changes, err := b.Changes()
		if last := changes[len(changes)-1]; err != nil || last.Kind != "return" || last.Summary != "start coder again after memory pressure" || last.State != "done" {
			t.Errorf("the change: %+v, %v", last, err)
		}
		b.mustCount("it", "coder", "operator 1, return 1; pressure 1")
		if got := b.tierNow("coder").Reason; got != "" {
			t.Errorf("it is up and says %q", got)
		}
	})
}

func TestATierOnDemandComesBackWithARequestAlone(t *testing.T) {
	for _, start := range []string{"demand", "manual"} {
		t.Run(start, func(t *testing.T) {
			inGuardedBed(t, func(b *bed, g *fakeGuard) {
				b.change(`start = "boot"`+"\npriority = 50", `start = "`+start+`"`+"\npriority = 50")
				mustReload(b, false)
				b.guardStops(g, coder)
				b.systemd.did()
				b.after(2 * time.Hour)
				if got := b.systemd.did("start"); len(got) > 0 {
					t.Errorf("it did %q", got)
				}
				list := b.resting()
				reason := b.tierNow("coder").Reason
				if start == "manual" && (len(list) != 1 || !list[0].Until.IsZero() || reason != gaveWay+"; it stays down until somebody starts it") {
					t.Errorf("it rests as %+v, and says %s", list, reason)
				}
				call := b.ensure("coder")
				b.after(5 * time.Second)
				if err := call.is(t); (err == nil) != (start == "demand") {
					t.Errorf("a request hears %v", err)
				}
			})
		})
	}
}

func TestARequestWaitsForRoomAfterTheRest(t *testing.T) {
	inGuardedBed(t, func(b *bed, g *fakeGuard) {
		b.guardStops(g, coder)
		b.free(30)
		call := b.ensure("coder")
		b.after(3 * time.Minute)
		call.mustWait(t)
		if got := b.systemd.did("start"); len(got) > 0 {
			t.Errorf("it did %q", got)
		}
		b.free(120)
		b.after(15 * time.Second)
		call.mustBeReady(t)
	})
}

func TestNothingComesBackWhileMemoryIsShort(t *testing.T) {
	inGuardedBed(t, func(b *bed, g *fakeGuard) {
		b.guardStops(g, coder)
		g.tells("refuse", "", "9 GiB available, below 10 GiB")
		b.after(10 * time.Minute)
		b.mustState("coder", api.Stopped)
		g.tells("allow", "", "20 GiB available")
		b.after(15 * time.Second)
		b.mustState("coder", api.Ready)
	})
}

func TestTiersComeBackOneAfterTheOtherTheHighestPriorityFirst(t *testing.T) {
	inGuardedBed(t, func(b *bed, g *fakeGuard) {
		mustDone(t, b.act("orch", "start", ""))
		b.guardStops(g, coder)
		b.guardStops(g, orchA)
		b.systemd.did()
		b.systemd.by(func() { b.systemd.load = 30 * time.Second })
		b.after(75 * time.Second)
		if got := b.systemd.did("start"); !slices.Equal(got, []string{"start " + orchA}) && !slices.Equal(got, []string{"start " + coder}) {
			t.Errorf("at first it did %q", got)
		}
		b.after(2 * time.Minute)
		b.mustState("orch", api.Ready)
		b.mustState("coder", api.Ready)
	})
}

func TestAReturnThatIsRefusedIsTriedAgain(t *testing.T) {
	inGuardedBed(t, func(b *bed, g *fakeGuard) {
		b.guardStops(g, coder)
		b.has(65) // MemAvailable would do, and the sum of what is promised does not
		b.after(90 * time.Second)
		b.mustState("coder", api.Failed)
		if got := b.systemd.did("start"); len(got) != 1 {
			t.Errorf("it did %q", got)
		}
		b.has(125)
		b.after(2 * time.Minute)
		b.mustState("coder", api.Ready)
	})
}

func TestAnOrderTakesAReturnOver(t *testing.T) {
	for rule, order := range map[string]func(b *bed) api.Change{
		"a start joins it":   func(b *bed) api.Change { return b.act("coder", "start", "") },
		"an up of all tiers": func(b *bed) api.Change { return b.up("full") },
	} {
		t.Run(rule, func(t *testing.T) {
			inGuardedBed(t, func(b *bed, g *fakeGuard) {
				b.guardStops(g, coder)
				b.systemd.by(func() { b.systemd.load = time.Minute })
				b.after(70 * time.Second)
				b.mustState("coder", api.Starting)
				mustDone(t, order(b))
				b.mustState("coder", api.Ready)
			})
		})
	}
}

func TestNobodyIsLetInWhileMemoryIsShort(t *testing.T) {
	inGuardedBed(t, func(b *bed, g *fakeGuard) {
		g.tells("refuse", "", "9.2 GiB available, below 10 GiB")
		id := b.begin("util")
		b.after(10 * time.Minute)
		c, err := b.Change(id)
		if err != nil || c.Done() || !strings.Contains(c.Tasks[0].Status, "memory is short: 9.2 GiB available, below 10 GiB") {
			t.Errorf("the start: %+v, %v", c, err)
		}
		if waiting, err := b.Budget(context.Background(), ""); err != nil || len(waiting.Waiting) != 1 {
			t.Errorf("who waits: %+v, %v", waiting.Waiting, err)
		}
		g.tells("allow", "", "12 GiB available")
		mustDone(t, b.wait(id))
	})
}

func TestTheWordOfAGuardThatIsGoneHoldsForAWhile(t *testing.T) {
	inGuardedBed(t, func(b *bed, g *fakeGuard) {
		g.tells("refuse", "", "short")
		id := b.begin("util")
		b.after(time.Minute)
		g.hangUp()
		b.after(guardGrace - time.Second)
		if c, _ := b.Change(id); c.Done() {
			t.Errorf("it ended as %s at once", c.State)
		}
		b.after(3 * time.Second)
		mustDone(t, b.wait(id))
	})
}

func TestAGuardThatComesBackSaysWhetherMemoryIsShort(t *testing.T) {
	inGuardedBed(t, func(b *bed, g *fakeGuard) {
		g.tells("refuse", "", "short")
		b.after(0)
		b.end() // a tierd that was away has not heard of it
		b.run()
		state := calm
		state.Level, state.Available = "refuse", 9<<30
		g = b.guardedAs(state)
		id := b.begin("util")
		b.after(time.Minute)
		c, err := b.Change(id)
		if err != nil || c.Done() || !strings.Contains(c.Tasks[0].Status, "memory is short: 9GiB are available, and no tier loads below 10GiB") {
			t.Errorf("the start: %+v, %v", c, err)
		}
		g.hangUp()
		b.guarded()
		mustDone(t, b.wait(id))
	})
}
