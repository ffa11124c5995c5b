package agent

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"pgregory.net/rapid"

	"github.com/tierd/tierd/agent/api"
)

func TestThePauseAfterFailures(t *testing.T) {
	failed := &api.Error{Class: api.ClassModel, Message: "no"}
	refused := &api.Error{Class: api.ClassRefused, Message: "no room"}
	now := time.Now()
	for _, c := range []struct {
		rule string
		errs []*api.Error
		want []time.Duration
	}{
		{"it doubles up to two minutes", []*api.Error{failed, failed, failed, failed, failed, failed, failed},
			[]time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second, 2 * time.Minute, 2 * time.Minute}},
		{"a refusal costs no load, and its pause does not grow", []*api.Error{refused, refused, refused}, []time.Duration{5 * time.Second, 5 * time.Second, 5 * time.Second}},
		{"after a refusal it begins anew", []*api.Error{failed, failed, refused, failed}, []time.Duration{5 * time.Second, 10 * time.Second, 5 * time.Second, 10 * time.Second}},
	} {
		var s setback
		for i, err := range c.errs {
			if s = s.again(err, now); s.until != now.Add(c.want[i]) {
				t.Errorf("%s: after failure %d it is %s, want %s", c.rule, i+1, s.until.Sub(now), c.want[i])
			}
		}
	}
}

func TestAPauseIsToldAsLongAsItLasts(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		now := time.Unix(0, 0)
		var s setback
		if s.told(now) != nil {
			r.Fatal("without a failure")
		}
		for range rapid.IntRange(1, 20).Draw(r, "failures") {
			class := rapid.SampledFrom([]string{api.ClassModel, api.ClassRefused, api.ClassEngineDied}).Draw(r, "class")
			s = s.again(&api.Error{Class: class}, now)
		}
		if s.pause < firstSetback || s.pause > lastSetback {
			r.Fatalf("the pause is %s", s.pause)
		}
		at := time.Duration(rapid.Int64Range(0, int64(3*time.Minute)).Draw(r, "later"))
		e := s.told(now.Add(at))
		switch {
		case at >= s.pause && e != nil:
			r.Fatalf("after the pause of %s, at %s: %v", s.pause, at, e)
		case at < s.pause && (e == nil || e.RetryAfter != (s.pause-at).Seconds()):
			r.Fatalf("within the pause of %s, at %s: %+v", s.pause, at, e)
		}
		if s.err.RetryAfter != 0 {
			r.Fatal("the failure itself was changed")
		}
	})
}

// failsWith asks for coder and takes the error, with the seconds after which it may be asked for again.
func (b *bed) failsWith(words string) float64 {
	b.t.Helper()
	err := b.Ensure(context.Background(), "coder")
	var e *api.Error
	if !errors.As(err, &e) || e.Class == "" {
		b.t.Fatalf("got %v, want an error with %q", err, words)
	}
	return e.RetryAfter
}

func TestATierThatFailsIsNotTriedAtFullSpeed(t *testing.T) {
	inBed(t, func(b *bed) {
		b.systemd.ends[coder] = 78
		var starts []time.Duration
		began := time.Now()
		for time.Since(began) < 10*time.Minute {
			again := b.failsWith("ended with 78")
			if n := len(b.systemd.did("start")); n > 0 {
				starts = append(starts, time.Since(began).Round(time.Second))
			}
			if again <= 0 || again > lastSetback.Seconds() {
				t.Fatalf("again after %v s", again)
			}
			b.after(time.Second) // a client that does not mind
		}
		want := []time.Duration{1 * time.Second, 7 * time.Second, 18 * time.Second, 39 * time.Second, 80 * time.Second}
		if len(starts) < 5 || !slices.Equal(starts[:5], want) || len(starts) > 10 {
			t.Errorf("it was started at %v", starts)
		}
	})
}

