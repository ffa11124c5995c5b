package agent

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/guard"
	"github.com/tierd/tierd/units"
)

const gaveWay = "gave way to memory pressure: idle for 9m, 7.9GiB available, soft line 8GiB"

// inGuardedBed runs a test with a guard that is connected, and coder up.
func inGuardedBed(t *testing.T, f func(b *bed, g *fakeGuard)) {
	t.Helper()
	inBed(t, func(b *bed) {
		g := b.guarded()
		mustDone(t, b.act("coder", "start", ""))
		b.after(10 * time.Minute)
		b.systemd.did()
		f(b, g)
	})
}

// texts are those of the events of a kind.
func (b *bed) texts(kind string) (list []string) {
	for _, e := range b.Events(0) {
		if e.Kind == kind {
			list = append(list, e.Text)
		}
	}
	return list
}

// mustHaveGivenWay checks that a tier is stopped, with the reason, and that nobody was told of a failure.
func (b *bed) mustHaveGivenWay(tier, unit string) {
	b.t.Helper()
	b.mustState(tier, api.Stopped)
	if got := b.tierNow(tier).Reason; got != gaveWay {
		b.t.Errorf("%s says %q", tier, got)
	}
	if state := b.systemd.state(unit); state != "inactive" {
		b.t.Errorf("for systemd it is %s", state)
	}
	for _, e := range b.Events(0) {
		if e.State == api.Failed {
			b.t.Errorf("somebody was told of a failure: %s", e.Text)
		}
	}
}

func TestATierThatTheGuardAskedToGoIsStoppedAndSaysWhy(t *testing.T) {
	inGuardedBed(t, func(b *bed, g *fakeGuard) {
		g.tells("ask", coder, "coder "+gaveWay)
		b.systemd.press(coder)
		b.after(time.Second)
		b.mustHaveGivenWay("coder", coder)
		if got := b.systemd.did("stop", "reset"); len(got) > 0 {
			t.Errorf("it did %q: a second signal would cut the requests off that the shim waits for", got)
		}
		b.mustCount("it", "coder", "operator 1; pressure 1")
		if got := b.texts("guard"); !slices.Contains(got, "coder "+gaveWay) {
			t.Errorf("the events: %q", got)
		}
	})
}

func TestAKilledTierIsStoppedAndStaysSo(t *testing.T) {
	for rule, c := range map[string]struct {
		again bool // Restart= would have it back
		kind  string
	}{
		"a kill that systemd takes for a failure":        {false, "kill"},
		"a kill after which systemd would start it anew": {true, "kill"},
		"a stop after which systemd would start it anew": {true, "stop"},
		"an ask that ended in a failure":                 {true, "ask"},
	} {
		t.Run(rule, func(t *testing.T) {
			inGuardedBed(t, func(b *bed, g *fakeGuard) {
				b.systemd.by(func() { b.systemd.again[coder] = c.again })
				g.tells(c.kind, coder, gaveWay)
				b.systemd.slay(coder)
				b.after(time.Minute - time.Second) // more than the two seconds of Restart=, and less than its rest
				b.mustHaveGivenWay("coder", coder)
				if got := b.systemd.did("start"); len(got) > 0 {
					t.Errorf("it did %q", got)
				}
				b.mustCount("it", "coder", "operator 1; pressure 1")
			})
		})
	}
}

// A start holds its unit until it has seen it ready. Of a unit that is killed just before, systemd's Restart= would load the
// model again for a start that waits for nothing else. Which of the two comes first is chance, hence the rounds.
func TestATierThatIsKilledAsItsStartEndsStaysDown(t *testing.T) {
	for _, kind := range []string{"ask", "kill"} {
		t.Run(kind, func(t *testing.T) {
			for range 20 {
				inGuardedBed(t, func(b *bed, _ *fakeGuard) { b.killAsAStartEnds(kind) })
			}
		})
	}
}

func (b *bed) killAsAStartEnds(kind string) {
	b.t.Helper()
	b.systemd.by(func() { b.systemd.again[coder] = true })
	before := b.timesReady(coder)
	id := ""
	for killed := false; !killed; {
		var err error
		killed, err = inLoop(context.Background(), b.Agent, func() (bool, error) {
			if !b.locks[coder] { // the start is not there yet, or is over
				if c, err := b.find(id); err != nil || c.Done() {
					id = b.Agent.begin("start", "start coder", "start", []string{"coder"}, []job{{op: opStart, tier: "coder", unit: coder}}, nil)
				}
				return false, nil
			}
			b.hearEvent(api.GuardEvent{Time: time.Now(), Kind: kind, Tier: "coder", Unit: coder, Text: gaveWay})
			b.systemd.slay(coder)
			return true, nil
		})
		if err != nil {
			b.t.Fatal(err)
		}
	}
	if c := b.wait(id); c.Err != nil && c.Err.Class != api.ClassPressure { // nil: it had seen it ready already
		b.t.Errorf("the start: %s, %+v", c.State, c.Err)
	}
	b.after(time.Minute - time.Second)
	b.mustHaveGivenWay("coder", coder)
	if n := b.timesReady(coder) - before; n > 0 {
		b.t.Errorf("it was up %d times more", n)
	}
}

