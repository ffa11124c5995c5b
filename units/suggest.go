package units

import "fmt"

// suggest names the nearest of the known words: `; did you mean "memory"?`. Nothing when none is near.
func suggest(word string, known []string) string {
	near := nearest(word, known)
	if near == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", near)
}

// nearest is the known word with the fewest differences, "" when none is near.
func nearest(word string, known []string) string {
	best, least := "", 1+min(max(len(word)/2, 1), 3)
	if len(word) > 40 { // no name is so long, and the distance costs its square
		return ""
	}
	for _, k := range known[:min(len(known), 64)] { // a file of garbage may have thousands
		if d := Distance(word, k); d < least {
			best, least = k, d
		}
	}
	return best
}

// Distance is how many bytes must be inserted, dropped, replaced or swapped with their neighbour to turn a into b.
func Distance(a, b string) int {
	before := make([]int, len(b)+1)
	row := make([]int, len(b)+1)
	next := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next[j+1] = min(next[j]+1, row[j+1]+1, row[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row, next = row, next, before
	}
	return row[len(b)]
}

// each lists what f makes of each element.
func each[T any](list []T, f func(T) string) []string {
	out := make([]string, len(list))
	for i, e := range list {
		out[i] = f(e)
	}
	return out
}
