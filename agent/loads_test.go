package agent

import (
	"cmp"
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/tierd/tierd/agent/api"
)

// inKeptBed runs a test on an agent that keeps what it learned over restarts.
func inKeptBed(t *testing.T, f func(b *bed)) {
	t.Helper()
	state := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, filepath.Join(t.TempDir(), "tiers.toml"))
		b.state = state
		b.run()
		defer b.end()
		f(b)
		for _, wrong := range b.systemd.wrongs {
			t.Error("it must not happen: " + wrong)
		}
	})
}

// readyIn is how far away the gateway's table says that a tier is ready; 0 when it does not say.
func (b *bed) readyIn(tier string) time.Duration {
	b.t.Helper()
	for _, r := range b.tableNow().Routes {
		if r.Tier == tier && !r.ReadyBy.IsZero() {
			return time.Until(r.ReadyBy).Round(100 * time.Millisecond)
		}
	}
	return 0
}

func TestALoadTellsWhenTheNextOneWillBeReady(t *testing.T) {
	inKeptBed(t, func(b *bed) {
		b.systemd.load = 40 * time.Second
		id := b.startWith("coder", false)
		b.after(10 * time.Second)
		if got := b.readyIn("coder"); got != 0 {
			t.Errorf("before the first load was seen: in %s", got)
		}
		mustDone(t, b.wait(id))
		if got := b.readyIn("coder"); got != 0 {
			t.Errorf("of one that is ready: in %s", got)
		}
		mustDone(t, b.act("coder", "stop", ""))
		b.end()
		b.after(time.Hour)
		b.run() // it is kept

		b.begin("coder")
		b.after(10 * time.Second)
		if got := b.readyIn("coder"); got != 30*time.Second {
			t.Errorf("after 10 s of 40: in %s", got)
		}
		b.after(31 * time.Second)
		b.mustState("coder", api.Ready)

		b.change(`context = "4K"`, `context = "8K"`)
		mustReload(b, false)
		mustDone(t, b.act("coder", "stop", ""))
		b.begin("coder")
		b.after(time.Second)
		if got := b.readyIn("coder"); got != 0 {
			t.Errorf("of another definition: in %s", got)
		}
	})
}

func TestALoadThatTakesLongerIsPutOff(t *testing.T) {
	inKeptBed(t, func(b *bed) {
		b.systemd.load = 40 * time.Second
		mustDone(t, b.act("coder", "start", ""))
		mustDone(t, b.act("coder", "stop", ""))
		b.systemd.load = 10 * time.Minute
		g := poll(b)
		defer g.cancel()
		seq := b.tableNow().Seq
		b.begin("coder")
		for range 9 {
			b.after(time.Minute)
			if got := b.readyIn("coder"); got <= 0 || got > 3*time.Minute {
				t.Errorf("in %s", got)
			}
		}
		if tables := b.tableNow().Seq - seq; tables > 20 { // by a quarter each time
			t.Errorf("%d tables for one load", tables)
		}
		b.after(2 * time.Minute)
		mustDone(t, b.act("coder", "stop", ""))
		b.begin("coder")
		b.after(time.Second)
		if got := b.readyIn("coder"); got < 5*time.Minute || got > 6*time.Minute {
			t.Errorf("after loads of 40 s and of 10 m: in %s", got)
		}
	})
}

func TestInTheLineAWholeLoadIsLeft(t *testing.T) {
	inKeptBed(t, func(b *bed) {
		b.systemd.load = 40 * time.Second
		mustDone(t, b.act("orch", "start", ""))
		mustDone(t, b.act("orch", "stop", ""))
		b.tight()
		mustDone(t, b.act("coder", "start", ""))
		b.startWith("orch", true) // coder came up just now
		for range 5 {             // of the minute that it waits for a tier that is spared
			b.after(10 * time.Second)
			if got := b.readyIn("orch"); got < 40*time.Second || got > 80*time.Second {
				t.Errorf("in line: in %s", got)
			}
		}
		b.after(13 * time.Second)
		if got := b.readyIn("orch"); got <= 0 || got > 40*time.Second {
			t.Errorf("once it is let in: in %s", got)
		}
	})
}

