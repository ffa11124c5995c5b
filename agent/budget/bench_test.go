package budget

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkJudge12Tiers has the dearest question: twelve tiers are up, all of them idle, and most have to go.
func BenchmarkJudge12Tiers(b *testing.B) {
	h := halo()
	var held []Claim
	for i := range 12 {
		held = append(held, gpuTier(fmt.Sprintf("t%d", i), 10*i, 9*gib))
	}
	h = on(h, held)
	ask := asks(coder)
	ask.Evict = true
	b.ReportAllocs()
	var longest time.Duration
	for b.Loop() {
		began := time.Now()
		if v := Judge(h, ask, held); v.Answer != IfWay {
			b.Fatalf("%s: %s", v.Answer, v.Reason)
		}
		longest = max(longest, time.Since(began))
	}
	b.ReportMetric(float64(longest.Microseconds()), "max-µs")
}
