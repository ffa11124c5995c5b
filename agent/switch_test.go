package agent

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/budget"
	"github.com/tierd/tierd/units"
)

func TestPlanSwitchKeepsAWayBackOnlyToWhatServed(t *testing.T) {
	want := units.Unit{Name: "orch-b.service", Tier: "orch"}
	for state, rescues := range map[api.State]int{api.Ready: 1, api.Starting: 0} {
		jobs := planSwitch(want, []runningUnit{{"orch", "orch.service", state}, {"coder", "coder.service", api.Ready}}, false)
		n := 0
		for _, j := range jobs {
			if len(j.rescue) > 0 {
				n++
			}
		}
		if n != rescues || jobs[0].summary() != "start orch-b.service in place of orch.service" {
			t.Errorf("from %s: %q with %d ways back, want %d", state, summaries(jobs), n, rescues)
		}
	}
}

func TestPlanSwitchSideBySide(t *testing.T) {
	want := units.Unit{Name: "orch-b.service", Tier: "orch"}
	for rule, c := range map[string]struct {
		running []runningUnit
		want    []string
	}{
		"the new one comes up, and then the old one goes": {
			[]runningUnit{{"orch", "orch.service", api.Ready}, {"coder", "coder.service", api.Ready}},
			[]string{"start orch-b.service beside orch.service", "stop orch.service", "start orch.service", "start orch-b.service in place of orch.service"},
		},
		"what is on its way out is out first": {
			[]runningUnit{{"orch", "orch-b.service", api.Stopping}, {"orch", "orch.service", api.Ready}},
			[]string{"stop orch-b.service", "start orch-b.service beside orch.service", "stop orch.service", "start orch.service", "start orch-b.service in place of orch.service"},
		},
		"not beside one that only loads": {
			[]runningUnit{{"orch", "orch.service", api.Starting}}, []string{"start orch-b.service in place of orch.service"},
		},
		"not as the third": {
			[]runningUnit{{"orch", "orch-c.service", api.Stopping}, {"orch", "orch.service", api.Ready}},
			[]string{"start orch-b.service in place of orch-c.service and orch.service", "start orch.service"},
		},
		"nothing is there": {nil, []string{"start orch-b.service"}},
	} {
		if got := summaries(planSwitch(want, c.running, true)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", rule, got, c.want)
		}
	}
}

// switches begins a switch of the orchestrator; drain: in any case one after the other.
func (b *bed) switches(variant string, drain bool) string {
	b.t.Helper()
	id, err := b.Act(context.Background(), "orch", api.TierRequest{Action: "switch", Variant: variant, Drain: drain})
	if err != nil {
		b.t.Fatal(err)
	}
	return id
}

// follow is a gateway that notes which units the tables name for the orchestrator, and with which state; a unit that leaves
// is in brackets. It reports a leaving unit as drained at once, unless it is told to keep it busy.
type follow struct {
	cancel func()
	mu     sync.Mutex
	seen   []string
	busy   bool
}

func follows(b *bed, busy bool) *follow {
	ctx, cancel := context.WithCancel(context.Background())
	f, agent := &follow{cancel: cancel, busy: busy}, b.Agent
	b.systemd.by(func() {
		b.systemd.drain = func(unit string) { agent.Admit(context.Background(), unit, "stop", nil) }
	})
	go func() {
		var seq uint64
		for {
			t, err := agent.Table(ctx, seq)
			if err != nil || ctx.Err() != nil {
				return
			}
			seq = t.Seq
			agent.Report(f.note(t))
		}
	}()
	synctest.Wait()
	return f
}

func (f *follow) note(t api.Table) (report api.GatewayReport) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var words []string
	for _, r := range append(slices.Clone(t.Routes), t.Leaving...) {
		leaves := slices.ContainsFunc(t.Leaving, func(l api.Route) bool { return l.Unit == r.Unit })
		switch {
		case leaves:
			words = append(words, "("+r.Variant+" "+string(r.State)+")")
		case r.Tier == "orch":
			words = append(words, r.Variant+" "+string(r.State))
		}
		if r.State == api.Draining && f.busy {
			report.Leaving = map[string]int{r.Unit: 2}
		} else if r.State == api.Draining {
			report.Drained = append(report.Drained, r.Unit)
		}
	}
	if text := strings.Join(words, " "); len(f.seen) == 0 || f.seen[len(f.seen)-1] != text {
		f.seen = append(f.seen, text)
	}
	return report
}

