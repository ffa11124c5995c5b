package agent

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// inIdleBed runs a test with a gateway that is connected and coder up for a minute without a request, to be stopped after
// twenty.
func inIdleBed(t *testing.T, f func(b *bed, g *pollingGateway)) {
	t.Helper()
	inBed(t, func(b *bed) {
		b.change("priority = 50", "priority = 50\nidle_stop = \"20m\"")
		mustReload(b, false)
		g := poll(b)
		defer func() { g.cancel() }()
		b.reports(nil, nil)
		mustDone(t, b.act("coder", "start", ""))
		b.after(time.Minute)
		f(b, g)
	})
}

func TestAnIdleTierIsStoppedAndSaysSo(t *testing.T) {
	inIdleBed(t, func(b *bed, g *pollingGateway) {
		b.after(18 * time.Minute)
		tier := b.tierNow("coder")
		if idle, left := time.Since(tier.IdleSince), time.Until(tier.StopsAt); idle.Round(time.Minute) != 19*time.Minute || left.Round(time.Minute) != time.Minute {
			t.Errorf("idle for %s, stops in %s", idle, left)
		}
		b.after(30 * time.Second)
		b.mustState("coder", api.Ready)
		b.after(time.Minute)
		b.mustState("coder", api.Stopped)
		if got := b.tierNow("coder"); got.Reason != "stopped after 20m without a request" || !got.StopsAt.IsZero() || !got.IdleSince.IsZero() {
			t.Errorf("it says %+v", got)
		}
		changes, err := b.Changes()
		if last := changes[len(changes)-1]; err != nil || last.Kind != "idle" || last.Summary != "stop coder after 20m without a request" || last.State != "done" {
			t.Errorf("the change: %+v, %v", last, err)
		}
		call := b.ensure("coder")
		b.after(2 * time.Second)
		call.mustBeReady(t)
		if got := b.tierNow("coder").Reason; got != "" {
			t.Errorf("it is up and says %q", got)
		}
		mustDone(t, b.act("coder", "stop", ""))
		if got := b.tierNow("coder").Reason; got != "" {
			t.Errorf("an operator stopped it, and it says %q", got)
		}
	})
}

func TestWhatKeepsATierFromBeingStoppedForIdleness(t *testing.T) {
	for _, c := range []struct {
		rule string
		do   func(b *bed, g *pollingGateway)
		want api.State
	}{
		{"nothing", func(b *bed, g *pollingGateway) { b.after(time.Hour) }, api.Stopped},
		{"a request in flight", func(b *bed, g *pollingGateway) { b.reports(map[string]int{"coder": 1}, nil); b.after(time.Hour) }, api.Ready},
		{"its end, for twenty minutes", func(b *bed, g *pollingGateway) {
			b.reports(map[string]int{"coder": 1}, nil)
			b.after(time.Hour)
			b.reports(nil, map[string]float64{"coder": 0})
			b.after(19 * time.Minute)
		}, api.Ready},
		{"and no longer", func(b *bed, g *pollingGateway) {
			b.reports(map[string]int{"coder": 1}, nil)
			b.after(time.Hour)
			b.reports(nil, map[string]float64{"coder": 0})
			b.after(21 * time.Minute)
		}, api.Stopped},
		{"requests that come now and then", func(b *bed, g *pollingGateway) {
			for range 10 {
				b.after(15 * time.Minute)
				b.reports(map[string]int{"coder": 1}, nil)
				b.reports(nil, map[string]float64{"coder": 0})
			}
		}, api.Ready},
		{"a request to another tier does not", func(b *bed, g *pollingGateway) { b.reports(map[string]int{"orch": 1}, nil); b.after(time.Hour) }, api.Stopped},
		{"a gateway that is gone", func(b *bed, g *pollingGateway) { g.cancel(); b.after(24 * time.Hour) }, api.Ready},
		{"a gateway that came back and has said nothing", func(b *bed, g *pollingGateway) {
			g.cancel()
			b.after(time.Hour)
			*g = *poll(b)
			b.after(time.Hour)
		}, api.Ready},
		{"one that came back: what it does not know of counts from then", func(b *bed, g *pollingGateway) {
			g.cancel()
			b.after(time.Hour)
			*g = *poll(b)
			b.reports(nil, nil)
			b.after(19 * time.Minute)
		}, api.Ready},
		{"and no longer than that", func(b *bed, g *pollingGateway) {
			g.cancel()
			b.after(time.Hour)
			*g = *poll(b)
			b.reports(nil, nil)
			b.after(21 * time.Minute)
		}, api.Stopped},
		{"one that came back: what it knows of is believed", func(b *bed, g *pollingGateway) {
			g.cancel()
			b.after(time.Hour)
			*g = *poll(b)
			b.reports(nil, map[string]float64{"coder": 1100})
			b.after(2 * time.Minute)
		}, api.Stopped},
		{"a new tierd that has heard nothing of the gateway", func(b *bed, g *pollingGateway) {
			g.cancel()
			b.end()
			b.run()
			*g = *poll(b)
			b.after(time.Hour)
		}, api.Ready},
		{"a tier that never is", func(b *bed, g *pollingGateway) {
			b.change("idle_stop = \"20m\"", "idle_stop = \"never\"")
			mustReload(b, false)
			b.after(24 * time.Hour)
		}, api.Ready},
		{"being pinned does not: idle_stop is the owner's own word", func(b *bed, g *pollingGateway) {
			b.change("idle_stop = \"20m\"", "idle_stop = \"20m\"\npinned = true")
			mustReload(b, false)
			b.after(time.Hour)
		}, api.Stopped},
		{"a reload with a shorter time holds at once", func(b *bed, g *pollingGateway) {
			b.change("idle_stop = \"20m\"", "idle_stop = \"2m\"")
			mustReload(b, false)
			b.after(2 * time.Minute)
		}, api.Stopped},
	} {
		t.Run(c.rule, func(t *testing.T) {
			inIdleBed(t, func(b *bed, g *pollingGateway) {
				c.do(b, g)
				b.after(time.Second)
				b.mustState("coder", c.want)
			})
		})
	}
}

