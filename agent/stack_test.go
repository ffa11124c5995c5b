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
	jobs := planUp([]units.Unit{cpu, gpu("low", 5), gpu("high", 90)}, nil, []runningUnit{{"old", "old.service", api.Ready}, {"high", "high-b.service", api.Ready}}, nil)
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
		if got := summaries(planUp([]units.Unit{u}, nil, []runningUnit{{"coder", "coder.service", state}}, nil)); !slices.Equal(got, want) {
			t.Errorf("from %s: %q, want %q", state, got, want)
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
		beside := map[string]string{}
		for i := range rapid.IntRange(0, 6).Draw(t, "tiers") {
			tier := fmt.Sprint("t", i)
			a := units.Unit{Name: tier + ".service", Tier: tier, GPU: rapid.Bool().Draw(t, "gpu"), Priority: rapid.IntRange(0, 100).Draw(t, "priority")}
			onGPU[a.Name] = a.GPU
			wanted := rapid.Bool().Draw(t, "wanted")
			if wanted {
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
				if wanted && state == api.Ready && rapid.Bool().Draw(t, "beside") {
					beside[a.Name] = tier + "-b.service"
				}
			}
		}
		jobs := planUp(want, nil, now, beside)
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
			case j.conditional(): // everything goes well
			case j.op == opStop && states[i] == done:
				delete(present, j.unit)
			case j.op == opStart && states[i] == doing:
				for k, other := range jobs {
					if k != i && states[k] == doing && other.op == opStart && !other.conditional() && onGPU[other.unit] && onGPU[j.unit] {
						t.Fatalf("%s and %s load on the GPU at the same time", j.unit, other.unit)
					}
					if other.op == opStop && !other.firm && states[k] != done {
						t.Fatalf("%s before the memory of %s is back", j.summary(), other.unit)
					}
				}
				for unit, tier := range present {
					if tier == j.tier && unit != j.unit && unit != j.beside {
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