// took returns the words noted so far and forgets them.
func (f *follow) took() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	text := strings.Join(f.seen, ", ")
	f.seen = f.seen[max(0, len(f.seen)-1):]
	return text
}

func TestASwitchSideBySideMovesTheRouteInOneStep(t *testing.T) {
	inBed(t, func(b *bed) {
		f := follows(b, false)
		defer f.cancel()
		mustDone(t, b.act("orch", "start", ""))
		f.took()
		mustDone(t, b.act("orch", "switch", "b"))
		b.mustServe("b", api.Ready)
		if got := f.took(); got != "a ready, b ready (a draining), b ready (a stopping), b ready" {
			t.Errorf("the tables: %s", got)
		}
		mustDone(t, b.act("orch", "switch", "a"))
		b.mustServe("a", api.Ready)
		if got := f.took(); got != "b ready, a ready (b draining), a ready (b stopping), a ready" {
			t.Errorf("the tables on the way back: %s", got)
		}
	})
}

func TestASwitchByDrainNeverShowsATierThatNobodyStarts(t *testing.T) {
	inBed(t, func(b *bed) {
		f := follows(b, false)
		defer f.cancel()
		mustDone(t, b.act("orch", "start", ""))
		f.took()
		mustDone(t, b.wait(b.switches("b", true)))
		b.mustServe("b", api.Ready)
		if got := f.took(); got != "a ready, a draining, a stopping, b starting, b ready" {
			t.Errorf("the tables: %s", got)
		}
	})
}

func TestAVariantThatDoesNotComeUpBesideLeavesTheOtherAlone(t *testing.T) {
	for _, again := range []bool{false, true} { // true: systemd would start it again, and end the other one for that
		inBed(t, func(b *bed) {
			mustDone(t, b.act("orch", "start", ""))
			pid := b.tierNow("orch").MainPID
			b.systemd.ends[orchB], b.systemd.again[orchB] = 70, again
			c := b.act("orch", "switch", "b")
			if c.State != "error" || c.Err.Message != orchB+" did not come up: the engine ended with 70; "+orchA+" serves on" || c.Err.Class != api.ClassEngineDied {
				t.Errorf("the switch: %s, %+v", c.State, c.Err)
			}
			b.after(time.Minute)
			b.mustServe("a", api.Ready)
			if tier := b.tierNow("orch"); tier.MainPID != pid {
				t.Errorf("it is process %d, was %d", tier.MainPID, pid)
			}
			if got := b.systemd.state(orchB); got == "active" || got == "activating" {
				t.Errorf("%s is %s", orchB, got)
			}
		})
	}
}

func TestAnAbortOfASwitchBeside(t *testing.T) {
	t.Run("while the new one loads, ends that one", func(t *testing.T) {
		inBed(t, func(b *bed) {
			mustDone(t, b.act("orch", "start", ""))
			pid := b.tierNow("orch").MainPID
			b.systemd.slow[orchB] = true
			id := b.switches("b", false)
			b.after(time.Minute)
			if err := b.AbortChange(id); err != nil {
				t.Fatal(err)
			}
			c := b.wait(id)
			if c.State != "aborted" || !strings.HasSuffix(c.Err.Message, orchA+" serves on") {
				t.Errorf("the switch: %s, %+v", c.State, c.Err)
			}
			b.mustServe("a", api.Ready)
			if got := b.systemd.state(orchB); got != "inactive" || b.tierNow("orch").MainPID != pid {
				t.Errorf("%s is %s", orchB, got)
			}
		})
	})
	t.Run("comes too late once it is ready", func(t *testing.T) {
		inBed(t, func(b *bed) {
			f := follows(b, true)
			defer f.cancel()
			mustDone(t, b.act("orch", "start", ""))
			id := b.switches("b", false)
			b.after(5 * time.Second)
			if c, _ := b.Change(id); c.Tasks[1].Status != "waits for 2 requests on "+orchA {
				t.Errorf("it waits: %+v", c.Tasks)
			}
			if err := b.AbortChange(id); err != nil {
				t.Fatal(err)
			}
			mustDone(t, b.wait(id))
			b.mustServe("b", api.Ready)
		})
	})
}

