package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tierd/tierd/agent/bench"
)

func TestBenchsTableFitsATerminal(t *testing.T) {
	b := newBenchBed(t)
	if status := b.run(t, "coder", "--depth", "0,1K", "--concurrency", "1,4", "--tokens", "4", "--bandwidth", "256"); status != 0 {
		t.Fatalf("status %d: %s", status, b.errs.String())
	}
	out := b.out.String()
	for line := range strings.Lines(out) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	for _, want := range []string{
		"coder/main: small on vllm 0.19.1\n", "DEPTH  REQS  TTFT ", "\n0      1     ", "\n1024   1     ", "–",
		"\n  0 tokens, 4 requests: at most 2 at a time are let through\n",
		"\n  Bound: 256 GB/s (by --bandwidth),\n  by 400B of weights for each token (1 of 4 experts) and its KV cache.\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
}

// TestTheWidestTableFitsATerminal holds for figures of any size that a model can have.
func TestTheWidestTableFitsATerminal(t *testing.T) {
	wide := func() *bench.Figure { return &bench.Figure{Median: 99949, Min: 0.0123, Max: 99949, Count: 3} }
	percent := 100.0
	var out strings.Builder
	printBenchTier(&out, bench.Tier{
		Tier: "orchestrator", Variant: "llama-rocm", Engine: "llama", Version: "b11669-Debian", Model: strings.Repeat("long/", 20),
		Points: []bench.Point{{Depth: 131072, Streams: 1024, TTFT: wide(), CachedTTFT: wide(), Reading: wide(), Writing: wide(), Total: wide(), Percent: &percent}},
	})
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > pageWidth {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

func TestDigits(t *testing.T) {
	for n, want := range map[float64]string{0: "0.000", 0.0123: "0.012", 0.9996: "1.00", 1.234: "1.23", 9.996: "10.0", 12.34: "12.3", 99.96: "100", 1290.4: "1290", 9999.6: "10.0k", 99949: "99.9k", 817825: "818k"} {
		if got := digits(n); got != want {
			t.Errorf("%v is %s, want %s", n, got, want)
		}
	}
}
