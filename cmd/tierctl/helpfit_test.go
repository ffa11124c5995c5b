package main

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestFilled(t *testing.T) {
	const text = "Show what the kernel says of\nthis machine, and more of it.\n\n  NAME  what it is\n  X     another\nAnd then."
	want := "Show what the kernel says of this\nmachine, and more of it.\n\n  NAME  what it is\n  X     another\nAnd then."
	if got := filled(text, 40); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestHang(t *testing.T) {
	for line, want := range map[string]int{
		"      --config string   plan with this file":             24,
		"  switch-orch Serve the orchestrator":                    4,
		"  BOUND     TOTAL/S in percent":                          12,
		"plain":                                                   2,
		"  a first column that takes more than half  of the line": 4,
	} {
		if got := hang(line, 60); got != want {
			t.Errorf("%q: %d, want %d", line, got, want)
		}
	}
}

// TestHelpFitsAnyTerminal holds for the text of every command, whatever terminal it is shown on.
func TestHelpFitsAnyTerminal(t *testing.T) {
	for _, path := range commandPaths(newApp().rootCommand()) {
		cmd, _, err := newApp().rootCommand().Find(path[1:])
		if err != nil {
			t.Fatal(err)
		}
		for _, width := range []int{60, 80} {
			for line := range strings.SplitSeq(filled(cmd.Long, width), "\n") {
				for part := range strings.SplitSeq(wrapped(line, width, hang(line, width)), "\n") {
					if n := utf8.RuneCountInString(part); n > width {
						t.Errorf("%s at %d columns: %d: %s", strings.Join(path, " "), width, n, part)
					}
				}
			}
		}
	}
}
