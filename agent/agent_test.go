package agent

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tierd/tierd/agent/api"
)

func mustKind(t *testing.T, err error, kind api.ErrorKind, words string) {
	t.Helper()
	var e *api.Error
	if !errors.As(err, &e) || e.Kind != kind || !strings.Contains(e.Message, words) {
		t.Errorf("error %v, want %s with %q", err, kind, words)
	}
}

func TestEveryTierIsDefinedAndNoneIsStarted(t *testing.T) {
	inBed(t, func(b *bed) {
		if got := b.systemd.did("define", "start", "stop"); len(got) != 4 || slices.ContainsFunc(got, func(c string) bool { return !strings.HasPrefix(c, "define") }) {
			t.Errorf("at first it did %q, want four defines", got)
		}
		for _, unit := range []string{orchA, orchB, coder, util} {
			if b.systemd.state(unit) != "inactive" {
				t.Errorf("%s is %q", unit, b.systemd.state(unit))
			}
		}
		b.after(10 * time.Minute)
		if got := b.systemd.did("define", "adopt", "release", "start", "stop"); len(got) > 0 {
			t.Errorf("with nothing to do it did %q", got)
		}
	})
}

func TestStartAndStop(t *testing.T) {
	inBed(t, func(b *bed) {
		mustDone(t, b.act("coder", "start", ""))
		b.mustState("coder", api.Ready)
		again := b.act("coder", "start", "")
		mustDone(t, again)
		if len(again.Tasks) != 0 {
			t.Errorf("a start of a running tier has tasks: %+v", again.Tasks)
		}
		mustDone(t, b.act("coder", "stop", ""))
		b.mustState("coder", api.Stopped)
		if got := b.systemd.did("start", "stop"); !slices.Equal(got, []string{"start " + coder, "stop " + coder}) {
			t.Errorf("it did %q", got)
		}
	})
}

func TestRequestsThatCannotBeMet(t *testing.T) {
	inBed(t, func(b *bed) {
		ctx := context.Background()
		_, err := b.Act(ctx, "planner", api.TierRequest{Action: "start"})
		mustKind(t, err, api.KindNotFound, "planner")
		_, err = b.Act(ctx, "orch", api.TierRequest{Action: "switch", Variant: "cloud"})
		mustKind(t, err, api.KindNotFound, "cloud")
		_, err = b.Act(ctx, "orch", api.TierRequest{Action: "switch"})
		mustKind(t, err, api.KindBadRequest, "variant")
		_, err = b.Act(ctx, "orch", api.TierRequest{Action: "dance"})
		mustKind(t, err, api.KindBadRequest, "dance")
		_, err = b.Stack(ctx, api.StackRequest{Action: "up", Mode: "huge"})
		mustKind(t, err, api.KindNotFound, "huge")
		_, err = b.Stack(ctx, api.StackRequest{Action: "sideways"})
		mustKind(t, err, api.KindBadRequest, "sideways")
		_, err = b.Change("99")
		mustKind(t, err, api.KindNotFound, "99")
		_, err = b.Tier("planner")
		mustKind(t, err, api.KindNotFound, "planner")
		mustDone(t, b.act("orch", "start", ""))
		_, err = b.Act(ctx, "orch", api.TierRequest{Action: "start", Variant: "b"})
		mustKind(t, err, api.KindConflict, "is up as")
	})
}

func TestUpMakesTheRunningSetEqualToTheMode(t *testing.T) {
	inBed(t, func(b *bed) {
		mustDone(t, b.up(""))
		if got := b.systemd.did("start", "stop"); len(got) != 3 {
			t.Errorf("up did %q", got)
		}
		mustDone(t, b.up("small"))
		b.mustState("coder", api.Stopped)
		if tier := b.tierNow("orch"); tier.Variant != "b" || tier.State != api.Ready {
			t.Errorf("orch is %s as %s", tier.State, tier.Variant)
		}
		if got := b.systemd.did("start", "start-beside", "stop"); !slices.Equal(got, []string{"stop " + coder, "start-beside " + orchB, "stop " + orchA}) {
			t.Errorf("the second up did %q, want the variant to come up beside the other", got)
		}
		if c := b.up("small"); len(c.Tasks) != 0 {
			t.Errorf("up of what is up has tasks: %+v", c.Tasks)
		}
		id, err := b.Stack(context.Background(), api.StackRequest{Action: "down"})
		if err != nil {
			t.Fatal(err)
		}
		mustDone(t, b.wait(id))
		b.mustState("orch", api.Stopped)
		b.mustState("util", api.Stopped)
	})
}

