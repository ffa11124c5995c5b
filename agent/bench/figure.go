package bench

import "slices"

// Figure is what several measurements of one thing came to, in the unit that its name says.
type Figure struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	Count  int     `json:"count"` // measurements
}

// figure sums measurements up; nil when there is none.
func figure(samples []float64) *Figure {
	if len(samples) == 0 {
		return nil
	}
	s := slices.Sorted(slices.Values(samples))
	n := len(s)
	return &Figure{Median: (s[(n-1)/2] + s[n/2]) / 2, Min: s[0], Max: s[n-1], Count: n}
}

// apart tells that the spreads of both do not overlap. One measurement has no spread.
func (f Figure) apart(other Figure) bool {
	return f.Count > 1 && other.Count > 1 && (f.Max < other.Min || other.Max < f.Min)
}
