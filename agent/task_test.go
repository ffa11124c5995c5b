package agent

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tierd/tierd/agent/api"
)

func (b *bed) fails(op string) {
	b.systemd.by(func() { b.systemd.fail[op] = errors.New("the bus said boo") })
}

func (b *bed) works() { b.systemd.by(func() { clear(b.systemd.fail) }) }

func mustError(t *testing.T, c api.Change, kind api.ErrorKind, words string) {
	t.Helper()
	if c.State == "done" {
		t.Errorf("%s is done", c.Summary)
		return
	}
	mustKind(t, c.Err, kind, words)
}

func TestAChangeOutlivesABusThatIsAwayForAWhile(t *testing.T) {
	for action, end := range map[string]api.State{"start": api.Ready, "stop": api.Stopped} {
		inBed(t, func(b *bed) {
			if action == "stop" {
				mustDone(t, b.act("coder", "start", ""))
			}
			id, err := b.Act(context.Background(), "coder", api.TierRequest{Action: action})
			if err != nil {
				t.Fatal(err)
			}
			b.after(50 * time.Millisecond) // of the 100 that a stop takes, and the second that a start takes
			b.fails("list")
			b.after(2 * time.Minute)
			if c, err := b.Change(id); err != nil || c.Done() {
				t.Errorf("while the bus is away the %s is %s: %v, %v", action, c.State, c.Err, err)
			}
			b.works()
			mustDone(t, b.wait(id))
			b.mustState("coder", end)
		})
	}
}

func TestAFailureThatCannotBeClearedIsToldByTheStop(t *testing.T) {
	inBed(t, func(b *bed) {
		mustDone(t, b.act("coder", "start", ""))
		b.systemd.by(func() { b.systemd.crash(coder) })
		b.after(time.Second)
		b.fails("reset")
		mustError(t, b.act("coder", "stop", ""), api.KindUnit, "cannot stop "+coder+": the bus said boo")
		mustError(t, b.act("coder", "start", ""), api.KindUnit, "coder.service")
		b.works()
		mustDone(t, b.act("coder", "stop", ""))
		b.mustState("coder", api.Stopped)
	})
}

func TestWhatAnAdministratorDoesMeanwhileIsTold(t *testing.T) {
	t.Run("a stop while it loads", func(t *testing.T) {
		inBed(t, func(b *bed) {
			b.systemd.slow[util] = true
			id := b.begin("util")
			b.after(time.Second)
			b.systemd.by(func() { b.systemd.halt(util) })
			mustError(t, b.wait(id), api.KindUnit, "")
			b.mustState("util", api.Stopped)
		})
	})
	t.Run("a start while it is being stopped", func(t *testing.T) {
		inBed(t, func(b *bed) {
			mustDone(t, b.act("util", "start", ""))
			id, err := b.Act(context.Background(), "util", api.TierRequest{Action: "stop"})
			if err != nil {
				t.Fatal(err)
			}
			b.after(50 * time.Millisecond)
			b.systemd.by(func() { b.systemd.boot(b.systemd.units[util]) })
			mustError(t, b.wait(id), api.KindUnit, util+" was started again while it was being stopped")
			b.mustState("util", api.Ready)
		})
	})
}

func TestTheWayBackMayBeGone(t *testing.T) {
	inBed(t, func(b *bed) {
		mustDone(t, b.act("orch", "start", ""))
		b.systemd.slow[orchB] = true
		id := b.switches("b", true)
		b.after(time.Minute)
		before, rest, _ := strings.Cut(bedConfig, "[tier.orch]")
		_, after, _ := strings.Cut(rest, "[tier.coder]")
		b.write(strings.NewReplacer(`"orch", `, "", `"orch/b", `, "").Replace(before + "[tier.coder]" + after))
		mustReload(b, false)
		if err := b.AbortChange(id); err != nil {
			t.Fatal(err)
		}
		c := b.wait(id)
		if c.State != "aborted" || !strings.Contains(c.Err.Message, orchA+" could not be started again: "+orchA+" is no longer in tiers.toml") {
			t.Errorf("the switch: %s, %v", c.State, c.Err)
		}
	})
}

func TestAnAbortThatCannotStopTheLoadSaysSo(t *testing.T) {
	inBed(t, func(b *bed) {
		b.systemd.slow[util] = true
		id := b.begin("util")
		b.after(time.Second)
		b.fails("stop")
		if err := b.AbortChange(id); err != nil {
			t.Fatal(err)
		}
		c := b.wait(id)
		if c.State != "aborted" || !strings.Contains(c.Err.Message, "cannot stop "+util+", whose start was aborted: the bus said boo") {
			t.Errorf("%s, %v", c.State, c.Err)
		}
		b.mustState("util", api.Starting)
		b.works()
		mustDone(t, b.act("util", "stop", ""))
	})
}

