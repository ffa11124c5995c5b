package trial

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// trace makes samples, 5 ms apart, of what is available in MiB.
func trace(available ...int64) []Sample {
	var list []Sample
	for i, n := range available {
		list = append(list, Sample{At: int64(i) * 5000, Available: n << 20, Full: int64(i) * 100})
	}
	return list
}

// flat is so many samples of one amount.
func flat(n int, available int64) []int64 { return slices.Repeat([]int64{available}, n) }

func record(scenario string, samples []Sample) *Record {
	return &Record{Run: Run{Scenario: scenario, Guard: None, Round: 1}, Start: 800 << 20, Samples: samples}
}

func wantTime(t *testing.T, what string, got *time.Duration, want time.Duration) {
	t.Helper()
	switch {
	case want == never && got != nil:
		t.Errorf("%s: got %v, want none", what, *got)
	case want != never && (got == nil || *got != want):
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// never is no time: nothing of the kind happened.
const never = time.Duration(-1)

func TestTimesCountFromTheCrossing(t *testing.T) {
	const us, ms = time.Microsecond, time.Millisecond
	for name, c := range map[string]struct {
		samples          []Sample
		terms, exits     map[string]int64
		crossed          bool
		term, exit, back time.Duration
	}{
		"memory never short: nothing counts": {
			samples: trace(flat(100, 500)...), terms: map[string]int64{"coder": 10_000}, exits: map[string]int64{"coder": 20_000},
			term: never, exit: never, back: never,
		},
		"a victim at the line": {
			samples: trace(slices.Concat(flat(2, 310), flat(10, 290), flat(100, 900))...), // crosses at 7.5 ms, back at 60
			terms:   map[string]int64{"reviewer": 14_000}, exits: map[string]int64{"reviewer": 40_000},
			crossed: true, term: 6500 * us, exit: 32500 * us, back: 52500 * us,
		},
		"the first of two victims": {
			samples: trace(slices.Concat(flat(2, 310), flat(100, 290))...),
			terms:   map[string]int64{"utility": 30_000, "reviewer": 20_000}, exits: map[string]int64{"utility": 90_000, Load: 50_000},
			crossed: true, term: 12500 * us, exit: 42500 * us, back: never,
		},
		"one that acted before the line": {
			samples: trace(slices.Concat(flat(2, 310), flat(2, 290), flat(100, 900))...), terms: map[string]int64{"reviewer": 6_000},
			crossed: true, term: -1500 * us, exit: never, back: 12500 * us,
		},
		"above the line for a moment is not back": {
			samples: trace(slices.Concat(flat(2, 299), flat(59, 301), flat(10, 299), flat(61, 301))...),
			crossed: true, term: never, exit: never, back: 355 * ms,
		},
		"who samples has waited: the line was crossed meanwhile": {
			samples: []Sample{{At: 0, Available: 400 << 20}, {At: 200_000, Available: 200 << 20}}, terms: map[string]int64{"reviewer": 110_000},
			crossed: true, term: 10 * ms, exit: never, back: never,
		},
		"exactly the line is not short": {
			samples: trace(flat(100, 300)...), term: never, exit: never, back: never,
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := record("a", c.samples)
			r.Terms, r.Exits = c.terms, c.exits
			o := r.Outcome()
			if o.Crossed != c.crossed {
				t.Errorf("crossed: %v", o.Crossed)
			}
			wantTime(t, "SIGTERM", o.Term, c.term)
			wantTime(t, "exit", o.Exit, c.exit)
			wantTime(t, "back", o.Back, c.back)
		})
	}
}

func TestTheWorstIsKept(t *testing.T) {
	o := record("a", trace(slices.Concat(flat(2, 400), flat(3, 149), flat(1, 20), flat(4, 500))...)).Outcome()
	if o.Least != 20<<20 || o.UnderHard != 20*time.Millisecond || o.Stalled != 900*time.Microsecond {
		t.Errorf("least %d, %v under the hard line, %v stalled", o.Least, o.UnderHard, o.Stalled)
	}
}

func TestVictimsAreInTheOrderOfTheirEnd(t *testing.T) {
	r := record("u", nil)
	r.Exits = map[string]int64{"orch": 3, "utility": 2, Load: 4, "reviewer": 1}
	o := r.Outcome()
	if !slices.Equal(o.Victims, []string{"reviewer", "utility", "orch"}) || !o.Load || !o.Right {
		t.Errorf("%+v", o)
	}
	if o.Fate() != "reviewer, utility, orch and the load" {
		t.Errorf("fate %q", o.Fate())
	}
}

func TestWhoWasRight(t *testing.T) {
	for name, c := range map[string]struct {
		scenario string
		victims  []string
		load     bool
		right    bool
		wrong    []string
	}{
		"one suffices":                              {"a", []string{"reviewer"}, false, true, nil},
		"one too many":                              {"a", []string{"reviewer", "utility"}, false, false, []string{"utility"}},
		"the tier that must stay":                   {"b", []string{"coder"}, false, false, []string{"coder"}},
		"nobody is not enough":                      {"m", nil, false, false, nil},
		"the load is not a tier, but was not meant": {"o", nil, true, false, nil},
		"page cache is no reason":                   {"e", nil, false, true, nil},
		"page cache took one":                       {"e", []string{"reviewer"}, false, false, []string{"reviewer"}},
		"the leaking tier alone":                    {"c", []string{"coder"}, false, true, nil},
		"the leaking tier and one other":            {"v", []string{"reviewer", "coder"}, false, true, nil},
		"the leaking tier and two others":           {"v", []string{"reviewer", "utility", "coder"}, false, false, nil},
		"only the other":                            {"c", []string{"reviewer"}, false, false, nil},
		"idle ones for a busy one":                  {"f", []string{"utility", "orch"}, false, true, nil},
		"the idle one that is enough":               {"f", []string{"orch"}, false, true, nil},
		"the busy one, when utility was too small":  {"f", []string{"utility", "reviewer"}, false, true, nil},
		"three of them":                             {"f", []string{"utility", "orch", "reviewer"}, false, false, nil},
		"growth without end ends with the load":     {"u", []string{"reviewer"}, true, true, nil},
		"growth without end and the load lives":     {"u", []string{"reviewer"}, false, false, nil},
		"growth without end took coder":             {"u", []string{"reviewer", "coder"}, true, false, []string{"coder"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, ok := Find(c.scenario)
			if !ok {
				t.Fatal("no such scenario")
			}
			right, wrong := s.judge(c.victims, c.load)
			if right != c.right || !slices.Equal(wrong, c.wrong) {
				t.Errorf("got %v, %v", right, wrong)
			}
		})
	}
}

// TestEveryScenarioCanBeDoneRight looks for a set of victims that is right, and holds the order in which tiers may go.
func TestEveryScenarioCanBeDoneRight(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range Scenarios {
		if seen[s.Key] {
			t.Errorf("%s is there twice", s.Key)
		}
		seen[s.Key] = true
		if s.Zram != (len(s.Key) == 2 && s.Key[1] == 'z') {
			t.Errorf("%s: zram %v", s.Key, s.Zram)
		}
		possible := false
		for set := range 1 << len(Tiers) {
			var victims []string
			for i, name := range Tiers {
				if set&(1<<i) != 0 {
					victims = append(victims, name)
				}
			}
			for _, load := range []bool{false, true} {
				right, wrong := s.judge(victims, load)
				possible = possible || right
				if right && len(wrong) > 0 {
					t.Errorf("%s: right with a wrong victim %v", s.Key, wrong)
				}
			}
		}
		if !possible {
			t.Errorf("%s cannot be done right", s.Key)
		}
	}
}

func TestARecordReadsAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := rapid.Int64Range(0, 1<<40)
		want := Record{
			Run: Run{"a", None, 2}, Start: number.Draw(t, "start"), Exits: map[string]int64{"coder": number.Draw(t, "exit")},
			Samples: rapid.SliceOf(rapid.Custom(func(t *rapid.T) Sample {
				return Sample{number.Draw(t, "at"), number.Draw(t, "available"), number.Draw(t, "swap"), number.Draw(t, "full")}
			})).Draw(t, "samples"),
		}
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got Record
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatal(err)
		}
		if got.Start != want.Start || got.Exits["coder"] != want.Exits["coder"] || !slices.Equal(got.Samples, want.Samples) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

// TestAnOutcomeIsWithinItsRun holds what must be true of any trace.
func TestAnOutcomeIsWithinItsRun(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		samples := trace(rapid.SliceOf(rapid.Int64Range(0, 1000)).Draw(t, "available")...)
		o := record("a", samples).Outcome()
		length := time.Duration(len(samples)) * 5 * time.Millisecond
		if o.UnderHard > length || o.Back != nil && (*o.Back < 0 || *o.Back > length-good) {
			t.Errorf("%v under the hard line and back after %v, of %v", o.UnderHard, o.Back, length)
		}
		if o.Back != nil && !o.Crossed || o.UnderHard > 0 && !o.Crossed {
			t.Error("memory was short and never crossed the line")
		}
	})
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"scenario":"a","sample":[[1,2,3,4]],"exits":{"coder":5}}`))
	f.Add([]byte(`{"scenario":"?","sample":[[1,2]]}`))
	f.Add([]byte(`{"sample":{}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var r Record
		if json.Unmarshal(text, &r) == nil {
			r.Outcome().Line()
		}
	})
}
