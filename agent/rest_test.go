package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tierd/tierd/agent/api"
)

func TestHowLongATierRests(t *testing.T) {
	begin := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for rule, c := range map[string]struct {
		after []time.Duration // of each stop since the one before
		pause time.Duration
		down  bool
		stops int
	}{
		"the first time":                    {[]time.Duration{0}, time.Minute, false, 1},
		"the second within an hour":         {[]time.Duration{0, 59 * time.Minute}, 5 * time.Minute, false, 2},
		"the third within an hour":          {[]time.Duration{0, 20 * time.Minute, 20 * time.Minute}, 15 * time.Minute, true, 3},
		"one an hour is no series":          {[]time.Duration{0, 61 * time.Minute, 61 * time.Minute}, time.Minute, false, 1},
		"each within an hour of the before": {[]time.Duration{0, 50 * time.Minute, 50 * time.Minute, 50 * time.Minute}, 15 * time.Minute, false, 2},
	} {
		t.Run(rule, func(t *testing.T) {
			var r rest
			now := begin
			for _, d := range c.after {
				now = now.Add(d)
				r = r.again(coder, "idle", now)
			}
			if r.Until.Sub(now) != c.pause || r.Down != c.down || len(r.Stops) != c.stops || r.Over {
				t.Errorf("it rests for %s, %+v", r.Until.Sub(now), r)
			}
		})
	}
}