// timesReady counts how often it was told that a unit is ready.
func (b *bed) timesReady(unit string) (n int) {
	for _, e := range b.Events(0) {
		if e.Unit == unit && e.State == api.Ready {
			n++
		}
	}
	return n
}

func TestAStopThatSystemdRefusesIsTriedAgain(t *testing.T) {
	inGuardedBed(t, func(b *bed, g *fakeGuard) {
		b.fails("reset")
		g.tells("kill", coder, gaveWay)
		b.systemd.slay(coder)
		b.after(30 * time.Second)
		b.works()
		if b.systemd.state(coder) != "failed" {
			t.Fatal("the failure was cleared away all the same")
		}
		if n := len(b.kinds()); n > 20 {
			t.Errorf("%d changes within half a minute", n)
		}
		b.after(10 * time.Second)
		b.mustHaveGivenWay("coder", coder)
	})
}

func TestAStartThatTheGuardGaveUpSaysSo(t *testing.T) {
	inBed(t, func(b *bed) {
		g := b.guarded()
		b.systemd.load = time.Minute
		id, err := b.Act(context.Background(), "coder", api.TierRequest{Action: "start"})
		if err != nil {
			t.Fatal(err)
		}
		b.after(10 * time.Second)
		g.tells("stop", coder, gaveWay)
		b.systemd.press(coder)
		c := b.wait(id)
		const want = "start tier-coder.service: given up: memory pressure: idle for 9m, 7.9GiB available, soft line 8GiB"
		if c.State != "error" || c.Err == nil || c.Err.Class != api.ClassPressure || c.Err.Kind != api.KindBudget || c.Err.Message != want {
			t.Errorf("the start: %s, %+v", c.State, c.Err)
		}
		b.after(time.Second)
		b.mustHaveGivenWay("coder", coder)
		b.mustCount("it", "coder", "operator 1; pressure 1")
	})
}

func TestASwitchThatTheGuardGaveUpLeavesWhatServes(t *testing.T) {
	inBed(t, func(b *bed) {
		g := b.guarded()
		mustDone(t, b.act("orch", "start", ""))
		b.systemd.load = time.Minute
		id := b.switches("b", false)
		b.after(10 * time.Second)
		g.event(api.GuardEvent{Time: time.Now(), Kind: "stop", Tier: "orch", Unit: orchB, Text: gaveWay})
		b.systemd.press(orchB)
		c := b.wait(id)
		if c.State != "error" || c.Err.Class != api.ClassPressure || !strings.Contains(c.Err.Message, orchA+" serves on") {
			t.Errorf("the switch: %s, %+v", c.State, c.Err)
		}
		b.mustServe("a", api.Ready)
		if got := b.systemd.did("stop"); slices.Contains(got, "stop "+orchA) {
			t.Errorf("it did %q: what serves must not end for a load that was given up", got)
		}
		b.ensure("orch").mustBeReady(t)
	})
}

func TestWhatTheGuardSaysOfOthersTouchesNothing(t *testing.T) {
	for rule, deed := range map[string]func(b *bed, g *fakeGuard){
		"a dry run": func(_ *bed, g *fakeGuard) {
			g.event(api.GuardEvent{Time: time.Now(), Kind: "kill", Unit: coder, Text: "would kill", DryRun: true})
			g.event(api.GuardEvent{Time: time.Now(), Kind: "refuse", Text: "would refuse", DryRun: true})
		},
		"a unit that nobody knows": func(_ *bed, g *fakeGuard) { g.tells("kill", "tier-other.service", "killed") },
		"late news of a life before": func(b *bed, g *fakeGuard) {
			at := time.Now()
			mustDone(b.t, b.act("coder", "restart", ""))
			b.after(time.Second)
			b.systemd.did()
			g.event(api.GuardEvent{Time: at, Kind: "kill", Unit: coder, Text: "killed"})
		},
		"a word that is new": func(_ *bed, g *fakeGuard) { g.tells("pondered", coder, "it thinks") },
	} {
		t.Run(rule, func(t *testing.T) {
			inGuardedBed(t, func(b *bed, g *fakeGuard) {
				deed(b, g)
				b.after(time.Second)
				b.mustState("coder", api.Ready)
				if got := b.systemd.did("stop", "reset"); len(got) > 0 {
					t.Errorf("it did %q", got)
				}
				guard, err := b.Guard(context.Background())
				if err != nil || len(guard.Resting) > 0 || len(guard.Recent) == 0 {
					t.Errorf("%+v, %v", guard, err)
				}
				mustDone(t, b.act("util", "start", ""))
			})
		})
	}
}

