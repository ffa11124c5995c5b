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

// tight leaves room for coder or orch beside util, and not for both.
func (b *bed) tight() {
	b.has(75)
	b.free(75)
}

// aged lets every tier that is up have been so for longer than it is spared.
func (b *bed) aged() { b.after(10 * time.Minute) }

func (b *bed) startWith(tier string, evict bool) string {
	b.t.Helper()
	id, err := b.Act(context.Background(), tier, api.TierRequest{Action: "start", Evict: evict})
	if err != nil {
		b.t.Fatalf("start %s: %v", tier, err)
	}
	return id
}

// reports is a gateway that says what is in flight.
func (b *bed) reports(inFlight map[string]int, idle map[string]float64) {
	b.Report(api.GatewayReport{InFlight: inFlight, Idle: idle})
	b.after(0)
}

func TestOthersGiveWayWhenTheyMayBeToldTo(t *testing.T) {
	inBed(t, func(b *bed) {
		b.tight()
		mustDone(t, b.act("coder", "start", ""))
		b.aged()
		b.systemd.did()
		mustDone(t, b.wait(b.startWith("orch", true)))
		if got := b.systemd.did("start", "stop"); !slices.Equal(got, []string{"start " + orchA, "stop " + coder}) {
			t.Errorf("it did %q", got)
		}
		b.mustState("orch", api.Ready)
		b.mustState("coder", api.Stopped)
		if got := b.tierNow("coder").Reason; got != "gave way to orch" {
			t.Errorf("coder says %q", got)
		}
		changes, err := b.Changes()
		if err != nil || !slices.ContainsFunc(changes, func(c api.Change) bool {
			return c.Kind == "evict" && c.State == "done" && c.Summary == "make room for orch"
		}) {
			t.Errorf("the changes: %+v, %v", changes, err)
		}
		b.aged()
		mustDone(t, b.wait(b.startWith("coder", true))) // and back
		if got := b.tierNow("coder").Reason; got != "" {
			t.Errorf("coder is up and says %q", got)
		}
	})
}

func TestWithoutThatLeaveARefusalSaysWhoWouldHaveToGo(t *testing.T) {
	inBed(t, func(b *bed) {
		b.tight()
		mustDone(t, b.act("coder", "start", ""))
		b.aged()
		c := b.wait(b.startWith("orch", false))
		mustKind(t, c.Err, api.KindBudget, "20GiB for tier-orch.service + 60GiB for tier-coder.service + 10GiB reserve is 90GiB, and the host has 75GiB; it fits once coder has ended")
		if c.Err == nil || c.Err.Budget == nil || !slices.Equal(c.Err.Budget.GiveWay, []string{"coder"}) || len(c.Err.Budget.Tiers) != 2 ||
			!strings.Contains(c.Err.Hint, "tierctl start orch --evict") {
			t.Errorf("as data: %+v", c.Err)
		}
		b.mustState("coder", api.Ready)
		b.mustState("orch", api.Failed)
	})
}

func TestATierOnDemandMayHaveOthersGiveWayHoweverItIsStarted(t *testing.T) {
	inBed(t, func(b *bed) {
		b.change("start = \"manual\"", "start = \"demand\"")
		b.change(`memory = "2GiB"`, `memory = "30GiB"`)
		b.change("reserve = \"10GiB\"", "reserve = \"10GiB\"\nkeep_free = \"0MiB\"")
		mustReload(b, false)
		b.tight()
		mustDone(t, b.act("coder", "start", ""))
		b.aged()
		b.systemd.by(func() { b.systemd.boot(b.systemd.units[util]) }) // systemctl start
		b.after(10 * time.Second)
		b.mustState("util", api.Ready)
		b.mustState("coder", api.Stopped)
	})
}

func TestAModeThatIsAskedForEvictsNobody(t *testing.T) {
	inBed(t, func(b *bed) {
		b.change("start = \"manual\"", "start = \"demand\"")
		mustReload(b, false)
		mustDone(t, b.act("coder", "start", ""))
		b.aged()
		b.free(9) // the mode fits by its sums, and something else has taken the memory
		if c := b.up("full"); c.State != "error" || c.Err.Kind != api.KindBudget {
			t.Errorf("%s, %v", c.State, c.Err)
		}
		b.mustState("coder", api.Ready)
		b.mustState("util", api.Failed)
	})
}