func TestALoadThatATierdBeforeLetInTeachesNothing(t *testing.T) {
	inKeptBed(t, func(b *bed) {
		b.systemd.load = 40 * time.Second
		b.begin("coder")
		b.after(30 * time.Second)
		b.end()
		b.run()
		b.after(time.Minute)
		b.mustState("coder", api.Ready)
		for key, p := range b.measured.peaks {
			if p.Load > 0 {
				t.Errorf("%s: %+v", key, p)
			}
		}
	})
}

func TestALoadIsNewsOnlyWhenItIsAnother(t *testing.T) {
	m := measured{peaks: map[string]peak{}}
	for i, c := range []struct {
		took, want time.Duration
		news       bool
	}{
		{10 * time.Second, 10 * time.Second, true},
		{11 * time.Second, 10500 * time.Millisecond, false},
		{20500 * time.Millisecond, 15500 * time.Millisecond, true},
		{time.Second, 8250 * time.Millisecond, true},
	} {
		if news := m.loaded("k", c.took, time.Now()); news != c.news || m.load("k") != c.want {
			t.Errorf("load %d: %s, news: %t", i, m.load("k"), news)
		}
	}
	if m.load("other") != 0 {
		t.Error("of another unit")
	}
}

func TestTheEndOfALoadIsNeverPast(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		span := rapid.Int64Range(1, int64(2*time.Hour))
		began := time.Unix(0, 0)
		takes, now := time.Duration(span.Draw(r, "takes")), began.Add(time.Duration(span.Draw(r, "now")))
		at := pushedOut(began, takes, now)
		if over := now.Sub(began); !at.After(now) || over < takes && at != began.Add(takes) || over >= takes && at.Sub(now) > max(over/4, time.Second) {
			r.Fatalf("a load of %s, after %s: %s", takes, over, at.Sub(began))
		}
		if later := pushedOut(began, takes, at.Add(-1)); later != at {
			r.Fatalf("it moved before its time, from %s to %s", at.Sub(began), later.Sub(began))
		}
		if in := afterTheLine(began, takes, now).Sub(now); in <= takes || in > takes+max(takes/4, time.Second) {
			r.Fatalf("in the line for %s, a load of %s: in %s", now.Sub(began), takes, in)
		}
	})
}

func TestARouteTellsHowManyRequestsItsEngineWorksOn(t *testing.T) {
	inBed(t, func(b *bed) {
		b.change("engine = \"llama\"\nmodel = \"/m/orch.gguf\"", "engine = \"llama\"\nparallel = 3\nmodel = \"/m/orch.gguf\"")
		mustReload(b, false)
		b.after(0)
		if got := b.tableNow().Routes[0].Parallel; got != 1 {
			t.Errorf("orch/a: %d", got)
		}
		mustDone(t, b.act("orch", "start", "b"))
		if got := b.tableNow().Routes[0].Parallel; got != 3 {
			t.Errorf("orch/b: %d", got)
		}
	})
}

// TestBetweenTwoVariantsTheTableTellsOfTheLoadThatIsToCome follows the table through changes in which one variant ends before
// another one, or the same again, begins: a client that is told to come back must not be told less than a fifth of what is left.
func TestBetweenTwoVariantsTheTableTellsOfTheLoadThatIsToCome(t *testing.T) {
	const load = 3 * time.Minute
	for rule, c := range map[string]struct {
		begin func(b *bed) string
		want  string // the states in which somebody may be told
	}{
		"a switch, one after the other": {func(b *bed) string { return b.switches("b", true) }, "draining starting"},
		"a restart": {func(b *bed) string {
			id, err := b.Act(context.Background(), "orch", api.TierRequest{Action: "restart"})
			if err != nil {
				b.t.Fatal(err)
			}
			return id
		}, "draining starting"},
	} {
		t.Run(rule, func(t *testing.T) {
			inKeptBed(t, func(b *bed) {
				for _, variant := range []string{"b", "a"} {
					b.systemd.load = load
					mustDone(t, b.act("orch", "stop", ""))
					mustDone(t, b.act("orch", "start", variant))
				}
				b.systemd.by(func() { b.systemd.drain = func(string) { time.Sleep(time.Minute) } })
				began := time.Now()
				id := c.begin(b)
				type sample struct {
					at    time.Time
					route api.Route
				}
				var seen []sample
				for time.Since(began) < 10*time.Minute {
					for _, r := range b.tableNow().Routes {
						if r.Tier == "orch" {
							seen = append(seen, sample{time.Now(), r})
						}
					}
					if last := seen[len(seen)-1]; last.route.State == api.Ready && last.at.After(began.Add(load)) {
						break
					}
					b.after(time.Second / 4)
				}
				mustDone(t, b.wait(id))
				var states []string
				for _, s := range seen {
					if s.route.State == api.Ready {
						continue
					}
					if name := string(s.route.State); !slices.Contains(states, name) {
						states = append(states, name)
					}
					left := seen[len(seen)-1].at.Sub(s.at)
					if said := s.route.ReadyBy.Sub(s.at); said < left/2-time.Second || said > left+load/2 {
						t.Fatalf("after %s it is %s, ready in %s as the table says, and in %s really", s.at.Sub(began), s.route.State, said, left)
					}
				}
				if got := strings.Join(states, " "); got != c.want {
					t.Errorf("it was %q, want %q", got, c.want)
				}
			})
		})
	}
}

