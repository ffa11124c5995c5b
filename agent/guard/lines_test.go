package guard

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestHostLines(t *testing.T) {
	for name, c := range map[string]struct{ total, soft uint64 }{
		"128GiB":                    {128 * gib, 8 * gib},
		"more does not want more":   {512 * gib, 8 * gib},
		"64GiB":                     {64 * gib, 64 * gib / 1000 * 65},
		"the bed":                   {3008 * mib, 3008 * mib / 1000 * 65},
		"what a kernel cannot have": {0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			l := HostLines(c.total)
			if want := (Lines{c.soft + c.soft/4, c.soft, c.soft / 2, c.soft / 4}); l != want {
				t.Errorf("%+v, want %+v", l, want)
			}
			if err := l.Check(c.total); (err == nil) != (c.total > 0) {
				t.Error(err)
			}
		})
	}
}

func TestKeepFreeLines(t *testing.T) {
	for name, c := range map[string]struct {
		keepFree, soft, hard uint64
		want                 Lines
	}{
		"keep_free is the soft line":               {8, 0, 0, Lines{10, 8, 4, 2}},
		"soft stands for itself":                   {8, 12, 0, Lines{15, 12, 6, 3}},
		"hard brings its emergency line":           {8, 0, 2, Lines{10, 8, 2, 1}},
		"both: what the bed of the benchmarks has": {8, 300, 150, Lines{375, 300, 150, 75}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := KeepFreeLines(c.keepFree*mib, c.soft*mib, c.hard*mib); got != (Lines{c.want.Refuse * mib, c.want.Soft * mib, c.want.Hard * mib, c.want.Emergency * mib}) {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		lines Lines
		want  string // "": they can be had
	}{
		"all in their order":          {Lines{375 * mib, 300 * mib, 150 * mib, 75 * mib}, ""},
		"nothing":                     {Lines{}, "the guard's soft line is 0: "},
		"refuse at soft":              {Lines{300 * mib, 300 * mib, 150 * mib, 75 * mib}, "the guard's soft line of 300MiB is not below the 300MiB under which no tier loads: "},
		"hard above soft":             {Lines{375 * mib, 300 * mib, 400 * mib, 75 * mib}, "the guard's hard line of 400MiB is not below the soft line of 300MiB: "},
		"emergency at hard":           {Lines{375 * mib, 300 * mib, 150 * mib, 150 * mib}, "the guard's emergency line of 150MiB is not between 0 and the hard line of 150MiB: "},
		"no emergency":                {Lines{375 * mib, 300 * mib, 150 * mib, 0}, "the guard's emergency line of 0 is not between"},
		"more than there is memory":   {Lines{3008 * mib, 300 * mib, 150 * mib, 75 * mib}, "below 2.94GiB the guard would let no tier load, and this host has 2.94GiB in all: "},
		"so much that it wraps round": {KeepFreeLines(1<<63, 0, 0), "below "},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.lines.Check(3008 * mib)
			if (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

func TestLevel(t *testing.T) {
	l := Lines{Refuse: 50, Soft: 40, Hard: 20, Emergency: 10}
	for available, want := range map[uint64]Level{50: Calm, 49: BelowRefuse, 40: BelowRefuse, 39: BelowSoft, 20: BelowSoft, 19: BelowHard, 10: BelowHard, 9: BelowEmergency, 0: BelowEmergency} {
		got := l.level(available)
		if got != want || got != Calm && available >= l.of(got) {
			t.Errorf("%d is %s", available, got)
		}
	}
	if l.of(Calm) != 0 {
		t.Error("calm has a line")
	}
}

// TestPace is that no fall that the host is capable of can take more between two looks than the pace allows for.
func TestPace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		available, line := rapid.Uint64().Draw(t, "available"), rapid.Uint64().Draw(t, "line")
		p := Pace{FillRate: rapid.Uint64Range(0, 64*gib).Draw(t, "fill")}
		slope := rapid.Int64().Draw(t, "slope")
		next := p.next(available, line, slope)
		if next < quickest || next > slowest {
			t.Fatal(next)
		}
		if rate := max(p.FillRate, falling(slope)); next > quickest && float64(rate)*next.Seconds() > float64(available-line)*1.001+1 {
			t.Errorf("%s at %d a second with %d left", next, rate, available-line)
		}
	})
}

func TestPaceTable(t *testing.T) {
	p := HostPace(128 * gib)
	if p.FillRate != 16*gib || HostPace(2*gib).FillRate != leastFill {
		t.Errorf("%+v", p)
	}
	for name, c := range map[string]struct {
		headroom uint64
		slope    int64
		want     string
	}{
		"with room it is the slowest":             {64 * gib, 0, "500ms"},
		"4GiB last a quarter of a second":         {4 * gib, 0, "250ms"},
		"a slower fall than that changes nothing": {4 * gib, -gib, "250ms"},
		"a faster one is looked at twice":         {4 * gib, -16 * gib, "125ms"},
		"at the line it is the quickest":          {0, 0, "10ms"},
		"just above it too":                       {mib, 0, "10ms"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := p.next(8*gib+c.headroom, 8*gib, c.slope); got.String() != c.want {
				t.Error(got)
			}
		})
	}
}
