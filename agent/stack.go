package agent

import (
	"slices"

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
	known  bool   // a start: the unit is as the loop has it, so that nothing is read before
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
	for _, u := range budget.ByPriority(want) {
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

// leaveOut finds the units of a mode for which there is no room, before anything is stopped or started: left says why, by
// unit. When those that have to start do not fit together, the mode is refused as a whole.
func leaveOut(mode string, want []units.Unit, host budget.Host) (left map[string]string, refused *api.Error) {
	m := ofMode(want, host)
	if !m.Fits() {
		b := m.Sums.Report(nil)
		b.GiveWay = m.GiveWay
		return nil, &api.Error{Kind: api.KindBudget, Class: api.ClassRefused, Message: m.Refusal(mode),
			Hint: "take a tier out of the mode, or let it start on demand", Budget: b}
	}
	return m.Left, nil
}

// ofMode sums a mode up. What cannot start anyway takes no room.
func ofMode(want []units.Unit, host budget.Host) budget.Mode {
	return budget.OfMode(host, slices.DeleteFunc(slices.Clone(want), func(u units.Unit) bool { return u.Blocked != "" }))
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