// TestBeforeAUnitLoadsTheTableHasItsWholeLoad: a start has begun and systemd has not, or is told so only later.
func TestBeforeAUnitLoadsTheTableHasItsWholeLoad(t *testing.T) {
	const load = 40 * time.Second
	inKeptBed(t, func(b *bed) {
		b.systemd.load = load
		mustDone(t, b.act("orch", "start", "b"))
		mustDone(t, b.act("orch", "stop", ""))
		for rule, c := range map[string]struct {
			change, task string
			j            job
			says         bool
		}{
			"a start that has begun":                {"doing", "doing", job{op: opStart}, true},
			"one that is to come":                   {"doing", "todo", job{op: opStart}, true},
			"one that only a failure would bring":   {"doing", "todo", job{op: opStart, rescue: []int{0}}, false},
			"once it has brought it":                {"doing", "doing", job{op: opStart, rescue: []int{0}}, true},
			"one that is left out":                  {"doing", "skipped", job{op: opStart}, false},
			"a stop":                                {"doing", "doing", job{op: opStop}, false},
			"a change that has ended":               {"aborted", "doing", job{op: opStart}, false},
			"a start of what has never been loaded": {"doing", "doing", job{op: opStart, unit: orchA}, false},
		} {
			c.j.tier, c.j.unit = "orch", cmp.Or(c.j.unit, orchB)
			_, _ = inLoop(context.Background(), b.Agent, func() (bool, error) {
				before := b.changes
				defer func() { b.changes = before }()
				b.changes = append(slices.Clone(before), &change{tasks: []*task{{job: c.j}}, Change: api.Change{
					State: c.change, Tiers: []string{"orch"}, Started: time.Now().Add(-time.Hour), Tasks: []api.Task{{Tier: "orch", Unit: c.j.unit, State: c.task}},
				}})
				at, changes := b.comesBy("orch")
				if in := time.Until(at); c.says != (in >= load && in <= load*5/4) || at.IsZero() != changes.IsZero() {
					t.Errorf("%s: in %s", rule, in)
				}
				if r := b.route("orch"); r.State == api.Starting && r.ReadyBy != at {
					t.Errorf("%s: the table says %s", rule, time.Until(r.ReadyBy))
				}
				if next := b.forecast(); c.says && next != changes || !c.says && !next.IsZero() {
					t.Errorf("%s: the next figure is due in %s", rule, time.Until(next))
				}
				return true, nil
			})
		}
	})
}

func TestALoadThatSystemdBeginsAnewIsAWholeOne(t *testing.T) {
	inKeptBed(t, func(b *bed) {
		b.systemd.load = 40 * time.Second
		mustDone(t, b.act("coder", "start", ""))
		mustDone(t, b.act("coder", "stop", ""))
		b.begin("coder")
		b.after(38 * time.Second)
		b.systemd.by(func() {
			b.systemd.again[coder] = true
			b.systemd.crash(coder)
		})
		b.after(time.Second)
		if got := b.readyIn("coder"); got < 40*time.Second || got > 50*time.Second {
			t.Errorf("between two attempts: in %s", got)
		}
		b.after(2 * time.Second)
		if got := b.readyIn("coder"); got < 38*time.Second || got > 40*time.Second {
			t.Errorf("in the second one: in %s", got)
		}
	})
}