func TestABootStartsOnlyWhatStartsWithTheMachineAndStopsNothing(t *testing.T) {
	inBed(t, func(b *bed) {
		mustDone(t, b.act("util", "start", ""))
		mustDone(t, b.act("orch", "start", "b"))
		b.systemd.did()
		id, err := b.Stack(context.Background(), api.StackRequest{Action: "up", Boot: true})
		if err != nil {
			t.Fatal(err)
		}
		mustDone(t, b.wait(id))
		if got := b.systemd.did("start", "stop"); !slices.Equal(got, []string{"start " + coder}) {
			t.Errorf("a boot did %q", got)
		}
	})
}

func TestTheSameRequestJoinsAndAnotherIsAConflict(t *testing.T) {
	inBed(t, func(b *bed) {
		ctx := context.Background()
		first, err := b.Stack(ctx, api.StackRequest{Action: "up"})
		if err != nil {
			t.Fatal(err)
		}
		second, err := b.Stack(ctx, api.StackRequest{Action: "up", Mode: "full"})
		if err != nil || second != first {
			t.Errorf("the second up is %q, %v, want %q", second, err, first)
		}
		_, err = b.Stack(ctx, api.StackRequest{Action: "up", Mode: "small"})
		mustKind(t, err, api.KindConflict, "change "+first+" (up full)")
		_, err = b.Act(ctx, "coder", api.TierRequest{Action: "restart"})
		mustKind(t, err, api.KindConflict, "up full")
		mustDone(t, b.wait(first))
	})
}

func TestAStopWinsOverAStart(t *testing.T) {
	inBed(t, func(b *bed) {
		b.systemd.slow[coder] = true
		ctx := context.Background()
		start, err := b.Act(ctx, "coder", api.TierRequest{Action: "start"})
		if err != nil {
			t.Fatal(err)
		}
		b.after(time.Minute)
		b.mustState("coder", api.Starting)
		mustDone(t, b.act("coder", "stop", ""))
		b.mustState("coder", api.Stopped)
		if c := b.wait(start); c.State == "done" || c.Err == nil || c.Err.Kind != api.KindAborted {
			t.Errorf("the start that was stopped: %s, %v", c.State, c.Err)
		}
	})
}

func TestAStopOfOneTierLeavesTheRestOfUpAlone(t *testing.T) {
	inBed(t, func(b *bed) {
		b.systemd.slow[orchA] = true
		id, err := b.Stack(context.Background(), api.StackRequest{Action: "up"})
		if err != nil {
			t.Fatal(err)
		}
		b.after(time.Minute)
		mustDone(t, b.act("orch", "stop", ""))
		c := b.wait(id)
		if c.State == "done" {
			t.Error("an up without one of its tiers is done")
		}
		b.mustState("orch", api.Stopped)
		b.mustState("coder", api.Ready)
		b.mustState("util", api.Ready)
	})
}

func TestAnAbortStopsWhatLoadsAndKeepsWhatIsReady(t *testing.T) {
	inBed(t, func(b *bed) {
		b.systemd.slow[coder] = true
		id, err := b.Stack(context.Background(), api.StackRequest{Action: "up"})
		if err != nil {
			t.Fatal(err)
		}
		b.after(time.Minute)
		if err := b.AbortChange(id); err != nil {
			t.Fatal(err)
		}
		if c := b.wait(id); c.State != "aborted" || c.Err.Kind != api.KindAborted {
			t.Errorf("aborted: %s, %v", c.State, c.Err)
		}
		b.mustState("orch", api.Ready)
		b.mustState("coder", api.Stopped)
		if err := b.AbortChange(id); err != nil {
			t.Errorf("a second abort: %v", err)
		}
	})
}

func TestASwitchThatFailsBringsTheOldVariantBack(t *testing.T) {
	inBed(t, func(b *bed) {
		mustDone(t, b.act("orch", "start", ""))
		b.systemd.ends[orchB] = 66
		c := b.wait(b.switches("b", true))
		if c.State != "error" || !strings.Contains(c.Err.Message, "ended with 66") || !strings.Contains(c.Err.Message, orchA+" serves again") {
			t.Errorf("the switch: %s, %v", c.State, c.Err)
		}
		if tier := b.tierNow("orch"); tier.Variant != "a" || tier.State != api.Ready {
			t.Errorf("orch is %s as %s", tier.State, tier.Variant)
		}
		b.systemd.ends[orchA] = 70
		c = b.wait(b.switches("b", true))
		if c.State != "error" || !strings.Contains(c.Err.Message, "could not be started again") {
			t.Errorf("the second switch: %s, %v", c.State, c.Err)
		}
	})
}

