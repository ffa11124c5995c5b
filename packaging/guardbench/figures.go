package main

import (
	"slices"
	"strings"

	"github.com/tierd/tierd/packaging/figure"
	"github.com/tierd/tierd/packaging/guardbench/trial"
)

// figures are tier-guard's, with their goals; "" where it was not among the guards. A figure that no run has is left out.
func figures(all []trial.Outcome) string {
	var text strings.Builder
	out := figure.To(&text)
	for _, s := range trial.Scenarios {
		if g := of(all, s.Key, trial.TierGuard); len(g) > 0 {
			right := 0
			for _, o := range g {
				if o.Right {
					right++
				}
			}
			out.AtLeast("guard-"+s.Key+"-right", float64(right)/float64(len(g)), "", 1)
		}
	}
	atMost := func(name string, values []float64, reduce func([]float64) float64, unit string, limit float64) {
		if len(values) > 0 {
			out.AtMost(name, reduce(values), unit, limit)
		}
	}
	// g fills gigabytes a second, and is told apart.
	leaks := ours(all, func(s trial.Scenario) bool { return s.Kind != "cache" && s.Key != "g" })
	atMost("guard-to-sigterm-median", leaks.each(term), figure.Median, "ms", 20)
	atMost("guard-to-sigterm-worst", leaks.each(term), slices.Max, "ms", 50)
	atMost("guard-g-to-sigterm-worst", ours(all, keyed("g")).each(term), slices.Max, "ms", 50)
	atMost("guard-zram-to-sigterm-worst", ours(all, func(s trial.Scenario) bool { return s.Zram }).each(term), slices.Max, "ms", 50)
	atMost("guard-to-sigterm-of-earlyoom", ratios(all, term, "a", "b", "c", "m"), figure.Median, "", 0.3)
	atMost("guard-d-to-sigterm-of-earlyoom", ratios(all, term, "d"), figure.Median, "", 0.05)
	atMost("guard-to-enough-again-of-earlyoom", ratios(all, back, "a", "b", "c", "d", "m"), figure.Median, "", 0.7)
	bounded := ours(all, func(s trial.Scenario) bool { return !s.Endless && s.Key != "g" })
	under := func(o trial.Outcome) *float64 { return known(o.UnderHard.Seconds(), true) }
	atMost("guard-under-hard-worst", bounded.each(under), slices.Max, "s", 0)
	atMost("guard-g-under-hard-worst", ours(all, keyed("g")).each(under), slices.Max, "s", 0)
	ooms := func(o trial.Outcome) *float64 { return known(float64(o.OOMKills), true) }
	atMost("guard-oom-kills-worst", ours(all, func(s trial.Scenario) bool { return s.Key != "u" }).each(ooms), slices.Max, "", 0)
	rss := func(o trial.Outcome) *float64 { return known(float64(o.RSS)/(1<<20), o.RSS > 0) }
	atMost("guard-resident-worst", ours(all, func(trial.Scenario) bool { return true }).each(rss), slices.Max, "MiB", 5)
	return text.String()
}

func keyed(key string) func(trial.Scenario) bool {
	return func(s trial.Scenario) bool { return s.Key == key }
}

// ours are tier-guard's runs of those scenarios.
func ours(all []trial.Outcome, wanted func(trial.Scenario) bool) (g group) {
	for _, s := range trial.Scenarios {
		if wanted(s) {
			g = append(g, of(all, s.Key, trial.TierGuard)...)
		}
	}
	return g
}

// ratios are tier-guard's numbers over those of earlyoom in the same round of the same scenario, where both have one.
func ratios(all []trial.Outcome, value func(trial.Outcome) *float64, scenarios ...string) (list []float64) {
	for _, key := range scenarios {
		for _, we := range of(all, key, trial.TierGuard) {
			for _, they := range of(all, key, trial.EarlyOOM) {
				a, b := value(we), value(they)
				if we.Round == they.Round && a != nil && b != nil && *b > 0 {
					list = append(list, max(*a, 0) / *b)
				}
			}
		}
	}
	return list
}
