package agent

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// ensureCall is one call of Ensure that goes on.
type ensureCall struct {
	answer chan error
	hangUp context.CancelCauseFunc
}

func (b *bed) ensure(tier string) ensureCall {
	ctx, cancel := context.WithCancelCause(context.Background())
	c := ensureCall{make(chan error, 1), cancel}
	agent := b.Agent
	go func() {
		err := agent.Ensure(ctx, tier)
		if err == nil {
			b.systemd.mustServe(tier)
		}
		c.answer <- err
	}()
	b.after(0)
	return c
}

// mustServe notes as wrong that a tier is said to be ready when it is not, unless it was so lately that nobody can have
// heard of its end.
func (f *fakeSystemd) mustServe(tier string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, u := range f.units {
		if u.Tier == tier && (u.ActiveState == "active" || time.Since(u.Since) <= hintPause) {
			return
		}
	}
	f.wrongs = append(f.wrongs, tier+" is said to be ready, and is not")
}

// is takes the answer, which must be there.
func (c ensureCall) is(t *testing.T) error {
	t.Helper()
	select {
	case err := <-c.answer:
		return err
	default:
		t.Fatal("the call of Ensure still waits")
		return nil
	}
}

func (c ensureCall) mustWait(t *testing.T) {
	t.Helper()
	select {
	case err := <-c.answer:
		t.Fatalf("it was answered %v, but has to wait", err)
	default:
	}
}

func (c ensureCall) mustBeReady(t *testing.T) {
	t.Helper()
	if err := c.is(t); err != nil {
		t.Errorf("the tier is not ready: %v", err)
	}
}

func (b *bed) kinds() (list []string) {
	b.t.Helper()
	changes, err := b.Changes()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, c := range changes {
		list = append(list, c.Kind+" "+c.State)
	}
	return list
}

func TestARequestStartsATierAndHearsWhenItIsReady(t *testing.T) {
	inBed(t, func(b *bed) {
		b.systemd.did()
		first, second := b.ensure("coder"), b.ensure("coder")
		b.after(900 * time.Millisecond) // of the second that a load takes
		first.mustWait(t)
		changes, err := b.Changes()
		if err != nil || len(changes) != 1 || changes[0].Kind != "ensure" || changes[0].Summary != "start coder for a request" || changes[0].State != "doing" {
			t.Errorf("the changes: %+v, %v", changes, err)
		}
		b.after(200 * time.Millisecond)
		first.mustBeReady(t)
		second.mustBeReady(t)
		b.ensure("coder").mustBeReady(t)
		if got := b.systemd.did("start", "stop"); !slices.Equal(got, []string{"start " + coder}) {
			t.Errorf("it did %q", got)
		}
		if got := b.kinds(); !slices.Equal(got, []string{"ensure done"}) {
			t.Errorf("the changes: %q", got)
		}
	})
}

// No timer and no reading of the units stands between a request and the start of the unit's process.
func TestARequestIsPutToSystemdAtOnce(t *testing.T) {
	inBed(t, func(b *bed) {
		b.after(time.Minute)
		b.systemd.mu.Lock()
		b.systemd.fail["list"] = errors.New("it was read again") // also of a bus that is slow to answer
		b.systemd.mu.Unlock()
		began := time.Now()
		b.systemd.did()
		call := b.ensure("coder")
		if took := time.Since(began); took != 0 || b.systemd.state(coder) != "activating" {
			t.Errorf("after %s it is %s", took, b.systemd.state(coder))
		}
		b.works()
		b.after(time.Minute)
		call.mustBeReady(t)
	})
}

func TestAUnitThatIsNotAsItWasKnownIsReadAndStartedAllTheSame(t *testing.T) {
	inBed(t, func(b *bed) {
		b.systemd.mu.Lock()
		delete(b.systemd.units, coder) // without a signal
		b.systemd.mu.Unlock()
		call := b.ensure("coder")
		b.after(2 * time.Second)
		call.mustBeReady(t)
	})
}

