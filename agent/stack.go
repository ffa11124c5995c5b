package agent

import (
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
	rescue []int  // runs only when one of those failed
	left   string // why there is nothing to do after all, one sentence
	evict  bool   // a start: others may give way for it, whatever its tier's `start` says
	spare  bool   // a start: nobody gives way for it
	known  bool   // a start: the unit is as the loop has it, so that nothing is read before

	beside   string   // a start: the unit of the same tier that serves on meanwhile
	replaces []string // a start: units of the same tier, which systemd ends first
	back     string   // with replaces: the one that is to be started again when this fails, "" for none
	instead  *int     // runs only when that start found no room beside what is up
	firm     bool     // an abort comes too late for it
}

// summary is the job in words.
func (j job) summary() string {
	text := string(j.op) + " " + j.unit
	switch {
	case j.beside != "":
		text += " beside " + j.beside
	case len(j.replaces) > 0:
		text += " in place of " + strings.Join(j.replaces, " and ")
	}
	return text
}

// conditional tells that whether it runs at all depends on how another one ended.
func (j job) conditional() bool { return len(j.rescue) > 0 || j.instead != nil }

// planUp makes the running units those of want: what is outside stops first, all at once, since its memory is needed;
// then the tiers on the GPU start one at a time by priority, because loading two models side by side takes longer than
// one after the other and their sum may not fit while they load. Tiers on the CPU start beside them. Those in left do not
// start, and stop when they run: what has to start needs their room. Those in beside come up while the other variant of their
// tier, which beside names, serves on.
func planUp(want []units.Unit, left map[string]string, running []runningUnit, beside map[string]string) []job {
	var jobs []job
	wanted := map[string]bool{}
	for _, u := range want {
		wanted[u.Name] = left[u.Name] == ""
	}
	for _, old := range beside {
		wanted[old] = true // until the new one is ready
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
	var switches []int // the starts beside what serves
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
		if j.beside = beside[u.Name]; j.beside != "" {
			switches = append(switches, len(jobs))
			jobs = append(jobs, j, job{op: opStop, tier: u.Tier, unit: j.beside, needs: []int{len(jobs)}, firm: true})
			continue
		}
		jobs = append(jobs, j)
	}
	for _, i := range switches { // last, since they are told of only when they run
		jobs = append(jobs, otherwise(jobs[i], i, len(jobs))...)
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
