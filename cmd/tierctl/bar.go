package main

import (
	"strings"
	"unicode"
)

// segment is a part of a bar: so many bytes, drawn with a letter.
type segment struct {
	letter rune
	paint  string
	bytes  uint64
}

// drawBar draws segments side by side on width cells that stand for size bytes, and what is left of them as dots. A
// segment that is not empty has a cell at least. What does not fit makes the bar stand for more, with a stroke at size.
func drawBar(segments []segment, size uint64, width int) string {
	var sum uint64
	for _, s := range segments {
		sum += s.bytes
	}
	over := sum > size
	if over {
		width-- // for the stroke
	}
	cells := shareOut(segments, max(size, sum), width)
	limit := width
	if over {
		limit = int(float64(width) * float64(size) / float64(sum))
	}
	var b strings.Builder
	at := 0
	for i, s := range segments {
		before := min(cells[i], max(limit-at, 0))
		b.WriteString(painted(strings.Repeat(string(s.letter), before), s.paint))
		if over && at <= limit && at+cells[i] > limit {
			b.WriteString("|")
		}
		b.WriteString(painted(strings.Repeat(string(s.letter), cells[i]-before), s.paint))
		at += cells[i]
	}
	b.WriteString(strings.Repeat(".", max(width-at, 0)))
	return b.String()
}

// shareOut gives each segment its cells. Where the least ones take more than their share, the widest give.
func shareOut(segments []segment, size uint64, width int) []int {
	cells := make([]int, len(segments))
	left := width
	for i, s := range segments {
		if s.bytes > 0 && size > 0 {
			cells[i] = max(1, int(float64(s.bytes)/float64(size)*float64(width)+0.5))
		}
		left -= cells[i]
	}
	for ; left < 0; left++ {
		widest := 0
		for i := range cells {
			if cells[i] > cells[widest] {
				widest = i
			}
		}
		if cells[widest] <= 1 {
			break // more segments than cells
		}
		cells[widest]--
	}
	return cells
}

// letters gives each name a capital letter of its own: its first that is still free, else any.
func letters(names []string) []rune {
	taken := map[rune]bool{}
	chosen := make([]rune, len(names))
	for i, name := range names {
		for _, r := range strings.ToUpper(name) + "ABCDEFGHIJKLMNOPQRSTUVWXYZ" {
			if unicode.IsLetter(r) && !taken[r] {
				chosen[i] = r
				break
			}
		}
		if chosen[i] == 0 {
			chosen[i] = '#'
		}
		taken[chosen[i]] = true
	}
	return chosen
}
