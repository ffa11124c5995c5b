package main

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestWrapped(t *testing.T) {
	const words = "the engine is not there; install it, or name another one"
	tests := []struct {
		rule          string
		text          string
		width, indent int
		want          string
	}{
		{"what fits stays", "the engine", 40, 2, "the engine"},
		{"no width is no limit", words, 0, 2, words},
		{"a terminal that is too narrow breaks lines itself", words, 39, 2, words},
		{"lines end between words and go on indented", words, 40, 2, "the engine is not there; install it, or\n  name another one"},
		{"the first line keeps its own indent", "    why: " + words, 40, 9, "    why: the engine is not there;\n         install it, or name another one"},
		{
			"a command in backquotes stays whole", "the model is not there; `tierctl pull Qwen/Qwen2.5-3B --into /srv/models` fetches it", 40, 2,
			"the model is not there;\n  `tierctl pull Qwen/Qwen2.5-3B --into /srv/models`\n  fetches it",
		},
		{"one backquote is a letter", "a ` is no code, and lines end here and there", 40, 2, "a ` is no code, and lines end here and\n  there"},
		{"letters are counted, not bytes", strings.Repeat("größe ", 6) + "größe", 41, 2, strings.Repeat("größe ", 6) + "größe"},
		{"an indent that leaves no room is given up", words, 40, 30, words},
	}
	for _, tt := range tests {
		if got := wrapped(tt.text, tt.width, tt.indent); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.rule, got, tt.want)
		}
	}
}

// TestWrappingLosesNothing: with the line breaks taken out again the text is what it was, and a line is too long only for one
// word alone.
func TestWrappingLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(rapid.StringMatching("[a-zé`;]{1,50} {0,2}"), 1, 30).Draw(t, "words"), " ")
		width := rapid.IntRange(0, 120).Draw(t, "width")
		indent := rapid.IntRange(0, 20).Draw(t, "indent")
		got := wrapped(text, width, indent)
		if plain(got) != plain(text) {
			t.Fatalf("%q became %q", text, got)
		}
		if width < max(leastWidth, 2*indent) {
			return
		}
		for i, line := range strings.Split(got, "\n") {
			if _, word := nextWord(line); utf8.RuneCountInString(line) > width && word != strings.TrimLeft(line, " ") {
				t.Fatalf("line %d is longer than %d: %q", i+1, width, line)
			}
		}
	})
}

func plain(text string) string { return strings.Join(strings.Fields(text), " ") }

func TestAPipeGetsOneLine(t *testing.T) {
	var out bytes.Buffer
	text := strings.Repeat("word ", 100) + "end"
	if say(&out, 2, text); out.String() != text+"\n" {
		t.Errorf("got %q", out.String())
	}
}