func TestASwitchThatIsAbortedBringsTheOldVariantBack(t *testing.T) {
	inBed(t, func(b *bed) {
		mustDone(t, b.act("orch", "start", ""))
		b.systemd.slow[orchB] = true
		id := b.switches("b", true)
		b.after(time.Minute)
		if err := b.AbortChange(id); err != nil {
			t.Fatal(err)
		}
		if c := b.wait(id); c.State != "aborted" {
			t.Errorf("the switch: %s, %v", c.State, c.Err)
		}
		if tier := b.tierNow("orch"); tier.Variant != "a" || tier.State != api.Ready {
			t.Errorf("orch is %s as %s", tier.State, tier.Variant)
		}
	})
}

func TestAFailureIsToldWithItsClass(t *testing.T) {
	inBed(t, func(b *bed) {
		b.systemd.ends[coder] = 75
		c := b.act("coder", "start", "")
		if c.State != "error" || c.Err.Kind != api.KindBudget || c.Err.Class != api.ClassRefused {
			t.Errorf("a refused start: %s, %+v", c.State, c.Err)
		}
		if tier := b.tierNow("coder"); tier.State != api.Failed || tier.Reason != "the engine ended with 75" {
			t.Errorf("the tier: %+v", tier)
		}
		delete(b.systemd.ends, coder)
		mustDone(t, b.act("coder", "start", ""))
		b.systemd.by(func() { b.systemd.crash(coder) })
		b.after(time.Second)
		if tier := b.tierNow("coder"); tier.State != api.Failed || tier.Class != api.ClassEngineDied {
			t.Errorf("the tier after a crash: %+v", tier)
		}
		b.systemd.by(func() {
			u := b.systemd.units[coder]
			b.systemd.set(u, "activating", "auto-restart", "exit-code", 70)
		})
		b.after(time.Second)
		if tier := b.tierNow("coder"); tier.State != api.Starting || tier.Status != "" || !strings.Contains(tier.Reason, "starts it again") {
			t.Errorf("the tier between two tries of systemd's: %+v", tier)
		}
		b.systemd.by(func() { b.systemd.crash(coder) })
		b.after(time.Hour)
		b.mustState("coder", api.Failed) // systemd retries, tierd never does
		mustDone(t, b.act("coder", "stop", ""))
		b.mustState("coder", api.Stopped)
	})
}

func TestWhatSystemctlDoesIsSeen(t *testing.T) {
	inBed(t, func(b *bed) {
		b.systemd.by(func() { b.systemd.boot(b.systemd.units[coder]) })
		b.after(hintPause)
		b.mustState("coder", api.Starting)
		b.after(2 * time.Second)
		b.mustState("coder", api.Ready)
		b.systemd.by(func() { b.systemd.halt(coder) })
		b.after(hintPause)
		b.mustState("coder", api.Draining)
		b.after(time.Second)
		b.mustState("coder", api.Stopped)
		if got := b.systemd.did("start", "stop", "define"); len(got) != 4 {
			t.Errorf("it did %q, want the four defines of the beginning", got)
		}
	})
}

func TestANewTierdAdoptsWhatRuns(t *testing.T) {
	inBed(t, func(b *bed) {
		mustDone(t, b.up(""))
		pid := b.tierNow("coder").MainPID
		b.systemd.by(func() { b.systemd.crash(util) })
		b.after(time.Second)
		b.end()
		b.systemd.did()
		b.run()
		b.after(time.Second)
		if tier := b.tierNow("coder"); tier.State != api.Ready || tier.MainPID != pid {
			t.Errorf("coder: %+v", tier)
		}
		if tier := b.tierNow("util"); tier.State != api.Failed || tier.Reason != "the engine died" {
			t.Errorf("a failure is forgotten: %+v", tier)
		}
		if got := b.systemd.did("start", "stop"); len(got) > 0 {
			t.Errorf("a new tierd did %q", got)
		}
		if c := b.up(""); len(c.Tasks) != 1 {
			t.Errorf("up starts %+v, want util alone", c.Tasks)
		}
	})
}