func TestWhatEndsThePause(t *testing.T) {
	for name, end := range map[string]func(b *bed){
		"an operator's start": func(b *bed) { b.act("coder", "start", "") },
		"an operator's stop":  func(b *bed) { b.act("coder", "stop", "") },
		"up":                  func(b *bed) { b.up("full") },
		"a reload that changed the tier": func(b *bed) {
			b.change(`context = "4K"`, `context = "8K"`)
			mustReload(b, false)
		},
		"systemctl reset-failed": func(b *bed) {
			b.systemd.by(func() { b.systemd.set(b.systemd.units[coder], "inactive", "dead", "success", 0) })
			b.after(time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBed(t, func(b *bed) {
				b.systemd.ends[coder] = 78
				for range 4 { // 40 s
					b.after(time.Duration(b.failsWith("78") * float64(time.Second)))
					b.failsWith("78")
				}
				delete(b.systemd.ends, coder)
				b.failsWith("78")
				end(b)
				if err := b.Ensure(context.Background(), "coder"); err != nil {
					t.Error(err)
				}
			})
		})
	}
	t.Run("a reload that did not", func(t *testing.T) {
		inBed(t, func(b *bed) {
			b.systemd.ends[coder] = 78
			b.failsWith("78")
			delete(b.systemd.ends, coder)
			b.change("priority = 90", "priority = 91")
			mustReload(b, false)
			b.failsWith("78")
		})
	})
	t.Run("success", func(t *testing.T) {
		inBed(t, func(b *bed) {
			b.systemd.ends[coder] = 78
			for range 4 {
				b.after(time.Duration(b.failsWith("78") * float64(time.Second)))
			}
			delete(b.systemd.ends, coder)
			if err := b.Ensure(context.Background(), "coder"); err != nil {
				t.Fatal(err)
			}
			mustDone(t, b.act("coder", "stop", ""))
			b.systemd.ends[coder] = 78
			if again := b.failsWith("78"); again != 5 {
				t.Errorf("again after %v s", again)
			}
		})
	})
}

func TestAFailureOfSomebodyElsesStartCountsToo(t *testing.T) {
	for name, begin := range map[string]func(b *bed){
		"a start":         func(b *bed) { b.begin("coder") },
		"systemctl start": func(b *bed) { b.systemd.by(func() { b.systemd.boot(b.systemd.units[coder]) }) },
	} {
		t.Run(name, func(t *testing.T) {
			inBed(t, func(b *bed) {
				b.systemd.ends[coder] = 71
				begin(b)
				b.after(100 * time.Millisecond)
				call := b.ensure("coder")
				b.after(2 * time.Second)
				mustKind(t, call.is(t), api.KindUnit, "the engine ended with 71")
				if got := len(b.systemd.did("start")); got > 1 {
					t.Errorf("it was started %d times", got)
				}
				b.failsWith("71")
			})
		})
	}
}

func TestAStopByHandIsNoFailure(t *testing.T) {
	inBed(t, func(b *bed) {
		b.systemd.slow[coder] = true
		call := b.ensure("coder")
		b.after(time.Second)
		b.systemd.by(func() { b.systemd.halt(coder); clear(b.systemd.slow) })
		b.after(time.Second)
		mustKind(t, call.is(t), api.KindUnit, "was stopped while it was starting")
		if err := b.Ensure(context.Background(), "coder"); err != nil {
			t.Error(err)
		}
	})
}

func TestARefusalOfTheBudgetIsToldWithItsSum(t *testing.T) {
	inBed(t, func(b *bed) {
		b.change("role = \"coder\"", "role = \"coder\"\npinned = true")
		mustReload(b, false)
		b.tight()
		mustDone(t, b.act("coder", "start", ""))
		b.aged()
		for range 2 {
			err := b.Ensure(context.Background(), "orch")
			mustKind(t, err, api.KindBudget, "coder cannot give way (pinned)")
			var e *api.Error
			if errors.As(err, &e); e.Budget == nil || e.RetryAfter != 5 {
				t.Errorf("as data: %+v", e)
			}
		}
		mustDone(t, b.act("coder", "stop", ""))
		b.after(5 * time.Second)
		if err := b.Ensure(context.Background(), "orch"); err != nil {
			t.Error(err)
		}
	})
}

func TestThePauseAfterAFailureReadsNoHost(t *testing.T) {
	inBedWith(t, []string{"m/orch.gguf", engines[1]}, func(b *bed, _ fstest.MapFS) { // orch's other variant has no engine
		b.systemd.ends[orchA] = 70
		call := b.ensure("orch")
		b.after(2 * time.Second)
		mustKind(t, call.is(t), api.KindUnit, orchA+" did not come up")
		b.broken = "no such host"
		mustKind(t, b.ensure("orch").is(t), api.KindUnit, orchA+" did not come up")
		b.after(firstSetback)
		mustKind(t, b.ensure("orch").is(t), api.KindInternal, "no such host")
	})
}
