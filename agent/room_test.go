package agent

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/budget"
	"github.com/tierd/tierd/rocm"
	"github.com/tierd/tierd/rocm/rocmtest"
	"github.com/tierd/tierd/units"
)

func TestWhatCannotStartTakesNoRoom(t *testing.T) {
	const memory = 100 * gib
	orch := units.Unit{Name: "tier-orch.service", Tier: "orch", Charge: units.Charge{Written: memory}}
	ghost := orch
	ghost.Name, ghost.Tier, ghost.Blocked = "tier-ghost.service", "ghost", "its model is missing"
	ram := units.Bytes(128 * gib)
	if left, refused := leaveOut("full", []units.Unit{ghost, orch}, budget.Host{RAM: &ram}); len(left) > 0 || refused != nil {
		t.Errorf("left %q, refused %v", left, refused)
	}
	ghost.Blocked = ""
	_, refused := leaveOut("full", []units.Unit{ghost, orch}, budget.Host{RAM: &ram})
	mustKind(t, refused, api.KindBudget, "mode full does not fit: 100GiB for tier-ghost.service + 100GiB for tier-orch.service + 0 reserve is 200GiB, and the host has 128GiB")
	if !slices.Equal(refused.Budget.GiveWay, []string{"orch"}) {
		t.Errorf("to give way: %q", refused.Budget.GiveWay)
	}
}

func TestUpLeavesATierOnDemandThatDoesNotFit(t *testing.T) {
	inBed(t, func(b *bed) {
		b.change("start = \"manual\"", "start = \"demand\"")
		mustReload(b, false)
		b.has(91) // 20 + 60 and 10 in reserve: 1 is free, and util needs 2
		p, err := b.PlanMode(context.Background(), "full")
		if err != nil || p.Refusal != "" || !slices.Contains(p.Warnings, "util stays on demand: it needs 2GiB and 1GiB is free; it needs the room of coder") {
			t.Errorf("the plan: %q, %q, %v", p.Warnings, p.Refusal, err)
		}
		for _, u := range p.Units {
			if u.Unit == util && u.Action != "none" {
				t.Errorf("the plan is to %s %s", u.Action, util)
			}
		}
		c := b.up("full")
		mustDone(t, c)
		i := slices.IndexFunc(c.Tasks, func(t api.Task) bool { return t.Tier == "util" })
		if i < 0 || c.Tasks[i].State != "skipped" || c.Tasks[i].Err != "util stays on demand: it needs 2GiB and 1GiB is free; it needs the room of coder" {
			t.Errorf("the tasks: %+v", c.Tasks)
		}
		b.mustState("coder", api.Ready)
		b.mustState("util", api.Stopped)
	})
}

func TestUpStopsATierOnDemandWhoseRoomIsNeeded(t *testing.T) {
	inBed(t, func(b *bed) {
		b.change("start = \"manual\"", "start = \"demand\"")
		mustReload(b, false)
		mustDone(t, b.act("util", "start", ""))
		b.has(91)
		if p, err := b.PlanMode(context.Background(), "full"); err != nil || !slices.ContainsFunc(p.Units, func(u api.UnitText) bool { return u.Unit == util && u.Action == "stop" }) {
			t.Errorf("the plan: %+v, %v", p.Units, err)
		}
		b.systemd.did()
		mustDone(t, b.up("full"))
		if got := b.systemd.did("start", "stop"); len(got) != 3 || got[0] != "stop "+util {
			t.Errorf("it did %q", got)
		}
	})
}

func TestAModeThatDoesNotFitIsRefusedBeforeAnythingIsTouched(t *testing.T) {
	inBed(t, func(b *bed) {
		mustDone(t, b.up("small"))
		b.systemd.did()
		b.has(91)
		_, err := b.Stack(context.Background(), api.StackRequest{Action: "up", Mode: "full"})
		mustKind(t, err, api.KindBudget, "mode full does not fit: 20GiB for tier-orch.service + 60GiB for tier-coder.service + 2GiB for tier-util.service + 10GiB reserve is 92GiB, and the host has 91GiB")
		if got := b.systemd.did("start", "stop"); len(got) > 0 {
			t.Errorf("it did %q", got)
		}
		changes, err := b.Changes()
		if err != nil || len(changes) != 1 {
			t.Errorf("a refusal is no change: %+v, %v", changes, err)
		}
		b.mustState("orch", api.Ready)
	})
}

