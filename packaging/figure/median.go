package figure

import "slices"

// Median of at least one value; of an even number, what lies in the middle between two. The values stay as they are.
func Median(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	n := len(values)
	if n%2 == 1 {
		return values[n/2]
	}
	return (values[n/2-1] + values[n/2]) / 2
}
