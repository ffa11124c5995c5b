package agent

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/api"
)

func TestWhatIsWrongWithTheGuardIsToldWithTheStatus(t *testing.T) {
	for rule, c := range map[string]struct {
		do   func(b *bed)
		want string // the beginning; "" for nothing
	}{
		"tierd has just begun": {func(*bed) {}, ""},
		"none came":            {func(b *bed) { b.after(guardGrace) }, "tier-guard is not connected: when memory runs short, nobody acts before the kernel's"},
		"nobody wants one": {func(b *bed) {
			b.write(bedConfig + "[guard]\nenabled = false\n")
			mustReload(b, false)
			b.after(time.Hour)
		}, ""},
		"it is armed":         {func(b *bed) { b.guarded(); b.after(time.Hour) }, ""},
		"it was restarted":    {func(b *bed) { b.guarded().hangUp(); b.after(5 * time.Second); b.guarded(); b.after(time.Hour) }, ""},
		"it left for a while": {func(b *bed) { b.guarded().hangUp(); b.after(guardGrace) }, "tier-guard is not connected: "},
		"it cannot act": {func(b *bed) {
			state := calm
			state.Armed, state.Why = false, "cannot kill a child of its own"
			b.guardedAs(state)
		}, "tier-guard is not armed, and acts only as far as it can: cannot kill a child of its own"},
		"it no longer can": {func(b *bed) {
			g := b.guarded()
			g.set(func() { g.state.Armed, g.state.Why = false, "cannot read /proc/meminfo" })
			g.tells("disarmed", "", "cannot read /proc/meminfo")
			b.after(0)
		},
			"tier-guard is not armed, and acts only as far as it can: cannot read /proc/meminfo"},
		"it can again": {func(b *bed) {
			g := b.guarded()
			g.tells("disarmed", "", "no")
			g.tells("armed", "", "yes")
			b.after(0)
		}, ""},
	} {
		t.Run(rule, func(t *testing.T) {
			inBed(t, func(b *bed) {
				c.do(b)
				status, err := b.Status(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				got := strings.Join(status.Warnings, "\n")
				if !strings.HasPrefix(got, c.want) || c.want == "" && got != "" {
					t.Errorf("the warnings: %q, want %q", got, c.want)
				}
				guard, err := b.Guard(context.Background())
				if err != nil || !strings.HasPrefix(guard.Text, c.want) || c.want == "" && guard.Text != "" {
					t.Errorf("of the guard: %q, %v, want %q", guard.Text, err, c.want)
				}
			})
		})
	}
}

func TestWhatIsKnownOfTheGuard(t *testing.T) {
	inGuardedBed(t, func(b *bed, g *fakeGuard) {
		b.guardStops(g, coder)
		g.tells("not-returned", coder, "40 GiB did not come back")
		b.after(time.Second)
		guard, err := b.Guard(context.Background())
		if err != nil || !guard.Connected || !guard.Enabled || guard.State == nil || guard.State.Available != 40<<30 {
			t.Fatalf("%+v, %v", guard, err)
		}
		if len(guard.Recent) != 2 || guard.Recent[1].Kind != "not-returned" {
			t.Errorf("what it did last: %+v", guard.Recent)
		}
		if len(guard.Resting) != 1 || guard.Resting[0].Tier != "coder" || guard.Resting[0].Text != gaveWay ||
			time.Until(guard.Resting[0].Until).Round(5*time.Second) != time.Minute {
			t.Errorf("who rests: %+v", guard.Resting)
		}
		want := []string{"tier-guard is connected", gaveWay, "40 GiB did not come back"}
		if got := b.texts("guard"); !slices.Equal(got, want) {
			t.Errorf("the events: %q", got)
		}
		for range 2 * keepWords {
			g.tells("alarm", "", "short")
		}
		b.after(time.Second)
		if guard, _ := b.Guard(context.Background()); len(guard.Recent) != keepWords {
			t.Errorf("%d events are remembered", len(guard.Recent))
		}
	})
}

func TestNobodyWaitsForAGuardThatIsNotThere(t *testing.T) {
	inBed(t, func(b *bed) {
		begun := time.Now()
		if _, err := b.Guard(context.Background()); err != nil {
			t.Error(err)
		}
		_, err := b.GuardTrace(context.Background())
		mustKind(t, err, api.KindUnavailable, "there is no trace")
		if m, err := b.Metrics(context.Background()); err != nil || m.Guard == nil || m.Guard.Connected || m.Guard.Available != nil || m.Guard.Actions["kill"] != 0 {
			t.Errorf("%+v, %v", m.Guard, err)
		}
		if took := time.Since(begun); took > 0 {
			t.Errorf("it took %s", took)
		}
	})
}

func TestAGuardThatIsMuteIsWaitedForOnlyForAWhile(t *testing.T) {
	inGuardedBed(t, func(b *bed, g *fakeGuard) {
		g.set(func() { g.mute = true })
		begun := time.Now()
		m, err := b.Metrics(context.Background())
		if err != nil || !m.Guard.Connected || !m.Guard.Armed || m.Guard.Available != nil {
			t.Errorf("%+v, %v", m.Guard, err)
		}
		if took := time.Since(begun); took != scrapeAnswer {
			t.Errorf("the metrics took %s", took)
		}
		_, err = b.GuardTrace(context.Background())
		mustKind(t, err, api.KindUnavailable, "does not answer")
		g.set(func() { g.mute = false })
		if trace, err := b.GuardTrace(context.Background()); err != nil || len(trace) != 2 {
			t.Errorf("once it speaks again: %s, %v", trace, err)
		}
	})
}

func TestQuestionsAtATimeAreOneQuestion(t *testing.T) {
	inGuardedBed(t, func(b *bed, g *fakeGuard) {
		g.set(func() { g.asked, g.mute = nil, true })
		answers := make(chan api.Guard, 5)
		for range cap(answers) {
			go func() {
				guard, _ := b.Guard(context.Background())
				answers <- guard
			}()
		}
		b.after(time.Second)
		g.say(api.GuardWord{State: &calm})
		for range cap(answers) {
			if guard := <-answers; guard.State == nil {
				t.Error("one was not answered")
			}
		}
		if len(g.asked) != 1 {
			t.Errorf("it was asked %q", g.asked)
		}
	})
}

func TestAQuestionGoesOnToTheGuardThatComesNext(t *testing.T) {
	inGuardedBed(t, func(b *bed, g *fakeGuard) {
		g.set(func() { g.mute = true })
		answer := make(chan int, 1)
		go func() {
			trace, _ := b.GuardTrace(context.Background())
			answer <- len(trace)
		}()
		b.after(time.Second)
		b.guarded()
		if n := <-answer; n != 2 {
			t.Errorf("%d lines of a trace", n)
		}
	})
}

func TestMetricsCountWhatTheGuardDoes(t *testing.T) {
	inGuardedBed(t, func(b *bed, g *fakeGuard) {
		g.tells("refuse", "", "short")
		b.guardStops(g, coder)
		g.event(api.GuardEvent{Time: time.Now(), Kind: "kill", Text: "would", DryRun: true})
		b.after(time.Second)
		m, err := b.Metrics(context.Background())
		if err != nil || !m.Guard.Armed || m.Guard.Resting != 1 || *m.Guard.Available != 40<<30 || m.Guard.Lines["hard"] != 4<<30 {
			t.Errorf("%+v, %v", m.Guard, err)
		}
		for kind, want := range map[string]uint64{"refuse": 1, "ask": 1, "kill": 0, "alarm": 0} {
			if got, there := m.Guard.Actions[kind]; !there || got != want {
				t.Errorf("%d of %s, want %d", got, kind, want)
			}
		}
	})
}
