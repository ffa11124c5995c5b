package pages

import (
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

const sample = "# A page: *one*\n\nSee [that](other.md#there) and `[no](link)`, `tierctl up`.\n\n## Twice\n## Twice\n\n    tierctl down\n\n" +
	"```console status=0,3\n$ tierctl doctor\nnothing\n$ echo a \\\n  b\n```\n\n```sh not-run=network\nsudo apt install x\n```\n"

func TestAPageIsTakenApart(t *testing.T) {
	p, err := Parse("docs/x.md", sample)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"a-page-one", "twice", "twice-1"}; !reflect.DeepEqual(p.Anchors, want) {
		t.Errorf("anchors %q", p.Anchors)
	}
	if want := []Link{{3, "other.md#there"}}; !reflect.DeepEqual(p.Links, want) {
		t.Errorf("links %v", p.Links)
	}
	if want := []Span{{3, "[no](link)"}, {3, "tierctl up"}}; !reflect.DeepEqual(p.Spans, want) {
		t.Errorf("spans %v", p.Spans)
	}
	if want := []Span{{8, "tierctl down"}}; !reflect.DeepEqual(p.Stray, want) {
		t.Errorf("stray %v", p.Stray)
	}
	if len(p.Blocks) != 2 || p.Blocks[0].Lang != "console" || p.Blocks[1].NotRun() != "network" {
		t.Fatalf("blocks %+v", p.Blocks)
	}
	want := []Step{{11, "tierctl doctor", "nothing\n", []int{0, 3}}, {13, "echo a \\\n  b", "", []int{0, 3}}}
	if got := p.Blocks[0].Steps(); !reflect.DeepEqual(got, want) {
		t.Errorf("steps %+v", got)
	}
	if got := p.Blocks[1].Steps(); len(got) != 1 || got[0].Command != "sudo apt install x" {
		t.Errorf("steps %+v", got)
	}
}

func TestABlockThatIsNeverClosed(t *testing.T) {
	if _, err := Parse("docs/x.md", "a\n```sh\nls\n"); err == nil || err.Error() != "docs/x.md:2: this block is never closed" {
		t.Error(err)
	}
}

// TestTheFirstPromptIsThePrompt: output may begin with the other one.
func TestTheFirstPromptIsThePrompt(t *testing.T) {
	b := Block{Lang: "console", Text: "$ tierctl plan\n# a comment\n"}
	if got := b.Steps(); len(got) != 1 || got[0].Output != "# a comment\n" {
		t.Errorf("%+v", got)
	}
}

func TestCommandsOfAScript(t *testing.T) {
	for script, want := range map[string]string{
		"sudo tierctl up full":                            "tierctl up full",
		"tierctl check && sudo tierctl reload":            "tierctl check|tierctl reload",
		"tierctl events -f | jq '.a | .b'":                "tierctl events -f|jq .a | .b",
		"tierctl up # in the evening":                     "tierctl up",
		"A=1 B='x y' tierctl host > out 2>/dev/null":      "tierctl host",
		"echo 'a\nb' \\\n  c":                             "echo a\nb c",
		"HIPCXX=\"$(hipconfig -l)/clang\" cmake -B build": "cmake -B build",
		"cat > f <<'END'\nls\nEND\nmake":                  "cat|make",
		"":                                                "",
	} {
		var got []string
		for _, words := range (Step{Command: script}).Lines() {
			got = append(got, strings.Join(words, " "))
		}
		if strings.Join(got, "|") != want {
			t.Errorf("%q: got %q, want %q", script, strings.Join(got, "|"), want)
		}
	}
}

func TestWhatAPageShowsOfTheOutput(t *testing.T) {
	for _, c := range []struct {
		rule, shown, output string
		match               bool
	}{
		{"the same", "a\nb\n", "a\nb\n", true},
		{"something else", "a\n", "b\n", false},
		{"more than is shown", "a\n", "a\nb\n", false},
		{"dots within a line", "a ... c", "a b c", true},
		{"dots do not cross a line", "a ... c", "a\nc", false},
		{"a line of dots is any lines", "a\n...\nd", "a\nb\nc\nd", true},
		{"or none", "a\n...\nd", "a\nd", true},
		{"at the end", "a\n...", "a\nb", true},
		{"at the beginning", "...\nb", "a\nb", true},
		{"where there may be none", "...\nb", "b", true},
		{"empty lines are not counted", "a\nb", "a\n\nb", true},
		{"white space differs", "TIER  STATE\norch  ready", "TIER      STATE\norch      ready", true},
		{"a time differs", "up full: done in 0s", "up full: done in 1m 12s", true},
		{"a date differs", "1 done 2026-11-26 05:34:00", "1 done 2027-01-01 00:00:01", true},
		{"a size does not", "512MiB", "513MiB", false},
		{"what has a meaning in patterns is plain text", "a (b) [c] $x.", "a (b) [c] $x.", true},
		{"and no pattern", "a.c", "abc", false},
	} {
		t.Run(c.rule, func(t *testing.T) {
			if got := Match(c.shown, c.output); got != c.match {
				t.Errorf("%q and %q: %v", c.shown, c.output, got)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(sample)
	f.Add("```console\n# a\n\\\n```")
	f.Add("    make x\n[a](b)`c`")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse("x.md", text)
		if err != nil || !utf8.ValidString(text) {
			return
		}
		for _, b := range p.Blocks {
			for _, s := range b.Steps() {
				s.Lines()
				if out := strings.TrimSpace(s.Output); !strings.Contains(out, dots) && !strings.Contains(out, "…") && !Match(s.Output, out) {
					t.Errorf("what is shown does not match itself: %q", out)
				}
			}
		}
	})
}
