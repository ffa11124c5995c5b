package agent

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

func summaries(jobs []job) []string {
	var list []string
	for _, j := range jobs {
		list = append(list, j.summary())
	}
	return list
}

func TestPlanUpOrder(t *testing.T) {
	gpu := func(tier string, priority int) units.Unit {
		return units.Unit{Name: tier + ".service", Tier: tier, GPU: true, Priority: priority}
	}
	cpu := units.Unit{Name: "util.service", Tier: "util", Priority: 10}
	jobs := planUp([]units.Unit{cpu, gpu("low", 5), gpu("high", 90)}, nil, []runningUnit{{"old", "old.service", api.Ready}, {"high", "high-b.service", api.Ready}})
	want := []string{"stop old.service", "stop high-b.service", "start high.service", "start util.service", "start low.service"}
	if got := summaries(jobs); !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	if !slices.Equal(jobs[2].needs, []int{1}) {
		t.Errorf("a variant needs the stop of the other one: %v", jobs[2].needs)
	}
	if !slices.Contains(jobs[4].after, 2) {
		t.Errorf("tiers on the GPU load one after the other: %v", jobs[4].after)
	}
	if slices.Contains(jobs[3].after, 2) {
		t.Errorf("a tier on the CPU loads beside them: %v", jobs[3].after)
	}
}

func TestPlanUpStopsFirstWhatIsOnItsWayOut(t *testing.T) {
	u := units.Unit{Name: "coder.service", Tier: "coder"}
	for state, want := range map[api.State][]string{
		api.Ready:    nil,
		api.Starting: {"start coder.service"},
		api.Draining: {"stop coder.service", "start coder.service"},
		api.Stopping: {"stop coder.service", "start coder.service"},
	} {
		if got := summaries(planUp([]units.Unit{u}, nil, []runningUnit{{"coder", "coder.service", state}})); !slices.Equal(got, want) {
			t.Errorf("from %s: %q, want %q", state, got, want)
		}
	}
}

func TestPlanSwitchKeepsAWayBackOnlyToWhatServed(t *testing.T) {
	want := units.Unit{Name: "orch-b.service", Tier: "orch"}
	for state, rescues := range map[api.State]int{api.Ready: 1, api.Starting: 0} {
		jobs := planSwitch(want, []runningUnit{{"orch", "orch.service", state}, {"coder", "coder.service", api.Ready}})
		n := 0
		for _, j := range jobs {
			if j.rescue != nil {
				n++
			}
		}
		if n != rescues || jobs[0].summary() != "stop orch.service" || jobs[1].summary() != "start orch-b.service" {
			t.Errorf("from %s: %q with %d ways back, want %d", state, summaries(jobs), n, rescues)
		}
	}
}

// TestPlanUpProperties runs any plan in any order that it allows, and watches what is there at the same time.
func TestPlanUpProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want []units.Unit
		var now []runningUnit
		present := map[string]string{} // unit to tier
		onGPU := map[string]bool{}
		for i := range rapid.IntRange(0, 6).Draw(t, "tiers") {
			tier := fmt.Sprint("t", i)
			a := units.Unit{Name: tier + ".service", Tier: tier, GPU: rapid.Bool().Draw(t, "gpu"), Priority: rapid.IntRange(0, 100).Draw(t, "priority")}
			onGPU[a.Name] = a.GPU
			if rapid.Bool().Draw(t, "wanted") {
				want = append(want, a)
			}
			state := rapid.SampledFrom([]api.State{api.Ready, api.Starting, api.Draining, api.Stopping}).Draw(t, "state")
			switch rapid.IntRange(0, 2).Draw(t, "running") {
			case 1:
				now = append(now, runningUnit{tier, a.Name, state})
				present[a.Name] = tier
			case 2:
				now = append(now, runningUnit{tier, tier + "-b.service", state})
				present[tier+"-b.service"] = tier
			}
		}
		jobs := planUp(want, nil, now)
		const todo, doing, done = 0, 1, 2
		states := make([]int, len(jobs))
		for {
			var can []int
			for i, j := range jobs {
				blocked := slices.ContainsFunc(slices.Concat(j.needs, j.after), func(k int) bool { return states[k] != done })
				if states[i] == doing || states[i] == todo && !blocked {
					can = append(can, i)
				}
			}
			if len(can) == 0 {
				break
			}
			i := rapid.SampledFrom(can).Draw(t, "job")
			j := jobs[i]
			states[i]++
			switch {
			case j.op == opStop && states[i] == done:
				delete(present, j.unit)
			case j.op == opStart && states[i] == doing:
				for k, other := range jobs {
					if k != i && states[k] == doing && other.op == opStart && onGPU[other.unit] && onGPU[j.unit] {
						t.Fatalf("%s and %s load on the GPU at the same time", j.unit, other.unit)
					}
					if other.op == opStop && states[k] != done {
						t.Fatalf("%s before the memory of %s is back", j.summary(), other.unit)
					}
				}
				for unit, tier := range present {
					if tier == j.tier && unit != j.unit {
						t.Fatalf("%s while %s is there", j.summary(), unit)
					}
				}
				present[j.unit] = j.tier
			}
		}
		if slices.ContainsFunc(states, func(s int) bool { return s != done }) {
			t.Fatalf("it does not end: %q %v", summaries(jobs), states)
		}
		if len(present) != len(want) {
			t.Fatalf("it ends with %v, want %d units", present, len(want))
		}
	})
}
