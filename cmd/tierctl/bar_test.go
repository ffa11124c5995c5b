package main

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestBars(t *testing.T) {
	seg := func(letter rune, n uint64) segment { return segment{letter: letter, bytes: n} }
	for _, c := range []struct {
		rule string
		size uint64
		list []segment
		want string
	}{
		{"nothing is all dots", 100, nil, "...................."},
		{"each segment has its part", 100, []segment{seg('A', 50), seg('B', 25)}, "AAAAAAAAAABBBBB....."},
		{"what is small is seen all the same", 100, []segment{seg('A', 50), seg('u', 1)}, "AAAAAAAAAAu........."},
		{"what is nothing is not", 100, []segment{seg('A', 0), seg('B', 100)}, "BBBBBBBBBBBBBBBBBBBB"},
		{"what does not fit goes beyond the stroke", 100, []segment{seg('A', 150), seg('B', 50)}, "AAAAAAAAA|AAAAABBBBB"},
		{"also between two segments", 100, []segment{seg('A', 100), seg('B', 100)}, "AAAAAAAAA|BBBBBBBBBB"},
		{"of no size at all", 0, []segment{seg('A', 5)}, "|AAAAAAAAAAAAAAAAAAA"},
	} {
		if got := drawBar(c.list, c.size, 20); got != c.want {
			t.Errorf("%s: %s, want %s", c.rule, got, c.want)
		}
	}
}

func TestABarIsAsWideAsItIsMeantToBe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.IntRange(10, 200).Draw(t, "width")
		var list []segment
		var sum uint64
		for i := range rapid.IntRange(0, 9).Draw(t, "segments") {
			n := rapid.Uint64Range(0, 1<<40).Draw(t, "bytes")
			sum += n
			list = append(list, segment{letter: rune('A' + i), bytes: n})
		}
		size := rapid.Uint64Range(1, 1<<42).Draw(t, "size")
		bar := drawBar(list, size, width)
		if len(bar) != width {
			t.Fatalf("%d wide: %s", len(bar), bar)
		}
		if strings.Contains(bar, "|") != (sum > size) {
			t.Errorf("%d of %d: %s", sum, size, bar)
		}
		for _, s := range list {
			if strings.ContainsRune(bar, s.letter) != (s.bytes > 0) {
				t.Errorf("%c of %d bytes: %s", s.letter, s.bytes, bar)
			}
		}
	})
}

func TestEveryTierHasALetterOfItsOwn(t *testing.T) {
	for names, want := range map[string]string{
		"orch coder reviewer utility": "OCRU",
		"coder chat c cc":             "CHAB",
		"a-1 2b 3":                    "ABC",
		"":                            "",
	} {
		if got := string(letters(strings.Fields(names))); got != want {
			t.Errorf("%s: %s, want %s", names, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		seen := map[rune]bool{}
		for _, r := range letters(rapid.SliceOfN(rapid.StringMatching(`[a-z][a-z0-9-]{0,8}`), 0, 26).Draw(t, "names")) {
			if seen[r] {
				t.Errorf("%c twice", r)
			}
			seen[r] = true
		}
	})
}
