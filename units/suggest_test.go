package units

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestTheNearestWordIsSuggested(t *testing.T) {
	known := []string{"memory", "model", "port", "parallel", "priority", "start", "url"}
	for word, want := range map[string]string{
		"memroy": "memory", "memmory": "memory", "modle": "model", "prot": "port", "priorty": "priority", "Start": "start",
		"paralel": "parallel", "ur": "url", "zzzzzz": "", "": "", "x": "", "budget": "",
	} {
		got := suggest(word, known)
		if want == "" && got != "" || want != "" && got != `; did you mean "`+want+`"?` {
			t.Errorf("for %q: %q, want %q", word, got, want)
		}
	}
}

func TestDistanceCountsEdits(t *testing.T) {
	for _, row := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"same", "same", 0}, {"port", "prot", 1}, {"port", "ports", 1},
		{"port", "pert", 1}, {"abcd", "badc", 2}, {"kitten", "sitting", 3},
	} {
		if got := Distance(row.a, row.b); got != row.want {
			t.Errorf("from %q to %q: %d, want %d", row.a, row.b, got, row.want)
		}
	}
}

func TestDistanceIsTheSameBothWays(t *testing.T) {
	word := rapid.StringMatching(`[a-d]{0,8}`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := word.Draw(t, "a"), word.Draw(t, "b")
		d := Distance(a, b)
		if d != Distance(b, a) {
			t.Fatalf("%q and %q: %d and %d", a, b, d, Distance(b, a))
		}
		if (d == 0) != (a == b) || d > max(len(a), len(b)) {
			t.Fatalf("%q and %q: %d", a, b, d)
		}
	})
}

func TestALongWordGetsNoSuggestion(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	if got := suggest(long, []string{long + "y"}); got != "" {
		t.Errorf("got %.40q", got)
	}
}