func TestThereIsNoSwitchBesideWithoutRoom(t *testing.T) {
	inBed(t, func(b *bed) {
		b.has(45) // 20 for one and 10 in reserve
		mustDone(t, b.act("orch", "start", ""))
		mustDone(t, b.act("orch", "switch", "b"))
		if got := b.systemd.did("start", "start-beside", "stop"); !slices.Equal(got, []string{"start " + orchA, "start " + orchB}) {
			t.Errorf("it did %q", got)
		}
		b.mustServe("b", api.Ready)
	})
}

func TestARoomThatIsGoneWhenTheNewOneAsksMakesItADrain(t *testing.T) {
	inBed(t, func(b *bed) {
		mustDone(t, b.act("orch", "start", ""))
		admit := b.systemd.admit
		b.shims(func(ctx context.Context, unit string) api.AdmitAnswer {
			b.has(45)
			return admit(ctx, unit)
		})
		b.systemd.did()
		c := b.act("orch", "switch", "b")
		mustDone(t, c)
		if got := b.systemd.did("start", "start-beside", "stop"); !slices.Equal(got, []string{"start-beside " + orchB, "start " + orchB}) {
			t.Errorf("it did %q", got)
		}
		if c.Tasks[0].State != "skipped" || !strings.Contains(c.Tasks[0].Err, "there is no room beside what is up: ") {
			t.Errorf("the tasks: %+v", c.Tasks)
		}
		b.mustServe("b", api.Ready)
	})
}

func TestASwitchToWhatCannotFitEndsNothing(t *testing.T) {
	inBed(t, func(b *bed) {
		b.change(`[tier.coder]`, "[tier.orch.variant.huge]\nengine = \"llama\"\nmodel = \"/m/orch.gguf\"\ncontext = \"4K\"\nmemory = \"120GiB\"\n[tier.coder]")
		mustReload(b, false)
		mustDone(t, b.act("orch", "start", ""))
		_, err := b.Act(context.Background(), "orch", api.TierRequest{Action: "switch", Variant: "huge"})
		mustKind(t, err, api.KindBudget, "not enough memory for tier-orch-huge.service in place of what serves now: 120GiB for tier-orch-huge.service + 10GiB reserve is 130GiB, and the host has 125GiB")
		b.mustServe("a", api.Ready)
	})
}

func TestAStopEndsBothVariantsOfASwitch(t *testing.T) {
	inBed(t, func(b *bed) {
		mustDone(t, b.act("orch", "start", ""))
		b.systemd.slow[orchB] = true
		id := b.switches("b", false)
		b.after(time.Second)
		mustDone(t, b.act("orch", "stop", ""))
		if c := b.wait(id); c.State != "error" || c.Err.Kind != api.KindAborted {
			t.Errorf("the switch: %s, %v", c.State, c.Err)
		}
		b.after(time.Minute)
		b.mustState("orch", api.Stopped)
	})
}

// What is free before the tiers outside a mode have ended says nothing of what comes up after them.
func TestAModePlansItsSwitchesByWhatItLeavesUp(t *testing.T) {
	inBed(t, func(b *bed) {
		mustDone(t, b.act("orch", "start", "a"))
		mustDone(t, b.act("coder", "start", ""))
		beside, err := inLoop(context.Background(), b.Agent, func() (map[string]string, error) {
			want, _, err := b.members(api.StackRequest{Mode: "small"})
			ram, free := 128*gib, gib
			return b.besides(want, nil, b.running(), budget.Host{RAM: &ram, Free: &free, Reserve: 10 * gib}), err
		})
		if err != nil || len(beside) != 1 || beside[orchB] != orchA {
			t.Errorf("got %v, %v", beside, err)
		}
	})
}
