package agent

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/budget"
	"github.com/tierd/tierd/units"
)

// op is what a task does to a unit.
type op string

const (
	opStart op = "start"
	opStop  op = "stop"
)

// job is one planned step of a change. The numbers are indexes into the same list.
type job struct {
	op     op
	tier   string
	unit   string
	needs  []int  // must have ended well
	after  []int  // must have ended, well or not
	rescue *int   // runs only when that one failed
	left   string // why there is nothing to do after all, one sentence
	evict  bool   // a start: others may give way for it, whatever its tier's `start` says
	spare  bool   // a start: nobody gives way for it
}

// summary is the job in words.
func (j job) summary() string { return string(j.op) + " " + j.unit }

// planUp makes the running units those of want: what is outside stops first, all at once, since its memory is needed;
// then the tiers on the GPU start one at a time by priority, because loading two models side by side takes longer than
// one after the other and their sum may not fit while they load. Tiers on the CPU start beside them. Those in left do not
// start, and stop when they run: what has to start needs their room.
func planUp(want []units.Unit, left map[string]string, running []runningUnit) []job {
	var jobs []job
	wanted := map[string]bool{}
	for _, u := range want {
		wanted[u.Name] = left[u.Name] == ""
	}
	stops := map[string][]int{} // by tier: its other variant has to be gone
	var all []int
	for _, r := range running {
		if wanted[r.unit] && r.state != api.Stopping && r.state != api.Draining {
			continue
		}
		stops[r.tier] = append(stops[r.tier], len(jobs))
		all = append(all, len(jobs))
		jobs = append(jobs, job{op: opStop, tier: r.tier, unit: r.unit})
	}
	gpu := -1
	for _, u := range byPriority(want) {
		if why := left[u.Name]; why != "" {
			jobs = append(jobs, job{op: opStart, tier: u.Tier, unit: u.Name, left: why})
			continue
		}
		if slices.ContainsFunc(running, func(r runningUnit) bool { return r.unit == u.Name && r.state == api.Ready }) {
			continue
		}
		j := job{op: opStart, tier: u.Tier, unit: u.Name, needs: stops[u.Tier], after: slices.Clone(all), spare: true}
		if u.GPU {
			if gpu >= 0 {
				j.after = append(j.after, gpu)
			}
			gpu = len(jobs)
		}
		jobs = append(jobs, j)
	}
	return jobs
}

// leaveOut finds the units of a mode for which there is no room, before anything is stopped or started. Tiers that start
// with the machine or by hand have to fit together, or the mode is refused as a whole. One that starts on demand stays on
// demand when it does not fit beside them: left says why, by unit. What cannot start anyway takes no room. What is free
// just now does not count, since what runs outside the mode will have stopped.
func leaveOut(mode string, want []units.Unit, host budget.Host) (left map[string]string, refused *api.Error) {
	host.Free = nil
	var held []budget.Claim
	var demand []units.Unit
	for _, u := range byPriority(want) {
		switch {
		case u.Blocked != "":
		case u.Start == units.StartDemand:
			demand = append(demand, u)
		default:
			held = append(held, claimOf(u, host.Pool()))
		}
	}
	if s := budget.Add(host, held); !s.Fits() && len(held) > 0 {
		return nil, &api.Error{Kind: api.KindBudget, Class: api.ClassRefused,
			Message: fmt.Sprintf("mode %s does not fit: %s", mode, s.Words()),
			Hint:    "take a tier out of the mode, or let it start on demand", Budget: inAPI(s)}
	}
	left = map[string]string{}
	for _, u := range demand {
		c := claimOf(u, host.Pool())
		v := budget.Judge(host, budget.Ask{Unit: u.Name, Tier: u.Tier, Need: c.Need}, held)
		if v.Answer != budget.Yes {
			left[u.Name] = onDemand(c, v, budget.Add(host, held))
			continue
		}
		held = append(held, c)
	}
	return left, nil
}

// claimOf is a unit as it will be once it is ready.
func claimOf(u units.Unit, pool string) budget.Claim {
	need := budget.Of(u.Charge, pool)
	return budget.Claim{Unit: u.Name, Tier: u.Tier, Need: need, Taken: need.RAM, Phase: budget.Ready, Priority: u.Priority, Reload: u.Charge.Weights}
}

// onDemand says why a tier of a mode is not started with it.
func onDemand(c budget.Claim, v budget.Verdict, others budget.Sums) string {
	text := fmt.Sprintf("%s stays on demand: it needs %s", c.Tier, c.Need.RAM)
	if free := others.Room(); free != nil && v.Sums.OverRAM() > 0 {
		text += fmt.Sprintf(" and %s is free", *free)
	} else {
		text += ", and " + v.Sums.Words()
	}
	if v.Answer == budget.IfWay {
		text += "; it needs the room of " + strings.Join(tiersOf(v.Victims, others.Claims), " and ")
	}
	return text
}

func tiersOf(names []string, claims []budget.Claim) []string {
	var tiers []string
	for _, c := range claims {
		if slices.Contains(names, c.Unit) {
			tiers = append(tiers, c.Tier)
		}
	}
	return tiers
}

// byPriority is the list with the highest priority first, else in the same order.
func byPriority(list []units.Unit) []units.Unit {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(x, y units.Unit) int { return cmp.Compare(y.Priority, x.Priority) })
	return list
}

// runningUnit is one unit with processes, as planning needs it.
type runningUnit struct {
	tier, unit string
	state      api.State
}

// planDown stops everything that runs, all at once.
func planDown(running []runningUnit) []job {
	var jobs []job
	for _, r := range running {
		jobs = append(jobs, job{op: opStop, tier: r.tier, unit: r.unit})
	}
	return jobs
}

// planSwitch stops what runs of the tier and starts the wanted variant; when that does not come up, the one that was
// ready before is started again.
func planSwitch(want units.Unit, running []runningUnit) []job {
	var jobs []job
	var needs []int
	before := ""
	for _, r := range running {
		if r.tier != want.Tier || r.unit == want.Name && r.state != api.Stopping && r.state != api.Draining {
			continue
		}
		if r.state == api.Ready {
			before = r.unit
		}
		needs = append(needs, len(jobs))
		jobs = append(jobs, job{op: opStop, tier: r.tier, unit: r.unit})
	}
	start := len(jobs)
	jobs = append(jobs, job{op: opStart, tier: want.Tier, unit: want.Name, needs: needs})
	if before != "" {
		jobs = append(jobs, job{op: opStart, tier: want.Tier, unit: before, after: []int{start}, rescue: &start})
	}
	return jobs
}