func TestABootStartsWhatItCan(t *testing.T) {
	inBed(t, func(b *bed) {
		b.has(60)
		id, err := b.Stack(context.Background(), api.StackRequest{Action: "up", Boot: true})
		if err != nil {
			t.Fatal(err)
		}
		if c := b.wait(id); c.State != "error" || c.Err.Kind != api.KindBudget || !strings.Contains(c.Err.Message, coder) {
			t.Errorf("the boot: %s, %v", c.State, c.Err)
		}
		b.mustState("orch", api.Ready)
	})
}

// theSeed is the plan of the stack that tierd replaces: what its four tiers take by their models' files.
func theSeed() []units.Unit {
	tier := func(name, start string, priority int, gpu bool, weights, kv, overhead float64) units.Unit {
		g := func(n float64) units.Bytes { return units.Bytes(n * float64(gib)) }
		u := units.Unit{Name: "tier-" + name + ".service", Tier: name, Start: start, Priority: priority, GPU: gpu,
			Charge: units.Charge{Weights: g(weights), KV: g(kv), Overhead: g(overhead)}}
		if gpu {
			u.Charge.Device = u.Charge.Estimate()
		}
		u.Memory = u.Charge.Total()
		return u
	}
	return []units.Unit{
		tier("orch", units.StartBoot, 90, true, 27.5, 12, 3),
		tier("coder", units.StartBoot, 80, true, 56.9, 4.5, 3),
		tier("utility", units.StartBoot, 60, false, 1.8, 0.3, 0.4),
		tier("reviewer", units.StartDemand, 40, false, 39.6, 10, 0.6),
	}
}

// recordedHost is one of the recorded hosts as admission sums it up, with a reserve of 12 GiB.
func recordedHost(t *testing.T, tree string) budget.Host {
	t.Helper()
	s := rocm.Open(rocmtest.Unpack(t, tree)).Snapshot(context.Background())
	return budget.HostOf(s, units.HostConfig{Reserve: 12 * gib}, "")
}

func TestTheSeedsPlanOnARecordedHost(t *testing.T) {
	h := recordedHost(t, "gtt120-idle")
	left, refused := leaveOut("full", theSeed(), h)
	if refused != nil || len(left) != 1 || left["tier-reviewer.service"] != "reviewer stays on demand: it needs 50.2GiB and 3.52GiB is free; it needs the room of coder" {
		t.Errorf("left %q, refused %v", left, refused)
	}
	var held []budget.Claim
	for _, u := range theSeed()[:3] { // one after the other, each when the one before is ready, as admission sees it
		c := budget.ClaimOf(u, h.Pool())
		if v := budget.Judge(h, budget.Ask{Unit: u.Name, Tier: u.Tier, Need: c.Need}, held); v.Answer != budget.Yes {
			t.Errorf("%s: %s: %s", u.Tier, v.Answer, v.Reason)
		}
		free := *h.Free - c.Taken
		h.Free = &free
		held = append(held, c)
	}
}

func TestTheGPUsLimitDecidesTheSeedsPlan(t *testing.T) {
	for _, c := range []struct {
		name  string
		limit units.Bytes
		want  string
	}{
		{"120 GiB", 120 * gib, ""},
		{"110 GiB still hold both models on the GPU", 110 * gib, ""},
		{"106 GiB do not", 106 * gib, "mode gpu does not fit: on the GPU 42.5GiB for tier-orch.service + 64.4GiB for tier-coder.service is 106.9GiB, and ROCm can use 106GiB of GTT there"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := recordedHost(t, "gtt120-idle")
			h.GPU.Size = c.limit
			_, refused := leaveOut("gpu", theSeed()[:2], h)
			if c.want == "" {
				if refused != nil {
					t.Errorf("refused: %v", refused)
				}
				return
			}
			mustKind(t, refused, api.KindBudget, c.want)
		})
	}
	_, refused := leaveOut("gpu", theSeed()[:2], recordedHost(t, "gttsize-only"))
	mustKind(t, refused, api.KindBudget, "ROCm can use 62.46GiB of GTT there")
	_, refused = leaveOut("gpu", theSeed()[:2], recordedHost(t, "carve96-stale-ttm"))
	mustKind(t, refused, api.KindBudget, "ttm.pages_limit lets the GPU map 105.47GiB, and this host has 30.99GiB of RAM")
}