// TestADryRunIsTold: a sentence of what would be done reads as if it had been.
func TestADryRunIsTold(t *testing.T) {
	inGuardedBed(t, func(b *bed, g *fakeGuard) {
		g.event(api.GuardEvent{Time: time.Now(), Kind: "kill", Tier: "coder", Unit: coder, Text: "coder gives way at once", DryRun: true})
		b.after(time.Second)
		if got := b.texts("guard"); !slices.Contains(got, "dry run: coder gives way at once") || slices.Contains(got, "coder gives way at once") {
			t.Errorf("the events are %q", got)
		}
	})
}

func TestAnOrderToStopIsNoneOfTheGuards(t *testing.T) {
	inGuardedBed(t, func(b *bed, g *fakeGuard) {
		b.systemd.drain = func(string) { time.Sleep(5 * time.Second) }
		id, err := b.Act(context.Background(), "coder", api.TierRequest{Action: "stop"})
		if err != nil {
			t.Fatal(err)
		}
		b.after(time.Second)
		g.tells("stop", coder, gaveWay)
		mustDone(t, b.wait(id))
		if got := b.tierNow("coder"); got.State != api.Stopped || got.Reason != "" {
			t.Errorf("it is %s: %s", got.State, got.Reason)
		}
		b.after(time.Hour)
		b.mustState("coder", api.Stopped) // it does not come back
		b.mustCount("it", "coder", "operator 1; operator 1")
	})
}

func TestTheReasonIsToldOnce(t *testing.T) {
	for text, want := range map[string]string{
		"coder gave way to memory pressure: idle for 9m.": "idle for 9m",
		"gave way to memory pressure: idle":               "idle",
		"coder finishes its requests and gives way: 7.9GiB available, below the soft line of 8192MiB; idle for 9m, priority 50": "7.9GiB available, " +
			"below the soft line of 8192MiB; idle for 9m, priority 50",
		"coder is killed: it has not ended 2s after it was told to; 4000MiB available": "it has not ended 2s after it was told to; 4000MiB available",
		"the reviewer: a word about another":                                           "the reviewer: a word about another",
		"7.9GiB are available":                                                         "7.9GiB are available",
		"":                                                                             "",
	} {
		if got := reasonOf(api.GuardEvent{Tier: "coder", Text: text}); got != want {
			t.Errorf("of %q it takes %q", text, got)
		}
	}
}

func TestHarderWordsAreOneStop(t *testing.T) {
	inGuardedBed(t, func(b *bed, g *fakeGuard) {
		b.systemd.drain = func(string) { time.Sleep(10 * time.Second) }
		g.tells("ask", coder, gaveWay)
		b.systemd.press(coder)
		b.after(time.Second)
		b.mustState("coder", api.Draining)
		g.tells("stop", coder, "coder is stopped without waiting for its requests: 3GiB available")
		b.after(time.Second)
		g.tells("kill", coder, "coder is killed: it has not ended 2s after it was told to")
		b.systemd.slay(coder)
		b.after(10 * time.Second)
		b.mustHaveGivenWay("coder", coder) // for what it was asked to go at first
		pressed := slices.DeleteFunc(b.kinds(), func(kind string) bool { return !strings.HasPrefix(kind, "pressure") })
		if !slices.Equal(pressed, []string{"pressure done"}) {
			t.Errorf("the stops: %q", pressed)
		}
		if list := b.resting(); len(list) != 1 || list[0].Stops != 1 {
			t.Errorf("it rests as %+v", list)
		}
	})
}

// TestTheGuardWritesAmountsAsTierdDoes: its sentences stand beside tierd's, and it has a formatter of its own, which takes no memory.
func TestTheGuardWritesAmountsAsTierdDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint64().Draw(t, "n") >> rapid.IntRange(0, 63).Draw(t, "shift")
		if got, want := guard.Size(n), units.Bytes(n).String(); got != want {
			t.Errorf("%d is %s for the guard, and %s for tierd", n, got, want)
		}
	})
}
