package bench

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestFigures(t *testing.T) {
	for _, row := range []struct {
		rule    string
		samples []float64
		want    Figure
	}{
		{"one is all three", []float64{7}, Figure{7, 7, 7, 1}},
		{"the one in the middle", []float64{9, 1, 2}, Figure{2, 1, 9, 3}},
		{"between the two in the middle", []float64{4, 1, 2, 9}, Figure{3, 1, 9, 4}},
	} {
		t.Run(row.rule, func(t *testing.T) {
			if got := figure(row.samples); got == nil || *got != row.want {
				t.Errorf("got %+v, want %+v", got, row.want)
			}
		})
	}
	if got := figure(nil); got != nil {
		t.Errorf("of nothing: %+v", got)
	}
}

func TestAFigureLiesWithinItsSpread(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		samples := rapid.SliceOfN(rapid.Float64Range(-1e9, 1e9), 1, 20).Draw(t, "samples")
		first := samples[0]
		f := figure(samples)
		if f.Min > f.Median || f.Median > f.Max || f.Count != len(samples) || first < f.Min || first > f.Max {
			t.Errorf("%+v of %v", f, samples)
		}
		if samples[0] != first {
			t.Error("the samples were sorted in their place")
		}
		other := figure(rapid.SliceOfN(rapid.Float64Range(-1e9, 1e9), 1, 20).Draw(t, "other"))
		if f.apart(*other) != other.apart(*f) || f.apart(*f) {
			t.Errorf("%+v and %+v", f, other)
		}
	})
}

func TestTheBoundIsWhatTheMemoryAllows(t *testing.T) {
	kv := func(depth int) uint64 { return uint64(depth) * 1e5 }
	dense := Cost{Weights: 28e9, KV: kv}
	halo := &Bandwidth{Bytes: 256e9}
	for _, row := range []struct {
		rule           string
		bandwidth      *Bandwidth
		cost           Cost
		depth, streams int
		want           float64 // 0: not known
	}{
		{"weights alone", halo, dense, 0, 1, 256. / 28},
		{"and what came before", halo, dense, 10000, 1, 256. / 29},
		{"streams share the weights, and have caches of their own", halo, dense, 10000, 4, 4 * 256. / 32},
		{"no bandwidth, no bound", nil, dense, 0, 1, 0},
		{"a bandwidth of nothing", &Bandwidth{}, dense, 0, 1, 0},
		{"no weights", halo, Cost{KV: kv}, 0, 1, 0},
		{"no cache", halo, Cost{Weights: 28e9}, 0, 1, 0},
	} {
		t.Run(row.rule, func(t *testing.T) {
			got, ok := bound(row.bandwidth, row.cost, row.depth, row.streams)
			if ok != (row.want > 0) || math.Abs(got-row.want) > 1e-9 {
				t.Errorf("got %v, %v, want %v", got, ok, row.want)
			}
		})
	}
}

// TestMoreStreamsMayDoMoreTogetherAndLessEach holds for whatever a model reads.
func TestMoreStreamsMayDoMoreTogetherAndLessEach(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Cost{Weights: rapid.Uint64Range(1, 1e12).Draw(t, "weights"), KV: func(d int) uint64 { return uint64(d) * 1000 }}
		b := &Bandwidth{Bytes: rapid.Float64Range(1, 1e13).Draw(t, "bandwidth")}
		depth, n := rapid.IntRange(0, 1e6).Draw(t, "depth"), rapid.IntRange(1, 64).Draw(t, "streams")
		few, _ := bound(b, c, depth, n)
		many, _ := bound(b, c, depth, n+1)
		if many < few*(1-1e-12) || many/float64(n+1) > few/float64(n)*(1+1e-12) {
			t.Errorf("%d may do %v, %d %v", n, few, n+1, many)
		}
	})
}

func TestARateNeedsATimeAndSomethingThatCame(t *testing.T) {
	for _, row := range []struct {
		rule string
		n    int
		in   time.Duration
		want []float64
	}{
		{"tokens a second", 30, 2 * time.Second, []float64{1, 15}},
		{"an answer of one token has no time between two", 0, time.Second, []float64{1}},
		{"a clock that stood still", 5, 0, []float64{1}},
		{"a clock that was set back", 5, -time.Second, []float64{1}},
	} {
		if got := rate([]float64{1}, row.n, row.in); !slices.Equal(got, row.want) {
			t.Errorf("%s: %v, want %v", row.rule, got, row.want)
		}
	}
}

func TestABandwidthIsWrittenForAPerson(t *testing.T) {
	for bytes, want := range map[float64]string{256e9: "256 GB/s (x)", 87.654e9: "87.7 GB/s (x)", 1.2e12: "1200 GB/s (x)"} {
		if got := (Bandwidth{Bytes: bytes, Source: "x"}).String(); got != want {
			t.Errorf("%v is %q, want %q", bytes, got, want)
		}
	}
}