func TestWhatBringsATierUpAlreadyIsJoined(t *testing.T) {
	for name, begin := range map[string]func(b *bed){
		"a start":          func(b *bed) { b.begin("coder") },
		"up":               func(b *bed) { must(b.Stack(context.Background(), api.StackRequest{Action: "up"})) },
		"a boot":           func(b *bed) { must(b.Stack(context.Background(), api.StackRequest{Action: "up", Boot: true})) },
		"systemctl start":  func(b *bed) { b.systemd.by(func() { b.systemd.boot(b.systemd.units[coder]) }) },
		"an earlier tierd": func(b *bed) { b.begin("coder"); b.after(100 * time.Millisecond); b.end(); b.run() },
		"a restart": func(b *bed) {
			mustDone(b.t, b.act("coder", "start", ""))
			must(b.Act(context.Background(), "coder", api.TierRequest{Action: "restart"}))
		},
		"a restart of systemd's": func(b *bed) {
			b.systemd.by(func() { b.systemd.set(b.systemd.units[coder], "activating", "auto-restart", "exit-code", 70) })
			time.AfterFunc(time.Second, func() {
				b.systemd.by(func() { b.systemd.crash(coder); b.systemd.boot(b.systemd.units[coder]) })
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBed(t, func(b *bed) {
				begin(b)
				b.after(50 * time.Millisecond)
				call := b.ensure("coder")
				call.mustWait(t)
				b.after(5 * time.Second)
				call.mustBeReady(t)
				if got := b.kinds(); slices.ContainsFunc(got, func(k string) bool { return strings.HasPrefix(k, "ensure") }) {
					t.Errorf("the changes: %q", got)
				}
			})
		})
	}
}

func must(_ string, err error) {
	if err != nil {
		panic(err)
	}
}

func TestASwitchIsJoined(t *testing.T) {
	inBed(t, func(b *bed) {
		mustDone(t, b.act("orch", "start", ""))
		b.switches("b", true)
		b.after(500 * time.Millisecond)
		call := b.ensure("orch")
		call.mustWait(t)
		b.after(2 * time.Second)
		call.mustBeReady(t)
		if tier := b.tierNow("orch"); tier.Variant != "b" {
			t.Errorf("orch is up as %s", tier.Variant)
		}
	})
}

func TestAStopIsWaitedOutAndTheTierComesBack(t *testing.T) {
	for name, stop := range map[string]func(b *bed){
		"tierctl stop":   func(b *bed) { must(b.Act(context.Background(), "coder", api.TierRequest{Action: "stop"})) },
		"tierctl down":   func(b *bed) { must(b.Stack(context.Background(), api.StackRequest{Action: "down"})) },
		"systemctl stop": func(b *bed) { b.systemd.by(func() { b.systemd.halt(coder) }) },
	} {
		t.Run(name, func(t *testing.T) {
			inBed(t, func(b *bed) {
				mustDone(t, b.act("coder", "start", ""))
				b.systemd.did()
				stop(b)
				if strings.HasPrefix(name, "systemctl") {
					b.after(hintPause) // until tierd has heard of it
				}
				call := b.ensure("coder")
				call.mustWait(t)
				b.after(5 * time.Second)
				call.mustBeReady(t)
				b.mustState("coder", api.Ready)
				if got := b.systemd.did("start"); len(got) != 1 {
					t.Errorf("it did %q", got)
				}
			})
		})
	}
}

func TestAnEvictedTierThatIsAskedForGetsBackInLine(t *testing.T) {
	inBed(t, func(b *bed) {
		b.tight()
		mustDone(t, b.act("coder", "start", ""))
		b.aged()
		orch := b.ensure("orch")
		b.after(10 * time.Millisecond)
		back := b.ensure("coder") // which is just giving way
		b.after(2 * time.Second)
		orch.mustBeReady(t)
		back.mustWait(t)
		if got := b.tierNow("coder").Status; !strings.HasPrefix(got, "waits for room: it would need that of orch") {
			t.Errorf("coder says %q", got)
		}
		b.aged()
		back.mustBeReady(t)
		b.mustState("orch", api.Stopped)
	})
}

func TestOthersGiveWayForARequestAlsoForATierThatStartsAtBoot(t *testing.T) {
	inBed(t, func(b *bed) {
		b.tight()
		mustDone(t, b.act("coder", "start", ""))
		b.aged()
		call := b.ensure("orch")
		b.after(3 * time.Second)
		call.mustBeReady(t)
		if got := b.tierNow("coder").Reason; got != "gave way to orch" {
			t.Errorf("coder says %q", got)
		}
	})
}

func TestARequestThatJoinsAStartGivesItTheLeaveToEvict(t *testing.T) {
	inBed(t, func(b *bed) {
		b.systemd.slow[coder] = true
		b.begin("coder")
		b.after(time.Second)
		id := b.startWith("orch", false) // waits for its turn on the GPU, and then lacks the room
		b.after(time.Second)
		call := b.ensure("orch")
		b.tight()
		b.systemd.by(func() {
			clear(b.systemd.slow)
			b.systemd.set(b.systemd.units[coder], "active", "running", "success", 0)
		})
		b.after(time.Second)
		call.mustWait(t)
		b.aged()
		call.mustBeReady(t)
		mustDone(t, b.wait(id))
		b.mustState("coder", api.Stopped)
	})
}

func TestARequestThatIsAskedForAgainAfterARestartOfTierdEvictsAsBefore(t *testing.T) {
	inBed(t, func(b *bed) {
		b.tight()
		mustDone(t, b.act("coder", "start", ""))
		b.ensure("orch") // coder came up just now: orch is in line
		b.after(time.Second)
		u := b.systemd.units[orchA]
		b.systemd.by(u.die) // a tierd that ends does not answer its shim
		b.end()
		b.run()
		call := b.ensure("orch") // as the gateway does
		b.systemd.by(func() {    // and the shim
			u.ActiveState = "inactive"
			b.systemd.boot(u)
		})
		b.after(time.Second)
		call.mustWait(t)
		b.aged()
		call.mustBeReady(t)
		b.mustState("coder", api.Stopped)
	})
}

func TestRequestsDoNotStartAManualTier(t *testing.T) {
	inBed(t, func(b *bed) {
		err := b.ensure("util").is(t)
		mustKind(t, err, api.KindConfig, `util is not up, and no request starts it: tiers.toml says start = "manual"`)
		var e *api.Error
		if errors.As(err, &e); e.Hint != "tierctl start util" {
			t.Errorf("the hint: %q", e.Hint)
		}
		b.begin("util")
		call := b.ensure("util")
		b.after(2 * time.Second)
		call.mustBeReady(t)
		must(b.Act(context.Background(), "util", api.TierRequest{Action: "stop"}))
		mustKind(t, b.ensure("util").is(t), api.KindConfig, "no request starts it")
	})
}

func TestWhatCannotBeStartedIsToldAtOnce(t *testing.T) {
	inBed(t, func(b *bed) {
		mustKind(t, b.ensure("planner").is(t), api.KindNotFound, `no tier is called "planner"`)
		b.systemd.by(func() { b.systemd.units[coder].Masked = true })
		b.after(time.Second)
		mustKind(t, b.ensure("coder").is(t), api.KindConfig, "masked by the administrator")
		b.write("garbage")
		b.end()
		b.run()
		mustKind(t, b.ensure("orch").is(t), api.KindConfig, "tiers.toml cannot be used")
	})
}

func TestSystemdThatIsAwayIsToldWithATime(t *testing.T) {
	inBed(t, func(b *bed) {
		b.fails("list")
		b.after(time.Second)
		err := b.ensure("coder").is(t)
		mustKind(t, err, api.KindUnavailable, "systemd does not answer")
		var e *api.Error
		if errors.As(err, &e); e.RetryAfter != 2 {
			t.Errorf("again after %v s", e.RetryAfter)
		}
	})
}
