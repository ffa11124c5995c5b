package bench

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

func spread(low, middle, high float64) *Figure { return &Figure{middle, low, high, 3} }

func reportOf(tiers ...Tier) Report {
	return Report{Schema: Schema, Time: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Tokens: 128, Runs: 3, Tiers: tiers}
}

func coder(points ...Point) Tier {
	return Tier{Tier: "coder", Variant: "vllm", Engine: VLLM, Version: "0.19.1", Model: "m", Weights: 6e9, Points: points}
}

func TestARatioIsMarkedWhereBothSpreadsAreApart(t *testing.T) {
	for _, row := range []struct {
		rule        string
		before, now *Figure
		ratio       float64
		outside     bool
	}{
		{"faster than ever before", spread(9, 10, 11), spread(19, 20, 21), 2, true},
		{"slower than ever before", spread(19, 20, 21), spread(9, 10, 11), 0.5, true},
		{"spreads that touch", spread(9, 10, 11), spread(11, 12, 13), 1.2, false},
		{"one within the other", spread(5, 10, 20), spread(11, 12, 13), 1.2, false},
		{"the same", spread(9, 10, 11), spread(9, 10, 11), 1, false},
		{"what was measured once has no spread", &Figure{10, 10, 10, 1}, spread(19, 20, 21), 2, false},
	} {
		t.Run(row.rule, func(t *testing.T) {
			c := Compare(reportOf(coder(Point{Streams: 1, Total: row.before})), reportOf(coder(Point{Streams: 1, Total: row.now})))
			if len(c.Tiers) != 1 || len(c.Tiers[0].Differs) > 0 || len(c.Tiers[0].Ratios) != 1 {
				t.Fatalf("%+v", c)
			}
			r := c.Tiers[0].Ratios[0]
			if math.Abs(r.Ratio-row.ratio) > 1e-9 || r.Outside != row.outside || r.Figure != "total_rate" {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestWhatDiffersDoesNotCompare(t *testing.T) {
	point := Point{Streams: 1, Total: spread(9, 10, 11)}
	for _, row := range []struct {
		rule   string
		change func(*Report)
		want   string
	}{
		{"another model", func(r *Report) { r.Tiers[0].Model = "n" }, "model: m, now n"},
		{"another variant", func(r *Report) { r.Tiers[0].Variant = "llama" }, "variant: vllm, now llama"},
		{"another engine", func(r *Report) { r.Tiers[0].Engine = Llama }, "engine: vllm, now llama"},
		{"another version", func(r *Report) { r.Tiers[0].Version = "" }, "version: 0.19.1, now not known"},
		{"other files of the same name", func(r *Report) { r.Tiers[0].Weights = 0 }, "bytes of weights read: 6000000000, now not known"},
		{"longer answers", func(r *Report) { r.Tokens = 16 }, "tokens: 128, now 16"},
	} {
		t.Run(row.rule, func(t *testing.T) {
			now := reportOf(coder(point))
			row.change(&now)
			c := Compare(reportOf(coder(point)), now).Tiers[0]
			if strings.Join(c.Differs, "; ") != row.want || c.Ratios != nil {
				t.Errorf("%+v", c)
			}
		})
	}
}

func TestOnlyWhatBothHaveIsCompared(t *testing.T) {
	full := Point{Depth: 4096, Streams: 1, TTFT: spread(1, 2, 3), CachedTTFT: spread(1, 2, 3), Reading: spread(1, 2, 3), Writing: spread(1, 2, 3), Total: spread(1, 2, 3)}
	before := reportOf(coder(full, Point{Depth: 0, Streams: 1, Total: spread(0, 0, 0)}), Tier{Tier: "gone", Points: []Point{full}}, Tier{Tier: "idle"})
	now := reportOf(coder(Point{Depth: 0, Streams: 1, Total: spread(1, 2, 3)}, full, Point{Depth: 4096, Streams: 4, Total: spread(1, 2, 3)}), Tier{Tier: "new", Points: []Point{full}}, Tier{Tier: "idle"})
	c := Compare(before, now)
	if len(c.Tiers) != 1 || c.Tiers[0].Tier != "coder" {
		t.Fatalf("%+v", c.Tiers)
	}
	var names []string
	for _, r := range c.Tiers[0].Ratios {
		if r.Depth != 4096 || r.Streams != 1 {
			t.Errorf("%+v", r)
		}
		names = append(names, r.Figure)
	}
	if got := strings.Join(names, " "); got != "ttft_seconds cached_ttft_seconds prompt_rate generation_rate total_rate" {
		t.Errorf("compared are %s", got)
	}
}

func TestAReportIsReadAsItWasSaved(t *testing.T) {
	bound, percent := 50.0, 80.0
	r := reportOf(coder(Point{Depth: 4096, Streams: 4, Total: spread(1, 2, 3), Bound: &bound, Percent: &percent}))
	r.Tiers[0].Bandwidth = &Bandwidth{256e9, "theoretical", false}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseReport(text); err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("%+v, %v", got, err)
	}
	if !r.Measured() && reportOf(coder()).Measured() {
		t.Error("what was measured")
	}
}

func TestWhatIsNoReportIsOneClearError(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "it is no report of tierctl bench: unexpected end of JSON input",
		"[]":                        "it is no report of tierctl bench: json: cannot unmarshal array into Go value of type bench.Report",
		"{}":                        "it is no report of tierctl bench: it has no `schema`",
		`{"schema":2}`:              "it has schema 2, and this tierctl knows 1; use the tierctl that wrote it",
		`{"schema":1,"tiers":true}`: "it is no report of tierctl bench: json: cannot unmarshal bool into Go struct field Report.tiers of type []bench.Tier",
	} {
		if _, err := ParseReport([]byte(text)); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// TestTheSchemaStays: fields may be added, and this list with them. None goes and none changes its name.
func TestTheSchemaStays(t *testing.T) {
	for _, row := range []struct {
		of   any
		want string
	}{
		{Report{}, "schema time tierd machine tokens runs ended tiers comparison"},
		{Tier{}, "tier variant engine version model context weights experts used bandwidth notes skipped points"},
		{Point{}, "depth streams skipped prompt_tokens kv cached_tokens ttft_seconds cached_ttft_seconds prompt_rate generation_rate total_rate engine_prompt_rate engine_generation_rate bound_rate percent"},
		{Figure{}, "median min max count"},
		{Bandwidth{}, "bytes_per_second source measured"},
		{Comparison{}, "earlier tiers"},
		{TierComparison{}, "tier differs ratios"},
		{Ratio{}, "depth streams figure before now ratio outside"},
	} {
		var names []string
		for f := range reflect.TypeOf(row.of).Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			names = append(names, name)
		}
		if got := strings.Join(names, " "); got != row.want {
			t.Errorf("%T: %s", row.of, got)
		}
	}
}

func FuzzParseReport(f *testing.F) {
	f.Add([]byte(`{"schema":1,"tokens":16,"tiers":[{"tier":"a","points":[{"depth":0,"streams":1,"total_rate":{"median":1,"min":1,"max":1,"count":1}}]}]}`))
	f.Add([]byte(`{"schema":1,"tiers":null}`))
	f.Add([]byte(`{"schema":9}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := ParseReport(text)
		if err != nil {
			return
		}
		if _, err := json.Marshal(Compare(r, r)); err != nil {
			t.Error(err)
		}
	})
}

// FuzzStream: whatever an engine sends, a stream is taken or told as a fault, and no count is negative.
func FuzzStream(f *testing.F) {
	f.Add(`{"choices":[{"text":"a"}]}`)
	f.Add(`{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2},"timings":{"prompt_n":9}}`)
	f.Add(`{"error":{"message":"x"}}`)
	f.Add(`{"usage":{"prompt_tokens":-3,"completion_tokens":-2}}`)
	f.Fuzz(func(t *testing.T, data string) {
		var a answer
		if err := a.take(data, time.Now()); err == nil && (a.prompt < 0 || a.cached < 0 || a.tokens < 0) {
			t.Errorf("%+v", a)
		}
	})
}