func TestARequestThatComesJustAsATierIsStoppedForIdlenessIsNotLost(t *testing.T) {
	inIdleBed(t, func(b *bed, g *pollingGateway) {
		b.systemd.did()
		for b.systemd.state(coder) == "active" {
			b.after(time.Second / 100)
		}
		for _, wait := range []time.Duration{0, 50 * time.Millisecond, 51 * time.Millisecond} { // a stop takes 100 ms
			b.after(wait)
			call := b.ensure("coder")
			call.mustWait(t)
			defer func() { call.mustBeReady(t) }()
		}
		b.after(2 * time.Second)
		if got := b.systemd.did("start", "stop"); !slices.Equal(got, []string{"stop " + coder, "start " + coder}) {
			t.Errorf("it did %q", got)
		}
	})
}

func TestAnOrderToStartJustAsATierIsStoppedForIdlenessIsCarriedOutAfterIt(t *testing.T) {
	for _, action := range []string{"start", "restart"} {
		inIdleBed(t, func(b *bed, g *pollingGateway) {
			b.systemd.did()
			for b.systemd.state(coder) == "active" {
				b.after(time.Second / 100)
			}
			id, err := b.Act(context.Background(), "coder", api.TierRequest{Action: action})
			if err != nil {
				t.Fatalf("%s: %v", action, err)
			}
			b.after(2 * time.Second)
			if c, err := b.Change(id); err != nil || c.State != "done" {
				t.Errorf("%s: it is %+v, %v", action, c, err)
			}
			if got := b.systemd.did("start", "stop"); !slices.Equal(got, []string{"stop " + coder, "start " + coder}) {
				t.Errorf("%s: it did %q", action, got)
			}
		})
	}
}

func TestAStopForIdlenessThatFailsIsTriedAgainAfterAWhile(t *testing.T) {
	inIdleBed(t, func(b *bed, g *pollingGateway) {
		b.systemd.by(func() { b.systemd.fail["stop"] = errors.New("no") })
		b.after(19*time.Minute + 10*time.Second)
		if got := b.systemd.did("stop"); len(got) != 1 {
			t.Errorf("it did %q", got)
		}
		b.after(5 * time.Minute)
		if got := b.systemd.did("stop"); len(got) != 5 {
			t.Errorf("in five minutes it did %q", got)
		}
		b.works()
		b.after(time.Minute)
		b.mustState("coder", api.Stopped)
	})
}

// An idle tierd must not wake up for what is due in hours.
func TestAnAlarmIsSetOnceForWhatIsDue(t *testing.T) {
	inIdleBed(t, func(b *bed, g *pollingGateway) {
		at := b.alarm.at
		if left := time.Until(at); left.Round(time.Minute) != 19*time.Minute {
			t.Fatalf("the alarm is set to %s", left)
		}
		b.after(10 * time.Minute)
		if b.alarm.at != at {
			t.Error("it was set again")
		}
		b.reports(map[string]int{"coder": 1}, nil)
		if !b.alarm.at.IsZero() {
			t.Error("it is set with nothing due")
		}
	})
}

func TestADurationInShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		20 * time.Minute: "20m", time.Hour: "1h", 10 * time.Second: "10s", 90 * time.Second: "1m30s", 100 * time.Minute: "1h40m",
		time.Hour + time.Second: "1h0m1s", 0: "0s", 10 * time.Hour: "10h", 70 * time.Minute: "1h10m",
	} {
		if got := shortly(d); got != want {
			t.Errorf("%s is written %q, want %q", d, got, want)
		}
	}
}