func TestAChangeThatIsNotKnown(t *testing.T) {
	inBed(t, func(b *bed) {
		_, err := b.WaitChange(context.Background(), "77")
		mustKind(t, err, api.KindNotFound, `no change "77" is known`)
		mustKind(t, b.AbortChange("77"), api.KindNotFound, `no change "77" is known`)
		id := b.begin("coder")
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		if c, err := b.WaitChange(ctx, id); err != nil || c.State != "doing" {
			t.Errorf("a wait that ends first tells how far it is: %s, %v", c.State, err)
		}
		mustDone(t, b.wait(id))
	})
}

func TestARestartOfPendingTiersWaitsForNobody(t *testing.T) {
	inBed(t, func(b *bed) {
		mustDone(t, b.act("coder", "start", ""))
		id, err := b.Act(context.Background(), "coder", api.TierRequest{Action: "restart"})
		if err != nil {
			t.Fatal(err)
		}
		b.change("/m/coder.gguf", "/m/coder-2.gguf")
		_, _, err = b.Reload(context.Background(), true)
		mustKind(t, err, api.KindConflict, "change "+id+" (restart coder) is at work")
		b.wait(id)
	})
}

func TestAPlanTellsARestartFromAStart(t *testing.T) {
	inBed(t, func(b *bed) {
		mustDone(t, b.up("full"))
		b.systemd.by(func() { b.systemd.halt(coder) })
		b.after(50 * time.Millisecond) // of the 100 that a stop takes
		p, err := b.PlanMode(context.Background(), "full")
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range p.Units {
			if want := map[string]string{orchA: "keep", coder: "restart", util: "keep"}[u.Unit]; u.Action != want {
				t.Errorf("%s: %s, want %s", u.Unit, u.Action, want)
			}
		}
		_, err = b.PlanMode(context.Background(), "huge")
		mustKind(t, err, api.KindNotFound, "huge")
	})
}

func TestAnAgentThatHasNothingToTellYetJudgesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, filepath.Join(t.TempDir(), "tiers.toml"))
		b.Agent = New(Options{Systemd: b.systemd, Log: quiet(), Kernel: b})
		a := b.Admit(context.Background(), coder, "start", nil) // nobody runs it
		if a.OK || a.Class != api.ClassRefused || a.Message != "tierd cannot judge now: context deadline exceeded" {
			t.Errorf("a start: %+v", a)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if a := b.Admit(ctx, coder, "stop", nil); a.OK || !strings.HasPrefix(a.Message, "tierd cannot wait for the requests") {
			t.Errorf("a stop: %+v", a)
		}
	})
}

func TestASummaryIsWhatTheTiersAre(t *testing.T) {
	inBed(t, func(b *bed) {
		mustDone(t, b.act("coder", "start", ""))
		s, err := b.Summary(context.Background())
		if err != nil || len(s.Tiers) != 3 || s.Tiers[0] != api.Stopped || s.Tiers[1] != api.Ready || s.ConfigError != "" {
			t.Errorf("the summary: %+v, %v", s, err)
		}
		b.write("nonsense")
		if _, _, err := b.Reload(context.Background(), false); err == nil {
			t.Fatal("nonsense is read")
		}
		if s, err = b.Summary(context.Background()); err != nil || s.ConfigError == "" {
			t.Errorf("with a bad file: %+v, %v", s, err)
		}
	})
}

func TestMemoryThatCannotBeReadRefusesNobody(t *testing.T) {
	inBed(t, func(b *bed) {
		b.memoryErr = errors.New("no meminfo here")
		if a := b.Admit(context.Background(), coder, "start", nil); !a.OK {
			t.Errorf("a start: %+v", a)
		}
		mustDone(t, b.up("full"))
	})
}

func TestAStartWhoseUnitIsStoppedMeanwhileSaysSo(t *testing.T) {
	inBed(t, func(b *bed) {
		b.systemd.load = time.Minute
		id := b.begin("coder")
		b.after(time.Second)
		b.systemd.by(func() { b.systemd.halt(coder) }) // systemctl stop
		mustError(t, b.wait(id), api.KindUnit, coder+" was stopped while it was starting")
		b.mustState("coder", api.Stopped)
	})
}

// systemd counts every start, and refuses the sixth within ten minutes: orders must not add up.
func TestOrdersCountForNoLimitOfStarts(t *testing.T) {
	inBed(t, func(b *bed) {
		for range 3 {
			mustDone(t, b.act("coder", "start", ""))
			mustDone(t, b.act("coder", "stop", ""))
		}
		if got := b.systemd.did("reset"); len(got) != 6 {
			t.Errorf("the count was taken back by %q", got)
		}
	})
}

func TestALimitOfStartsIsNamed(t *testing.T) {
	hit := UnitStatus{Name: coder, ActiveState: "failed", Result: "start-limit-hit", StatusText: "Stopped"}
	if got := endReason(hit); !strings.Contains(got, "started too often") || !strings.Contains(got, "systemctl reset-failed "+coder) {
		t.Errorf("got %q", got)
	}
	hit.ExecStatus, hit.StatusText = 70, "The engine died of an abort of its own"
	if got := endReason(hit); got != hit.StatusText {
		t.Errorf("behind a crash: %q", got)
	}
}
