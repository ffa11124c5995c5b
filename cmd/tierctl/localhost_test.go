package main

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

func TestGroupNames(t *testing.T) {
	got := groupNames(strings.NewReader("root:x:0:\nvideo:x:44:me,you\n# a comment: here\n\nbroken\n+::\n"))
	want := []string{"+", "root", "video"}
	if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, want) {
		t.Errorf("groups %q, want %q", names, want)
	}
}
