package bench

import (
	"fmt"
	"math"
)

// Comparison is a report beside an earlier one.
type Comparison struct {
	Earlier string           `json:"earlier"` // its time
	Tiers   []TierComparison `json:"tiers"`   // those that both have
}

// TierComparison is one tier in both reports.
type TierComparison struct {
	Tier    string   `json:"tier"`
	Differs []string `json:"differs,omitempty"` // why its figures do not compare: "model: a, now b"
	Ratios  []Ratio  `json:"ratios,omitempty"`
}

// Ratio is one figure in both reports.
type Ratio struct {
	Depth   int     `json:"depth"`
	Streams int     `json:"streams"`
	Figure  string  `json:"figure"` // its name in Point
	Before  Figure  `json:"before"`
	Now     Figure  `json:"now"`
	Ratio   float64 `json:"ratio"`   // of the medians, now / before
	Outside bool    `json:"outside"` // the spreads of both do not overlap; false where one was measured once
}

// Compare lays a report beside an earlier one.
func Compare(before, now Report) *Comparison {
	c := &Comparison{Earlier: before.Time.Format("2006-01-02 15:04"), Tiers: []TierComparison{}}
	for _, t := range now.Tiers {
		for _, b := range before.Tiers {
			if b.Tier == t.Tier && len(b.Points) > 0 && len(t.Points) > 0 {
				c.Tiers = append(c.Tiers, compareTier(b, t, before.Tokens, now.Tokens))
			}
		}
	}
	return c
}

func compareTier(before, now Tier, tokensBefore, tokensNow int) TierComparison {
	c := TierComparison{Tier: now.Tier}
	differ := func(name string, b, n any) {
		if b != n {
			c.Differs = append(c.Differs, fmt.Sprintf("%s: %v, now %v", name, orNone(b), orNone(n)))
		}
	}
	differ("model", before.Model, now.Model)
	differ("variant", before.Variant, now.Variant)
	differ("engine", before.Engine, now.Engine)
	differ("version", before.Version, now.Version)
	differ("bytes of weights read", before.Weights, now.Weights)
	differ("tokens", tokensBefore, tokensNow)
	if len(c.Differs) > 0 {
		return c
	}
	for _, p := range now.Points {
		for _, b := range before.Points {
			if b.Depth == p.Depth && b.Streams == p.Streams {
				c.Ratios = append(c.Ratios, ratios(b, p)...)
			}
		}
	}
	return c
}

func orNone(v any) any {
	if v == "" || v == uint64(0) {
		return "not known"
	}
	return v
}

func ratios(before, now Point) []Ratio {
	var list []Ratio
	for _, f := range []struct {
		name        string
		before, now *Figure
	}{
		{"ttft_seconds", before.TTFT, now.TTFT},
		{"cached_ttft_seconds", before.CachedTTFT, now.CachedTTFT},
		{"prompt_rate", before.Reading, now.Reading},
		{"generation_rate", before.Writing, now.Writing},
		{"total_rate", before.Total, now.Total},
	} {
		if f.before == nil || f.now == nil {
			continue
		}
		ratio := f.now.Median / f.before.Median
		if f.before.Median <= 0 || math.IsInf(ratio, 0) { // a file that somebody wrote by hand
			continue
		}
		list = append(list, Ratio{
			Depth: now.Depth, Streams: now.Streams, Figure: f.name, Before: *f.before, Now: *f.now,
			Ratio: ratio, Outside: f.now.apart(*f.before),
		})
	}
	return list
}
