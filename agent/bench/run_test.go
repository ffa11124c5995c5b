package bench

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func llama() *engine {
	return &engine{kind: Llama, reads: time.Millisecond, writes: 20 * time.Millisecond, counts: true, timings: true, version: "b9000"}
}

func vllm() *engine {
	return &engine{kind: VLLM, reads: time.Millisecond, writes: 20 * time.Millisecond, counts: true, details: true, version: "0.19.1"}
}

func planOf(depths, streams []int) Plan {
	return Plan{Depths: depths, Streams: streams, Tokens: 11, Runs: 3, Request: time.Minute, Random: rand.New(rand.NewPCG(1, 2))}
}

func subject(e *engine) Subject {
	return Subject{Tier: Tier{Tier: "coder", Engine: e.kind, Context: 4096}, Client: e.client(), Up: func(context.Context) error { return nil }}
}

func same(t *testing.T, what string, f *Figure, want float64, count int) {
	t.Helper()
	if f == nil {
		t.Fatalf("%s: not measured", what)
	}
	if f.Median < want*0.9999 || f.Median > want*1.0001 || f.Min != f.Median || f.Max != f.Median || f.Count != count {
		t.Errorf("%s: %+v, want %v of %d", what, *f, want, count)
	}
}

func quiet(Step) {}

func TestFiguresAreWhatTheClockSays(t *testing.T) {
	for name, e := range map[string]*engine{"llama-server": llama(), "vLLM": vllm()} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := planOf([]int{0, 1000}, []int{1, 4}).Measure(t.Context(), subject(e), quiet)
				if got.Skipped != "" || len(got.Points) != 4 || got.Version != e.version {
					t.Fatalf("%+v", got)
				}
				none := got.Points[0]
				if none.Prompt != shortest || none.Reading != nil || none.CachedTTFT != nil {
					t.Errorf("without depth: %+v", none)
				}
				deep := got.Points[2]
				if deep.Depth != 1000 || deep.Streams != 1 || deep.Prompt != 1000 {
					t.Errorf("%+v", deep)
				}
				// A token or so of another prompt may be in the cache, so the first token's time is not exact to the millisecond.
				if deep.TTFT.Median < 0.99 || deep.TTFT.Median > 1 {
					t.Errorf("TTFT %+v", deep.TTFT)
				}
				same(t, "prompt", deep.Reading, 1000, 3)
				same(t, "generation", deep.Writing, 50, 3)
				same(t, "total", deep.Total, 50, 3)
				same(t, "cached", deep.CachedTTFT, 0.001, 3)
				if deep.CachedCount != 999 {
					t.Errorf("%d tokens cached", deep.CachedCount)
				}
				wide := got.Points[3]
				same(t, "generation of each", wide.Writing, 50, 12)
				if wide.Total.Median < 196 || wide.Total.Median > 200 || e.most != 4 {
					t.Errorf("of all %+v, at most %d at a time", wide.Total, e.most)
				}
				if (deep.EngineWriting != nil) != e.timings || (deep.EngineReading != nil) != e.timings {
					t.Errorf("by the engine: %+v, %+v", deep.EngineReading, deep.EngineWriting)
				}
			})
		})
	}
}

func TestARequestSaysWhatItWants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := llama()
		planOf([]int{100}, []int{1}).Measure(t.Context(), subject(e), quiet)
		if len(e.asked) != 7 { // the first, and thrice one and its prompt again
			t.Fatalf("%d requests", len(e.asked))
		}
		for key, want := range map[string]string{
			"model": `"coder"`, "max_tokens": "11", "temperature": "0", "ignore_eos": "true", "stream": "true", "stream_options": `{"include_usage":true}`,
		} {
			if got := string(e.asked[1][key]); got != want {
				t.Errorf("%s: %s, want %s", key, got, want)
			}
		}
		for _, key := range e.keys {
			if key != "Bearer secret" {
				t.Errorf("a request with the key %q", key)
			}
		}
		if string(e.asked[1]["prompt"]) != string(e.asked[2]["prompt"]) || string(e.asked[1]["prompt"]) == string(e.asked[3]["prompt"]) {
			t.Error("a prompt comes again once, and the next is another one")
		}
	})
}

func TestWhatATierCannotDoIsSkippedWithAWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := subject(llama())
		s.Limit = 2
		got := planOf([]int{4086, 0}, []int{1, 2, 3}).Measure(t.Context(), s, quiet)
		var words []string
		for _, p := range got.Points {
			words = append(words, p.Skipped)
		}
		const deep, wide = "its context is 4096 tokens, and this takes 4097", "at most 2 at a time are let through"
		if want := []string{deep, deep, deep, "", "", wide}; strings.Join(words, "|") != strings.Join(want, "|") {
			t.Errorf("got %q", words)
		}
		if got.Points[0].TTFT != nil || got.Points[4].TTFT == nil {
			t.Errorf("%+v", got.Points)
		}
	})
}

func TestAPromptThatJustFitsIsMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if got := planOf([]int{4085}, []int{1}).Measure(t.Context(), subject(vllm()), quiet); got.Points[0].Skipped != "" || got.Points[0].Prompt != 4085 {
			t.Errorf("%+v", got.Points)
		}
	})
}

func TestFaultsAreToldAndWhatWasMeasuredStays(t *testing.T) {
	for _, row := range []struct {
		rule   string
		change func(*engine)
		words  string
		tier   bool // the tier as a whole is skipped
		kept   int  // runs that the first point has
	}{
		{"a tier that goes meanwhile", func(e *engine) { e.failAfter = 3 }, "/v1/completions answered 503: coder gave way", false, 1},
		{"a stream that is cut", func(e *engine) { e.breaks = "cut" }, "the stream broke: unexpected EOF", true, 0},
		{"an error within a stream", func(e *engine) { e.breaks = "error" }, "the stream ended with an error: the engine died", true, 0},
		{"a stream that is no JSON", func(e *engine) { e.breaks = "nonsense" }, "cannot read a part of the stream: invalid character '<' looking for beginning of value", true, 0},
		{"a stream without its end", func(e *engine) { e.breaks = "silent" }, "the stream ended without being complete", true, 0},
		{"nobody counts", func(e *engine) { e.counts, e.timings = false, false }, "the stream is complete, and its engine did not say how many tokens it had", true, 0},
		{"a key is wanted", func(e *engine) { e.refuse = 401 }, "the gateway wants a key: put one into the variable TIERD_KEY (`tierctl key` makes one)", true, 0},
		{"a text for a reason", func(e *engine) { e.refuse, e.refuseWith = 502, "<html>\n  bad\n" }, "/tokenize answered 502: <html> bad", true, 0},
	} {
		t.Run(row.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := llama()
				row.change(e)
				got := planOf([]int{100}, []int{1}).Measure(t.Context(), subject(e), quiet)
				words, kept := got.Skipped, 0
				if !row.tier {
					words = got.Points[0].Skipped
					kept = got.Points[0].TTFT.Count
				}
				if words != row.words || kept != row.kept || row.tier != (got.Skipped != "") {
					t.Errorf("%+v", got)
				}
			})
		})
	}
}

func TestTimingsAloneCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := llama()
		e.counts = false
		got := planOf([]int{100}, []int{1}).Measure(t.Context(), subject(e), quiet)
		same(t, "generation", got.Points[0].Writing, 50, 3)
	})
}

func TestStepsTellHowFarItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plan := planOf([]int{0, 100}, []int{1})
		plan.Runs = 2
		var steps []Step
		plan.Measure(t.Context(), subject(llama()), func(s Step) { steps = append(steps, s) })
		if len(steps) != 6 {
			t.Fatalf("%+v", steps)
		}
		for i, s := range steps {
			if s.Index != i/3 || s.Over != (i%3 == 2) || s.Point.Depth != 100*(i/3) {
				t.Errorf("step %d: %+v", i, s)
			}
		}
	})
}

func TestThePercentIsOfWhatAllStreamsMayDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := subject(vllm())
		s.Tier.Bandwidth = &Bandwidth{Bytes: 100e9}
		s.Cost = Cost{Weights: 1e9, KV: func(depth int) uint64 { return uint64(depth) * 1e6 }}
		got := planOf([]int{1000}, []int{1}).Measure(t.Context(), s, quiet).Points[0]
		if got.KV != 1e9 || got.Bound == nil || *got.Bound != 50 || *got.Percent < 99.99 || *got.Percent > 100.01 {
			t.Errorf("%+v", got)
		}
		s.Tier.Bandwidth = nil
		if got := planOf([]int{1000}, []int{1}).Measure(t.Context(), s, quiet).Points[0]; got.Bound != nil || got.Percent != nil {
			t.Errorf("without a bandwidth: %+v", got)
		}
	})
}

func TestAModelOfFewTokensHasNoPrompts(t *testing.T) {
	few := roundTrip(func(*http.Request) (*http.Response, error) { return answerOf(200, `{"tokens":[1,2,3,3,3]}`), nil })
	_, err := newPrompts(t.Context(), Client{HTTP: few, Base: "http://x"}, rand.New(rand.NewPCG(1, 2)))
	if err == nil {
		t.Error("prompts of three tokens")
	}
}
