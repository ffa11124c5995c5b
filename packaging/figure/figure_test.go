package figure

import (
	"regexp"
	"strings"
	"testing"
)

func TestALineHasItsFigureItsGoalAndTheVerdict(t *testing.T) {
	for want, c := range map[string]struct {
		value, limit float64
		op           string
		ok           bool
	}{
		"bench: x-us 84.2 goal <= 100 ok\n":       {84.21, 100, "<=", true},
		"bench: x-us 100.4 goal <= 100 short\n":   {100.4, 100, "<=", false},
		"bench: x-us 0.512 goal >= 0.400 ok\n":    {0.5119, 0.4, ">=", true},
		"bench: x-us 26710 goal >= 30000 short\n": {26709.6, 30000, ">=", false},
		"bench: x-us -3.140 goal <= 30 ok\n":      {-3.14, 30, "<=", true},
		"bench: x-us 0 goal <= 0 ok\n":            {0, 0, "<=", true},
	} {
		var out strings.Builder
		write(&out, "x-us", c.value, c.op, c.limit, c.ok)
		if out.String() != want {
			t.Errorf("got %q, want %q", out.String(), want)
		}
		if !regexp.MustCompile(`^bench: \S+ \S+ goal (<=|>=) \S+ (ok|short)\n$`).MatchString(out.String()) {
			t.Errorf("%q is not of the form", out.String())
		}
	}
}

func TestTheUnitIsTheEndOfTheName(t *testing.T) {
	for want, unit := range map[string]string{"x": "", "x-ms": "ms", "x-us": "µs", "x-mib": "MiB", "x-per-min": "/min"} {
		if got := named("x", unit); got != want {
			t.Errorf("%q: got %q, want %q", unit, got, want)
		}
	}
}

func TestAPrinterPrintsElsewhere(t *testing.T) {
	var out strings.Builder
	To(&out).AtMost("x", 1, "ms", 2)
	To(&out).AtLeast("y", 1, "", 2)
	if want := "bench: x-ms 1 goal <= 2 ok\nbench: y 1 goal >= 2 short\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}