func TestABusyTierIsSparedUntilTheAskerHasWaitedLongEnough(t *testing.T) {
	inBed(t, func(b *bed) {
		b.tight()
		mustDone(t, b.act("coder", "start", ""))
		b.aged()
		defer poll(b).cancel()
		b.reports(map[string]int{"coder": 2}, nil)
		id := b.startWith("orch", true)
		b.after(30 * time.Second)
		b.mustState("coder", api.Ready)
		if got := b.tierNow("orch").Status; got != "waits for room: it would need that of coder, which is busy" {
			t.Errorf("orch says %q", got)
		}
		if got, err := b.Budget(context.Background(), ""); err != nil || len(got.Waiting) != 1 || got.Waiting[0].Tier != "orch" ||
			got.Waiting[0].Unit != "tier-orch.service" || !strings.HasPrefix(got.Waiting[0].Words, "waits for room") {
			t.Errorf("the budget has waiting %+v, %v", got.Waiting, err)
		}
		b.after(40 * time.Second)
		mustDone(t, b.wait(id))
		if got, _ := b.Budget(context.Background(), ""); len(got.Waiting) != 0 {
			t.Errorf("%+v waits", got.Waiting)
		}
		b.mustState("coder", api.Stopped)
	})
}

func TestATierThatBecomesIdleGivesWayAtOnce(t *testing.T) {
	inBed(t, func(b *bed) {
		b.tight()
		mustDone(t, b.act("coder", "start", ""))
		b.aged()
		defer poll(b).cancel()
		b.reports(map[string]int{"coder": 1}, nil)
		id := b.startWith("orch", true)
		b.after(20 * time.Second)
		b.mustState("coder", api.Ready)
		b.reports(nil, map[string]float64{"coder": 0.1})
		b.after(3 * time.Second)
		b.mustState("orch", api.Ready)
		mustDone(t, b.wait(id))
	})
}

func TestATierThatCameUpJustNowIsSparedForAWhile(t *testing.T) {
	inBed(t, func(b *bed) {
		b.change("role = \"coder\"", "role = \"coder\"\nmin_residency = \"40s\"")
		mustReload(b, false)
		b.tight()
		mustDone(t, b.act("coder", "start", ""))
		began := time.Now()
		mustDone(t, b.wait(b.startWith("orch", true)))
		if waited := time.Since(began); waited < 39*time.Second || waited > 50*time.Second {
			t.Errorf("it waited for %s", waited)
		}
	})
}

func TestAPinnedTierNeverGivesWay(t *testing.T) {
	inBed(t, func(b *bed) {
		b.change("role = \"coder\"", "role = \"coder\"\npinned = true")
		mustReload(b, false)
		b.tight()
		mustDone(t, b.act("coder", "start", ""))
		b.aged()
		mustKind(t, b.wait(b.startWith("orch", true)).Err, api.KindBudget, "coder cannot give way (pinned)")
		b.mustState("coder", api.Ready)
	})
}

func TestAStopThatFailsEndsTheWait(t *testing.T) {
	inBed(t, func(b *bed) {
		b.tight()
		mustDone(t, b.act("coder", "start", ""))
		b.aged()
		b.systemd.fail["stop "+coder] = errors.New("no")
		mustKind(t, b.wait(b.startWith("orch", true)).Err, api.KindBudget, "cannot make room: cannot stop tier-coder.service: no")
		b.mustState("coder", api.Ready)
	})
}

func TestMemoryThatComesBackLateCostsNobodyElse(t *testing.T) {
	inBed(t, func(b *bed) {
		b.tight()
		mustDone(t, b.act("util", "start", ""))
		mustDone(t, b.act("coder", "start", ""))
		b.aged()
		b.free(2) // with coder's and util's in use, and for a while after coder has ended
		id := b.startWith("orch", true)
		b.after(5 * time.Second)
		b.mustState("coder", api.Stopped)
		if got := b.tierNow("orch").Status; !strings.HasPrefix(got, "waits for memory to come back") {
			t.Errorf("orch says %q", got)
		}
		b.free(62)
		mustDone(t, b.wait(id))
		b.mustState("util", api.Ready)
	})
}

func TestAStartThatIsGivenUpLeavesTheLine(t *testing.T) {
	inBed(t, func(b *bed) {
		b.tight()
		mustDone(t, b.act("coder", "start", ""))
		id := b.startWith("orch", true) // coder came up just now
		b.after(5 * time.Second)
		if err := b.AbortChange(id); err != nil {
			t.Fatal(err)
		}
		if c := b.wait(id); c.State != "aborted" {
			t.Errorf("%s, %v", c.State, c.Err)
		}
		b.aged()
		b.mustState("coder", api.Ready)
		b.mustState("orch", api.Stopped)
	})
}

