package main

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tierd/tierd/packaging/vmtest/wire"
)

const mib = 1 << 20

// up is a unit with engines.
func up(tier string, engines int) unitSample {
	return unitSample{Unit: "tier-" + tier + ".service", Tier: tier, State: "active", Charge: 336 * mib, Limit: 400 * mib, Current: 390 * mib, Held: 300 * mib, Engines: engines}
}

func TestWhatMustNeverBeIsSeen(t *testing.T) {
	l := limits{Reserve: 256 * mib, Budget: 700 * mib}
	big := up("orch", 1)
	big.Held = 701 * mib
	free := up("orch", 1)
	free.Limit = 0
	strange := up("orch", 1)
	strange.Charge = 0
	variant := up("orch", 1)
	variant.Unit = "tier-orch-cloud.service"
	for rule, c := range map[string]struct {
		s      sample
		before int64
		want   []string
	}{
		"two tiers that fit are right":               {sample{Available: 256 * mib, Units: []unitSample{up("orch", 1), up("coder", 1)}}, 0, nil},
		"a byte below the reserve is too little":     {sample{Available: 256*mib - 1}, 0, []string{"reserve"}},
		"a third charge passes the budget":           {sample{Available: 1 << 30, Units: []unitSample{up("orch", 1), up("coder", 1), up("utility", 1)}}, 0, []string{"charges", "held"}},
		"a unit without an engine is not resident":   {sample{Available: 1 << 30, Units: []unitSample{up("orch", 1), up("coder", 1), up("utility", 0)}}, 0, nil},
		"a tier that holds more than all may":        {sample{Available: 1 << 30, Units: []unitSample{big}}, 0, []string{"held"}},
		"two engines in one unit are two copies":     {sample{Available: 1 << 30, Units: []unitSample{up("orch", 2)}}, 0, []string{"copies orch"}},
		"two variants of one tier are two copies":    {sample{Available: 1 << 30, Units: []unitSample{up("orch", 1), variant}}, 0, []string{"copies orch"}},
		"a tier without a limit is not held to it":   {sample{Available: 1 << 30, Units: []unitSample{free}}, 0, []string{"limit tier-orch.service"}},
		"an engine of no tier is not accounted for":  {sample{Available: 1 << 30, Units: []unitSample{strange}}, 0, []string{"no charge tier-orch.service"}},
		"a kill since the sample before is a kill":   {sample{Available: 1 << 30, OOMKills: 3}, 2, []string{"oom"}},
		"a kill of long ago is none":                 {sample{Available: 1 << 30, OOMKills: 3}, 3, nil},
		"everything that is wrong is told at a time": {sample{Available: 1, OOMKills: 1}, 0, []string{"reserve", "oom"}},
	} {
		var got []string
		for _, v := range l.violations(c.s, c.before) {
			got = append(got, v.Kind)
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %q, want %q", rule, got, c.want)
		}
	}
}

// entries reads the file that a record wrote.
func entries(t *testing.T, raw []byte) (list []entry) {
	t.Helper()
	for d := json.NewDecoder(bytes.NewReader(raw)); d.More(); {
		var e entry
		if err := d.Decode(&e); err != nil {
			t.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

func TestARecordHasExtremesChangesAndEachViolationOnce(t *testing.T) {
	var file bytes.Buffer
	r := newRecord(limits{Reserve: 256 * mib, Budget: 700 * mib}, json.NewEncoder(&file))
	loading := up("coder", 1)
	loading.State = "activating"
	begin := time.Unix(1000, 0)
	for i, s := range []sample{
		{Available: 900 * mib, OOMKills: 7, Units: []unitSample{up("orch", 1)}},
		{Available: 600 * mib, OOMKills: 7, Units: []unitSample{up("orch", 1), loading}},
		{Available: 200 * mib, OOMKills: 7, Units: []unitSample{up("orch", 1), up("coder", 1)}},
		{Available: 100 * mib, OOMKills: 7, Units: []unitSample{up("orch", 1), up("coder", 1)}},
		{Available: 500 * mib, OOMKills: 8, Units: []unitSample{up("coder", 1)}},
		{Available: 800 * mib, OOMKills: 8, Units: []unitSample{up("coder", 1), up("orch", 1)}},
	} {
		at := begin.Add(time.Duration(i) * 100 * time.Millisecond)
		if i == 5 {
			at = at.Add(time.Second)
		}
		if err := r.add(at, s); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
	want := wire.Watch{
		Samples: 6, LongestGap: 1.1, MinAvailable: 100 * mib,
		MaxCharges: 672 * mib, MaxCurrent: 780 * mib, MaxHeld: 600 * mib, MaxResident: 2, MaxCopies: 1, OOMKills: 1,
		Violations: map[string]int{"reserve": 2, "oom": 1},
		States:     map[string]int{"active": 3, "activating": 1, "gone": 1},
		Starts:     map[string]int{"orch": 2, "coder": 1},
	}
	if !reflect.DeepEqual(r.Summary, want) {
		t.Errorf("got  %+v\nwant %+v", r.Summary, want)
	}
	var story []string
	for _, e := range entries(t, file.Bytes()) {
		switch {
		case e.Violation != "":
			story = append(story, e.Violation)
		case e.Summary != nil:
			story = append(story, "summary")
		default:
			story = append(story, e.Unit+" "+e.State)
		}
	}
	wantStory := `tier-orch.service active
tier-coder.service activating
200 MiB are available, less than the reserve of 256
tier-coder.service active
1 processes were killed for memory
tier-orch.service gone
tier-orch.service active
summary`
	if got := strings.Join(story, "\n"); got != wantStory {
		t.Errorf("got\n%s\nwant\n%s", got, wantStory)
	}
}

// TestNoSampleEscapesTheExtremes draws samples and compares the summary with what all of them say.
func TestNoSampleEscapesTheExtremes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) sample {
			s := sample{Available: rapid.Int64Range(0, 1<<30).Draw(t, "available")}
			for _, tier := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"orch", "coder", "utility"}), 0, 3, rapid.ID).Draw(t, "tiers") {
				s.Units = append(s.Units, up(tier, rapid.IntRange(0, 2).Draw(t, "engines")))
			}
			return s
		}), 1, 20).Draw(t, "samples")
		l := limits{Reserve: 512 * mib, Budget: 700 * mib}
		r := newRecord(l, json.NewEncoder(&bytes.Buffer{}))
		wrong, least, most := 0, int64(1<<62), 0
		for _, s := range list {
			if err := r.add(time.Unix(0, 0), s); err != nil {
				t.Fatal(err)
			}
			wrong += len(l.violations(s, 0))
			least, most = min(least, s.Available), max(most, len(s.resident()))
		}
		seen := 0
		for _, n := range r.Summary.Violations {
			seen += n
		}
		if seen != wrong || r.Summary.MinAvailable != least || r.Summary.MaxResident != most || r.Summary.Samples != len(list) {
			t.Fatalf("%d violations, least %d, most %d: %+v", wrong, least, most, r.Summary)
		}
	})
}