func TestALostConnectionIsMadeGood(t *testing.T) {
	inBed(t, func(b *bed) {
		mustDone(t, b.act("coder", "start", ""))
		b.systemd.did()
		b.systemd.disconnect()
		b.after(time.Second)
		got := b.systemd.did("define", "adopt", "start", "stop")
		slices.Sort(got)
		want := []string{"adopt " + coder, "define " + orchB, "define " + orchA, "define " + util}
		if !slices.Equal(got, want) {
			t.Errorf("it did %q, want %q", got, want)
		}
	})
}

func TestSystemdThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, t.TempDir()+"/tiers.toml")
		b.systemd.fail["list"] = errors.New("no bus")
		b.run()
		defer b.end()
		_, err := b.Status(context.Background())
		mustKind(t, err, api.KindUnavailable, "no bus")
		_, err = b.Act(context.Background(), "coder", api.TierRequest{Action: "start"})
		mustKind(t, err, api.KindUnavailable, "no bus")
		_, err = b.Table(context.Background(), 0)
		mustKind(t, err, api.KindUnavailable, "no bus")
		b.systemd.by(func() { delete(b.systemd.fail, "list") })
		b.after(time.Minute)
		mustDone(t, b.act("coder", "start", ""))
		b.systemd.by(func() { b.systemd.fail["list"] = errors.New("no bus") })
		b.after(time.Second)
		status, err := b.Status(context.Background())
		if err != nil || len(status.Warnings) == 0 {
			t.Errorf("what was last known is not told: %+v, %v", status, err)
		}
	})
}

func TestAnOperationThatFailsEndsTheChangeWithItsWords(t *testing.T) {
	for _, op := range []string{"start", "stop", "define", "reset"} {
		t.Run(op, func(t *testing.T) {
			inBed(t, func(b *bed) {
				mustDone(t, b.act("coder", "start", ""))
				b.change("4K", "8K")
				b.systemd.by(func() {
					b.systemd.fail[op] = errors.New("the bus said boo")
					if op == "reset" {
						b.systemd.crash(coder)
					}
				})
				if _, _, err := b.Reload(context.Background(), false); err != nil {
					t.Fatal(err)
				}
				c := b.act("coder", "restart", "")
				if op == "reset" { // the new definition replaces the failed one, so none is needed
					mustDone(t, c)
					return
				}
				if c.State != "error" || !strings.Contains(c.Err.Message, "the bus said boo") {
					t.Errorf("%s: %v", c.State, c.Err)
				}
			})
		})
	}
}

func TestAMaskedUnitIsBlocked(t *testing.T) {
	inBed(t, func(b *bed) {
		b.systemd.by(func() { b.systemd.units[coder].Masked = true })
		b.after(time.Second)
		tier := b.tierNow("coder")
		if tier.State != api.Blocked || !strings.Contains(tier.Reason, "systemctl unmask tier-coder.service") {
			t.Errorf("the tier: %+v", tier)
		}
		_, err := b.Act(context.Background(), "coder", api.TierRequest{Action: "start"})
		mustKind(t, err, api.KindConfig, "masked by the administrator")
		if got := b.systemd.did("release"); !slices.Equal(got, []string{"release " + coder}) {
			t.Errorf("it did %q", got)
		}
		b.systemd.by(func() { delete(b.systemd.units, coder); b.systemd.give(true) })
		b.after(time.Second)
		mustDone(t, b.act("coder", "start", ""))
	})
}

func TestAUnitThatCannotBeDefinedIsBlockedAndTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, t.TempDir()+"/tiers.toml")
		b.systemd.fail["define "+coder] = errors.New("a unit file is in the way")
		b.run()
		defer b.end()
		tier := b.tierNow("coder")
		if tier.State != api.Blocked || !strings.Contains(tier.Reason, "in the way") {
			t.Errorf("the tier: %+v", tier)
		}
		b.mustState("orch", api.Stopped)
		b.after(10 * time.Minute)
		if got := len(b.systemd.did("define")); got < 10 || got > 20 {
			t.Errorf("%d defines in ten minutes, want one a minute and the first four", got)
		}
		b.systemd.by(func() { clear(b.systemd.fail) })
		b.after(2 * time.Minute)
		b.mustState("coder", api.Stopped)
	})
}