func TestTheFirstInLineKeepsTheRoomThatOthersMakeForIt(t *testing.T) {
	inBed(t, func(b *bed) {
		b.change(`memory = "2GiB"`, `memory = "50GiB"`) // util: fits once coder has gone, and so does orch, but not both
		mustReload(b, false)
		b.tight()
		mustDone(t, b.act("coder", "start", ""))
		b.aged()
		first := b.startWith("orch", true)
		b.after(0)
		second := b.startWith("util", false)
		mustDone(t, b.wait(first))
		if c := b.wait(second); c.State == "done" {
			t.Error("the second got the room that was made for the first")
		}
	})
}

func TestWhoWaitsForItsTurnKeepsTheRoomThatItFitsInto(t *testing.T) {
	inBed(t, func(b *bed) {
		b.change(`memory = "2GiB"`, `memory = "50GiB"`) // util: fits beside orch or coder, and not beside both
		mustReload(b, false)
		b.has(128)
		b.free(128)
		b.systemd.load = time.Minute
		b.begin("orch")
		b.after(time.Second)
		waits := b.begin("coder") // for its turn on the GPU
		b.after(time.Second)
		if c := b.wait(b.startWith("util", false)); c.Err == nil || c.Err.Kind != api.KindBudget {
			t.Errorf("a later one: %s, %+v", c.State, c.Err)
		}
		mustDone(t, b.wait(waits))
	})
}

