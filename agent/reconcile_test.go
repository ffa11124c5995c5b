package agent

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/tierd/tierd/units"
)

func planOf(names ...string) *units.Plan {
	p := &units.Plan{}
	for _, n := range names {
		p.Units = append(p.Units, units.Unit{Name: n, Tier: "t", Hash: "1"})
	}
	return p
}

// limited gives each unit of a plan a limit.
func limited(p *units.Plan, most uint64) *units.Plan {
	for i := range p.Units {
		p.Units[i].Properties = []units.Property{{Name: "MemoryMax", Value: most}}
	}
	return p
}

func TestSteps(t *testing.T) {
	const unit = "tier-t.service"
	ours := func(active string, held bool, hash string) UnitStatus {
		return UnitStatus{Name: unit, Tier: "t", LoadState: "loaded", ActiveState: active, SubState: "x", Held: held, Hash: hash}
	}
	with := func(s UnitStatus, change func(*UnitStatus)) UnitStatus { change(&s); return s }
	for _, c := range []struct {
		rule string
		plan *units.Plan
		seen []UnitStatus
		want []string
	}{
		{"a unit that is not loaded is defined", planOf(unit), nil, []string{"define " + unit}},
		{"a unit that is not found is defined", planOf(unit), []UnitStatus{{Name: unit, LoadState: "not-found"}}, []string{"define " + unit}},
		{"a stopped unit as planned is left alone", planOf(unit), []UnitStatus{ours("inactive", true, "1")}, nil},
		{"a stopped unit that is not held is adopted", planOf(unit), []UnitStatus{ours("inactive", false, "1")}, []string{"adopt " + unit}},
		{"a failed unit that is not held keeps its reason", planOf(unit), []UnitStatus{ours("failed", false, "1")}, []string{"adopt " + unit}},
		{"a stopped unit of another configuration is defined", planOf(unit), []UnitStatus{ours("inactive", true, "2")}, []string{"define " + unit}},
		{"a failed unit of another configuration is defined", planOf(unit), []UnitStatus{ours("failed", true, "2")}, []string{"define " + unit}},
		{"a running unit of another configuration is left alone", planOf(unit), []UnitStatus{ours("active", true, "2")}, nil},
		{"a running unit is adopted", planOf(unit), []UnitStatus{ours("active", false, "2")}, []string{"adopt " + unit}},
		{"a loading unit is adopted", planOf(unit), []UnitStatus{ours("activating", false, "1")}, []string{"adopt " + unit}},
		{"a unit on its way out is adopted, not defined", planOf(unit), []UnitStatus{ours("deactivating", false, "2")}, []string{"adopt " + unit}},
		{"a unit that systemd is about to start again is not defined", planOf(unit),
			[]UnitStatus{with(ours("failed", true, "2"), func(s *UnitStatus) { s.SubState = "failed-before-auto-restart" })}, nil},
		{"a masked unit is let go, so that systemctl says that it is masked", planOf(unit),
			[]UnitStatus{with(ours("inactive", true, "1"), func(s *UnitStatus) { s.Masked = true })}, []string{"release " + unit}},
		{"a masked unit that runs is left alone", planOf(unit),
			[]UnitStatus{with(ours("active", true, "1"), func(s *UnitStatus) { s.Masked = true })}, nil},
		{"a masked unit that is not loaded is not defined", planOf(unit), []UnitStatus{{Name: unit, Masked: true, LoadState: "not-found"}}, nil},
		{"a stranger's running unit of that name is left alone", planOf(unit), []UnitStatus{{Name: unit, LoadState: "loaded", ActiveState: "active"}}, nil},
		{"a unit that is no longer planned runs on", planOf(), []UnitStatus{ours("active", true, "1")}, nil},
		{"and is held until it stops", planOf(), []UnitStatus{ours("active", false, "1")}, []string{"adopt " + unit}},
		{"a stopped one that is no longer planned goes", planOf(), []UnitStatus{ours("inactive", true, "1")}, []string{"release " + unit}},
		{"a stranger's stopped unit stays", planOf(), []UnitStatus{{Name: unit, LoadState: "loaded", ActiveState: "inactive"}}, nil},
		{"a stopped unit is defined with a figure that was learned", planOf(unit),
			[]UnitStatus{with(ours("inactive", true, "1"), func(s *UnitStatus) { s.Memory = 5 })}, []string{"define " + unit}},
		{"a failed one is not, and keeps its reason", planOf(unit),
			[]UnitStatus{with(ours("failed", true, "1"), func(s *UnitStatus) { s.Memory = 5 })}, nil},
		{"a running one waits for its end", planOf(unit), []UnitStatus{with(ours("active", true, "1"), func(s *UnitStatus) { s.Memory = 5 })}, nil},
		{"a failed unit that has outgrown its limit gets another one", limited(planOf(unit), 7), []UnitStatus{ours("failed", true, "1")}, []string{"limit " + unit}},
		{"a running one keeps its limit", limited(planOf(unit), 7), []UnitStatus{ours("active", true, "1")}, nil},
		{"one with the planned limit is left alone", limited(planOf(unit), 7),
			[]UnitStatus{with(ours("failed", true, "1"), func(s *UnitStatus) { s.MemoryMax = 7 })}, nil},
		{"the administrator's limit stays", limited(planOf(unit), 7),
			[]UnitStatus{with(ours("failed", true, "1"), func(s *UnitStatus) { s.DropIns = []string{"/etc/systemd/system/x.d/y.conf"} })}, nil},
		{"a unit without a limit needs none", planOf(unit), []UnitStatus{with(ours("failed", true, "1"), func(s *UnitStatus) { s.MemoryMax = 7 })}, nil},
		{"without a plan what is there is kept", nil, []UnitStatus{ours("inactive", false, "1")}, []string{"adopt " + unit}},
		{"without a plan nothing goes", nil, []UnitStatus{ours("failed", true, "1")}, nil},
	} {
		t.Run(c.rule, func(t *testing.T) {
			seen := map[string]UnitStatus{}
			for _, s := range c.seen {
				seen[s.Name] = s
			}
			var got []string
			for _, s := range steps(c.plan, seen) {
				got = append(got, string(s.verb)+" "+s.unit)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestStepsNeverTouchWhatRunsAndComeToAnEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seen := map[string]UnitStatus{}
		var plan *units.Plan
		if rapid.Bool().Draw(t, "plan") {
			plan = planOf()
		}
		for i := range rapid.IntRange(0, 5).Draw(t, "units") {
			name := fmt.Sprintf("tier-%d.service", i)
			if plan != nil && rapid.Bool().Draw(t, "planned") {
				plan.Units = append(plan.Units, units.Unit{Name: name, Tier: "t", Hash: "1", Memory: units.Bytes(rapid.IntRange(0, 1).Draw(t, "memory")),
					Properties: []units.Property{{Name: "MemoryMax", Value: rapid.Uint64Range(0, 2).Draw(t, "limit")}}})
			}
			if rapid.Bool().Draw(t, "loaded") {
				seen[name] = anyStatus(t, name)
			}
		}
		list := steps(plan, seen)
		for round := 0; len(list) > 0; round++ { // what is adopted may then need another limit
			if round == 2 {
				t.Fatalf("a third round would do %+v", list)
			}
			afterwards(t, seen, list)
			list = steps(plan, seen)
		}
	})
}

// afterwards makes of seen what systemd would show once the steps were taken.
func afterwards(t *rapid.T, seen map[string]UnitStatus, list []step) {
	for _, s := range list {
		old := seen[s.unit]
		if s.verb != adopt && running(old) {
			t.Fatalf("%s of a unit that runs: %+v", s.verb, old)
		}
		switch s.verb {
		case define:
			seen[s.unit] = UnitStatus{Name: s.unit, Tier: "t", LoadState: "loaded", ActiveState: "inactive", Held: true, Hash: s.def.Hash,
				Memory: s.def.Memory, MemoryMax: s.def.MemoryMax()}
		case limit:
			old.MemoryMax = s.def.MemoryMax()
			seen[s.unit] = old
		case adopt:
			old.Held = true
			seen[s.unit] = old
		case release:
			delete(seen, s.unit)
			if old.Masked {
				seen[s.unit] = UnitStatus{Name: s.unit, LoadState: "masked", Masked: true}
			}
		}
	}
}
