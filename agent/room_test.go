package agent

import (
	"context"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/budget"
	"github.com/tierd/tierd/rocm"
	"github.com/tierd/tierd/rocm/rocmtest"
	"github.com/tierd/tierd/units"
)

func sizeOf(gibs units.Bytes) *units.Bytes { n := gibs * gib; return &n }

// a unit of a tier by that name, with what leaveOut looks at.
func member(tier string, start string, priority int, memory units.Bytes) units.Unit {
	return units.Unit{Name: "tier-" + tier + ".service", Tier: tier, Start: start, Priority: priority, Memory: memory,
		Charge: units.Charge{Written: memory}}
}

func TestWhatAModeLeavesOut(t *testing.T) {
	const boot, manual, demand = units.StartBoot, units.StartManual, units.StartDemand
	blocked := member("ghost", boot, 90, 500*gib)
	blocked.Blocked = "its model is missing"
	for _, c := range []struct {
		rule    string
		want    []units.Unit
		left    map[string]string
		refused string
	}{
		{"what fits stays whole", []units.Unit{member("orch", boot, 90, 40*gib), member("review", demand, 20, 60*gib)}, nil, ""},
		{"a tier on demand that finds no room stays on demand",
			[]units.Unit{member("review", demand, 20, 50*gib), member("orch", boot, 90, 40*gib), member("coder", manual, 50, 45*gib)},
			map[string]string{"tier-review.service": "review stays on demand: it needs 50GiB and 31GiB is free; it needs the room of coder"}, ""},
		{"of two on demand the one with the higher priority gets the room",
			[]units.Unit{member("review", demand, 20, 60*gib), member("plan", demand, 30, 70*gib)},
			map[string]string{"tier-review.service": "review stays on demand: it needs 60GiB and 46GiB is free; it needs the room of plan"}, ""},
		{"a small one may fit where a large one did not",
			[]units.Unit{member("plan", demand, 30, 170*gib), member("review", demand, 20, 60*gib)},
			map[string]string{"tier-plan.service": "plan stays on demand: it needs 170GiB and 116GiB is free"}, ""},
		{"tiers that have to be there refuse the mode with the sum, the highest priority first",
			[]units.Unit{member("coder", manual, 50, 80*gib), member("orch", boot, 90, 60*gib), member("review", demand, 99, 1*gib)}, nil,
			"mode full does not fit: 60GiB for tier-orch.service + 80GiB for tier-coder.service + 12GiB reserve is 152GiB, and the host has 128GiB"},
		{"what cannot start takes no room", []units.Unit{blocked, member("orch", boot, 90, 100*gib)}, nil, ""},
		{"a remote tier needs none", []units.Unit{member("orch", boot, 90, 116*gib), member("cloud", demand, 1, 0)}, nil, ""},
		{"exactly full is full", []units.Unit{member("orch", boot, 90, 100*gib), member("review", demand, 1, 16*gib)}, nil, ""},
	} {
		t.Run(c.rule, func(t *testing.T) {
			left, refused := leaveOut("full", c.want, budget.Host{RAM: sizeOf(128), Free: sizeOf(1), Reserve: 12 * gib})
			if c.refused != "" {
				mustKind(t, refused, api.KindBudget, c.refused)
				return
			}
			if refused != nil || len(left) != len(c.left) {
				t.Fatalf("left %q, refused %v", left, refused)
			}
			for unit, why := range c.left {
				if left[unit] != why {
					t.Errorf("%s: %q, want %q", unit, left[unit], why)
				}
			}
		})
	}
	if left, refused := leaveOut("full", []units.Unit{member("orch", boot, 1, 999*gib)}, budget.Host{Reserve: gib}); len(left) > 0 || refused != nil {
		t.Errorf("a host that does not say how large it is: %v, %v", left, refused)
	}
}

func TestWhatAModeStartsFitsTheHost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := units.Bytes(rapid.IntRange(1, 200).Draw(t, "total")) * gib
		reserve := units.Bytes(rapid.IntRange(0, 20).Draw(t, "reserve")) * gib
		starts := []string{units.StartBoot, units.StartManual, units.StartDemand}
		var want []units.Unit
		for i := range rapid.IntRange(0, 8).Draw(t, "tiers") {
			want = append(want, member(string(rune('a'+i)), rapid.SampledFrom(starts).Draw(t, "start"),
				rapid.IntRange(0, 3).Draw(t, "priority"), units.Bytes(rapid.IntRange(0, 80).Draw(t, "memory"))*gib))
		}
		left, refused := leaveOut("m", want, budget.Host{RAM: &total, Reserve: reserve})
		taken, must := reserve, reserve
		for _, u := range want {
			if u.Start != units.StartDemand {
				must += u.Memory
				if left[u.Name] != "" {
					t.Fatalf("%s does not start on demand and is left out", u.Name)
				}
			}
			if left[u.Name] == "" {
				taken += u.Memory
			}
		}
		switch {
		case refused != nil:
			if must <= total {
				t.Fatalf("%s of %s are refused", must, total)
			}
		case taken > total && taken > reserve:
			t.Fatalf("%s of %s would be taken", taken, total)
		}
		for _, u := range want { // nothing that is left out would have fitted beside what was chosen
			if refused == nil && left[u.Name] != "" && taken+u.Memory <= total {
				t.Fatalf("%s is left out although %s of %s are taken", u.Name, taken, total)
			}
		}
	})
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
	return budget.Host{RAM: inBytes(s.Memory.MemTotal), Free: inBytes(s.Memory.Free()), Reserve: 12 * gib, KeepFree: 8 * gib, GPU: budget.GPUOf(s, "")}
}

func TestTheSeedsPlanOnARecordedHost(t *testing.T) {
	h := recordedHost(t, "gtt120-idle")
	left, refused := leaveOut("full", theSeed(), h)
	if refused != nil || len(left) != 1 || left["tier-reviewer.service"] != "reviewer stays on demand: it needs 50.2GiB and 3.52GiB is free; it needs the room of coder" {
		t.Errorf("left %q, refused %v", left, refused)
	}
	var held []budget.Claim
	for _, u := range theSeed()[:3] { // one after the other, each when the one before is ready, as admission sees it
		c := claimOf(u, h.Pool())
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