func TestWhoeverAsksNextWaitsForThoseWhoGiveWayAlready(t *testing.T) {
	inBed(t, func(b *bed) {
		b.has(71)
		b.free(71) // coder and the reserve, and no more
		mustDone(t, b.act("coder", "start", ""))
		b.aged()
		asks, err := inLoop(context.Background(), b.Agent, func() ([]*asker, error) { // both are judged in one go
			b.leaves[orchA], b.leaves[util] = true, true
			return []*asker{b.enter(orchA), b.enter(util)}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range asks {
			if answer := <-x.answer; !answer.OK {
				t.Errorf("%s: %+v", x.unit, answer)
			}
		}
		b.after(time.Second)
		if got := b.kinds(); !slices.Equal(got, []string{"start done", "evict done"}) {
			t.Errorf("coder gives way once, and the changes are %q", got)
		}
	})
}

func TestTwoThatWaitDoNotWaitForEachOtherAfterARestart(t *testing.T) {
	inBed(t, func(b *bed) {
		b.systemd.slow[util] = true
		b.change("[engine.llama]", "[engine.llama]\ngpu = true")
		mustReload(b, false)
		b.begin("util")
		b.after(time.Second)
		b.begin("orch")
		b.begin("coder")
		b.after(time.Second)
		b.end()
		b.run()
		b.systemd.by(func() { // the shims ask again
			for _, name := range []string{orchA, coder} {
				b.systemd.units[name].hangup()
				b.systemd.units[name].ActiveState = "inactive"
				b.systemd.boot(b.systemd.units[name])
			}
		})
		b.after(time.Minute)
		b.mustState("orch", api.Starting)
		b.systemd.by(func() { b.systemd.halt(util) })
		b.after(time.Minute)
		b.mustState("orch", api.Ready)
		b.mustState("coder", api.Ready)
	})
}

func TestTheBudgetTellsWhoHoldsWhat(t *testing.T) {
	inBed(t, func(b *bed) {
		mustDone(t, b.act("coder", "start", ""))
		got, err := b.Budget(context.Background(), "")
		if err != nil || !got.Fits || len(got.Tiers) != 1 || got.Tiers[0].Tier != "coder" || got.Tiers[0].RAM != 60<<30 || got.Tiers[0].Phase != "ready" ||
			got.RAM.Promised != 60<<30 || *got.RAM.Size != 125<<30 || got.Reserve != 10<<30 || got.KeepFree != 8<<30 {
			t.Errorf("now: %+v, %v", got, err)
		}
		got, err = b.Budget(context.Background(), "full")
		if err != nil || !got.Fits || len(got.Tiers) != 3 || got.RAM.Promised != 82<<30 || got.Tiers[0].Phase != "planned" {
			t.Errorf("what if: %+v, %v", got, err)
		}
		b.has(80)
		if got, err = b.Budget(context.Background(), "full"); err != nil || got.Fits || !strings.Contains(got.Words, "is 92GiB, and the host has 80GiB") {
			t.Errorf("on a smaller host: %+v, %v", got, err)
		}
		if _, err = b.Budget(context.Background(), "none"); err == nil {
			t.Error("of an unknown mode")
		}
	})
}

// shimIsHere starts a unit whose shim asks nothing by itself: the test asks in its place, and ends it.
func (b *bed) shimIsHere(unit string) (end func()) {
	b.systemd.admit = func(ctx context.Context, _ string) api.AdmitAnswer { <-ctx.Done(); return api.AdmitAnswer{} }
	b.systemd.by(func() { b.systemd.boot(b.systemd.units[unit]) })
	b.after(0)
	return func() { b.systemd.by(func() { b.systemd.crash(unit) }) }
}

func TestWhoWaitsHearsWhyAgainAndAgain(t *testing.T) {
	inBed(t, func(b *bed) {
		b.systemd.slow[coder] = true
		b.begin("coder")
		b.after(time.Second)
		defer b.shimIsHere(orchA)()
		var heard []string
		ctx, giveUp := context.WithTimeout(context.Background(), 12*time.Second)
		defer giveUp()
		answer := b.Admit(ctx, orchA, "start", func(why string) { heard = append(heard, why) })
		if answer.OK || answer.Class != api.ClassRefused {
			t.Errorf("got %+v", answer)
		}
		if len(heard) < 3 || len(heard) > 4 || !strings.HasPrefix(heard[0], "waits for coder to load") {
			t.Errorf("in 12 s it heard %q", heard)
		}
		b.after(time.Second)
		if got := b.tierNow("orch").Status; got != "" {
			t.Errorf("it left, and orch says %q", got)
		}
	})
}

func TestAWaitHasAnEnd(t *testing.T) {
	inBed(t, func(b *bed) {
		b.systemd.slow[coder] = true
		b.begin("coder")
		b.after(time.Second)
		began := time.Now()
		c := b.wait(b.startWith("orch", true)) // for its turn on the GPU
		mustKind(t, c.Err, api.KindBudget, "it waited for 45m0s: waits for coder to load")
		if took := time.Since(began); took < linePatience || took > linePatience+time.Minute {
			t.Errorf("it took %s", took)
		}
	})
}

func TestTierdsEndAnswersWhoWaits(t *testing.T) {
	inBed(t, func(b *bed) {
		b.systemd.slow[coder] = true
		b.begin("coder")
		b.after(time.Second)
		defer b.shimIsHere(orchA)()
		answer := admitLater(b, orchA, "start")
		b.after(time.Second)
		mustWait(t, answer)
		b.end()
		if a := <-answer; a.OK || !strings.Contains(a.Message, "tierd is ending") {
			t.Errorf("got %+v", a)
		}
		b.run()
	})
}

func TestARestartOfTierdLosesNobodysPlace(t *testing.T) {
	inBed(t, func(b *bed) {
		b.tight()
		mustDone(t, b.act("coder", "start", ""))
		b.end()
		b.run()
		b.after(time.Second)
		b.systemd.admit = func(ctx context.Context, unit string) api.AdmitAnswer { return b.Admit(ctx, unit, "start", nil) }
		mustError(t, b.wait(b.startWith("orch", false)), api.KindBudget, "it fits once coder has ended")
		b.mustState("coder", api.Ready)
	})
}

func TestABudgetOfAModeSaysWhatStaysOnDemand(t *testing.T) {
	inBed(t, func(b *bed) {
		b.change("start = \"manual\"", "start = \"demand\"")
		mustReload(b, false)
		b.has(91)
		got, err := b.Budget(context.Background(), "full")
		if err != nil || !got.Fits || len(got.Tiers) != 2 || !strings.Contains(got.Words, "util stays on demand: it needs 2GiB and 1GiB is free") {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

func TestOnlyAStartEvicts(t *testing.T) {
	inBed(t, func(b *bed) {
		for _, action := range []string{"stop", "restart", "switch"} {
			_, err := b.Act(context.Background(), "orch", api.TierRequest{Action: action, Variant: "b", Evict: true})
			mustKind(t, err, api.KindBadRequest, "only a start can have others give way")
		}
	})
}

// A tier with room for it may be told to evict and evicts nobody; one that asks twice is one change.
func TestLeaveToEvictIsNotUsedWithoutNeed(t *testing.T) {
	inBed(t, func(b *bed) {
		mustDone(t, b.act("coder", "start", ""))
		b.systemd.did()
		first, second := b.startWith("orch", true), b.startWith("orch", true)
		if first != second {
			t.Errorf("two changes, %s and %s, for one wish", first, second)
		}
		mustDone(t, b.wait(first))
		if got := b.systemd.did("stop"); len(got) > 0 {
			t.Errorf("it did %q", got)
		}
	})
}
