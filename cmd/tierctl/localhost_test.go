package main

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/tierd/tierd/units"
)

func TestMemTotal(t *testing.T) {
	tests := map[string]units.Bytes{
		"MemTotal:       131072000 kB\nMemFree: 1 kB\n": 131072000 * units.KiB,
		"MemFree: 1 kB\n":        0,
		"":                       0,
		"MemTotal: many kB\n":    0,
		"MemTotal:      -5 kB\n": 0,
	}
	for text, want := range tests {
		if got := memTotal(strings.NewReader(text)); got != want {
			t.Errorf("memTotal(%q) = %d, want %d", text, got, want)
		}
	}
}

func TestGroupNames(t *testing.T) {
	got := groupNames(strings.NewReader("root:x:0:\nvideo:x:44:me,you\n# a comment: here\n\nbroken\n+::\n"))
	want := []string{"+", "root", "video"}
	if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, want) {
		t.Errorf("groups %q, want %q", names, want)
	}
}