func TestARestIsNeverShorterForOneMoreStop(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
		var r rest
		for _, minutes := range rapid.SliceOfN(rapid.IntRange(0, 90), 1, 12).Draw(t, "minutes") {
			now = now.Add(time.Duration(minutes) * time.Minute)
			before := r
			r = r.again(coder, "idle", now)
			pause := r.Until.Sub(now)
			switch {
			case !slices.Contains(restPauses, pause):
				t.Fatalf("it rests for %s", pause)
			case minutes <= 60 && len(before.Stops) > 0 && r.Step < before.Step:
				t.Fatalf("%+v after %+v", r, before)
			case r.Down != (len(r.Stops) >= mostStops):
				t.Fatalf("%d stops, and it is down: %t", len(r.Stops), r.Down)
			}
			for _, at := range r.Stops {
				if now.Sub(at) > restMemory {
					t.Fatalf("a stop of %s ago still counts", now.Sub(at))
				}
			}
			if _, err := parseRests([]byte(rests(t, r))); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// rests is the file of one rest.
func rests(t interface{ Fatal(...any) }, r rest) string {
	dir, err := os.MkdirTemp("", "rests")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := replaceFile(dir, restsName, map[string]rest{"coder": r}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, restsName))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestRestsThatAnEarlierTierdLeft(t *testing.T) {
	for rule, c := range map[string]struct{ text, want string }{
		"none":                 {"", ""},
		"null":                 {"null", ""},
		"nonsense":             {"{", "cannot read which tiers rest: "},
		"a rest without a why": {`{"coder":{"unit":"u","stops":[]}}`, "has no stop"},
		"a step too far":       {`{"coder":{"unit":"u","stops":["2026-05-01T12:00:00Z"],"step":3}}`, "a step that there is not"},
		"one":                  {`{"coder":{"unit":"u","stops":["2026-05-01T12:00:00Z"],"step":2,"until":"2026-05-01T12:15:00Z"}}`, ""},
		"too long":             {strings.Repeat(" ", maxRests+1), "has 1048577 bytes"},
	} {
		t.Run(rule, func(t *testing.T) {
			dir := t.TempDir()
			if c.text != "" {
				if err := os.WriteFile(filepath.Join(dir, restsName), []byte(c.text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			got, err := loadRests(dir)
			switch {
			case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %q", err, c.want)
			case got == nil || c.want != "" && len(got) > 0:
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestAClockThatWasSetBackMakesNoRestLonger(t *testing.T) {
	dir := t.TempDir()
	r := rest{}.again(coder, "idle", time.Now().AddDate(1, 0, 0))
	if err := replaceFile(dir, restsName, map[string]rest{"coder": r}); err != nil {
		t.Fatal(err)
	}
	got, err := loadRests(dir)
	if left := time.Until(got["coder"].Until); err != nil || left > 15*time.Minute || left < 14*time.Minute {
		t.Errorf("it rests for %s, %v", left, err)
	}
}

func FuzzParseRests(f *testing.F) {
	f.Add([]byte(`{"coder":{"unit":"u","text":"t","stops":["2026-05-01T12:00:00Z"],"step":2,"until":"2026-05-01T12:15:00Z","down":true,"over":true}}`))
	f.Add([]byte(`{}`))
	f.Add([]byte(`null`))
	f.Add([]byte(`{"":{"stops":[null],"step":-1}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := parseRests(text)
		if (err == nil) != (list != nil) {
			t.Errorf("of %q: %v and %v", text, list, err)
		}
		for _, r := range list {
			_ = r.again(coder, "", time.Now()).words() // must not break
		}
	})
}

// guardStops has the guard stop a tier that is idle.
func (b *bed) guardStops(g *fakeGuard, unit string) {
	b.t.Helper()
	g.tells("ask", unit, gaveWay)
	b.systemd.press(unit)
	b.after(time.Second)
	if state := b.systemd.state(unit); state != "inactive" {
		b.t.Fatalf("%s is %s", unit, state)
	}
}

func (b *bed) resting() []api.GuardRest {
	b.t.Helper()
	guard, err := b.Guard(context.Background())
	if err != nil {
		b.t.Fatal(err)
	}
	return guard.Resting
}

func TestARequestWaitsForTheEndOfAShortRest(t *testing.T) {
	inGuardedBed(t, func(b *bed, g *fakeGuard) {
		b.change(`start = "boot"`+"\npriority = 50", `start = "demand"`+"\npriority = 50")
		mustReload(b, false)
		b.guardStops(g, coder)
		call := b.ensure("coder")
		b.after(50 * time.Second)
		call.mustWait(t)
		if got := b.systemd.did("start"); len(got) > 0 {
			t.Fatalf("it did %q", got)
		}
		b.after(12 * time.Second)
		call.mustBeReady(t)
		b.mustCount("it", "coder", "operator 1, demand 1; pressure 1")
		if got := b.resting(); len(got) > 0 {
			t.Errorf("it is up and rests: %+v", got)
		}
	})
}

func TestARequestForATierThatRestsForLongHearsWhenToComeBack(t *testing.T) {
	inGuardedBed(t, func(b *bed, g *fakeGuard) {
		for i := range 2 {
			b.guardStops(g, coder)
			if i == 0 {
				b.after(2 * time.Minute) // it is back by itself
				b.mustState("coder", api.Ready)
			}
		}
		var e *api.Error
		if err := b.ensure("coder").is(t); !errors.As(err, &e) || e.Class != api.ClassPressure || e.Kind != api.KindBudget ||
			e.RetryAfter < 298 || e.RetryAfter > 300 || e.Message != "coder "+gaveWay {
			t.Errorf("it hears %+v", e)
		}
		b.after(2 * time.Minute) // three are left of five, and a request waits for four
		call := b.ensure("coder")
		call.mustWait(t)
		b.after(3*time.Minute + 10*time.Second)
		call.mustBeReady(t)
	})
}

func TestATierThatGaveWayThreeTimesStaysDownUntilSomebodyStartsIt(t *testing.T) {
	inGuardedBed(t, func(b *bed, g *fakeGuard) {
		for i := range mostStops {
			b.guardStops(g, coder)
			if i < mostStops-1 {
				b.after(6 * time.Minute)
				b.mustState("coder", api.Ready)
			}
		}
		const stays = gaveWay + "; that was 3 times within an hour; it stays down until somebody starts it"
		if got := b.tierNow("coder").Reason; got != stays {
			t.Errorf("it says %q", got)
		}
		if got := b.texts("guard"); !slices.Contains(got, "coder "+stays) {
			t.Errorf("the events: %q", got)
		}
		b.after(12 * time.Hour)
		b.mustState("coder", api.Stopped)
		var e *api.Error
		if err := b.ensure("coder").is(t); !errors.As(err, &e) || e.RetryAfter != 0 || e.Hint != "tierctl start coder" {
			t.Errorf("a request hears %+v", e)
		}
		if list := b.resting(); len(list) != 1 || list[0].Stops != 3 || !list[0].Until.IsZero() || list[0].Text != gaveWay+"; that was 3 times within an hour" {
			t.Errorf("it rests as %+v", list)
		}
		mustDone(t, b.act("coder", "start", ""))
		b.guardStops(g, coder)
		if list := b.resting(); len(list) != 1 || list[0].Stops != 1 {
			t.Errorf("after an order it is counted as %+v", list)
		}
	})
}

func TestOrdersEndARest(t *testing.T) {
	for rule, c := range map[string]struct {
		order func(b *bed)
		up    bool // at once
		back  bool // an hour later
	}{
		"start": {func(b *bed) { mustDone(b.t, b.act("coder", "start", "")) }, true, true},
		"up":    {func(b *bed) { mustDone(b.t, b.up("full")) }, true, true},
		"systemctl start": {func(b *bed) {
			b.systemd.by(func() { b.systemd.boot(b.systemd.units[coder]) })
			b.after(5 * time.Second)
		}, true, true},
		"stop":              {func(b *bed) { mustDone(b.t, b.act("coder", "stop", "")) }, false, false},
		"a mode without it": {func(b *bed) { mustDone(b.t, b.up("small")) }, false, false},
		"an order that was refused is none": {func(b *bed) {
			if _, err := b.Act(context.Background(), "coder", api.TierRequest{Action: "start", Variant: "z"}); err == nil {
				b.t.Error("there is no such variant")
			}
		}, false, true},
		"a boot is none": {func(b *bed) {
			id, err := b.Stack(context.Background(), api.StackRequest{Action: "up", Boot: true})
			if err != nil {
				b.t.Fatal(err)
			}
			mustDone(b.t, b.wait(id))
		}, false, true},
		"nor a reload": {func(b *bed) { b.change(`context = "4K"`, `context = "8K"`); mustReload(b, true) }, false, true},
		"down": {func(b *bed) {
			id, err := b.Stack(context.Background(), api.StackRequest{Action: "down"})
			if err != nil {
				b.t.Fatal(err)
			}
			mustDone(b.t, b.wait(id))
		}, false, false},
	} {
		t.Run(rule, func(t *testing.T) {
			inGuardedBed(t, func(b *bed, g *fakeGuard) {
				b.guardStops(g, coder)
				c.order(b)
				if up := b.systemd.state(coder) == "active"; up != c.up {
					t.Errorf("after it coder is up: %t", up)
				}
				b.after(time.Hour)
				if up := b.systemd.state(coder) == "active"; up != c.back {
					t.Errorf("an hour later coder is up: %t", up)
				}
			})
		})
	}
}

func TestARestOutlivesTierd(t *testing.T) {
	inGuardedBed(t, func(b *bed, g *fakeGuard) {
		b.guardStops(g, coder)
		b.after(10 * time.Second)
		b.end()
		b.run()
		b.after(20 * time.Second)
		if got := b.tierNow("coder"); got.State != api.Stopped || got.Reason != gaveWay {
			t.Errorf("it is %s: %s", got.State, got.Reason)
		}
		if list := b.resting(); len(list) != 1 || list[0].Unit != coder {
			t.Errorf("it rests as %+v", list)
		}
		call := b.ensure("coder")
		call.mustWait(t)
		if got := b.systemd.did("start"); len(got) > 0 {
			t.Errorf("it did %q", got)
		}
		b.after(time.Minute)
		call.mustBeReady(t)
	})
}

func TestAFailureOfWhileTierdWasAwayIsClearedAway(t *testing.T) {
	inGuardedBed(t, func(b *bed, g *fakeGuard) {
		g.tells("ask", coder, gaveWay)
		b.after(0)
		b.end()
		b.systemd.slay(coder)
		b.run()
		b.after(5 * time.Second)
		if got := b.tierNow("coder"); got.State != api.Stopped || b.systemd.state(coder) != "inactive" {
			t.Errorf("it is %s (%s), for systemd %s", got.State, got.Reason, b.systemd.state(coder))
		}
	})
}
