package units

import (
	"fmt"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"pgregory.net/rapid"
)

func TestEachKeyIsFoundAtItsLine(t *testing.T) {
	text := `# a comment with [brackets] and key = value
top = "a [string] # with everything = in it"

[ tier . "quoted name" ]   # spaces around the parts
port = 1
dotted.key = 2
'literal' = 3

[tier.b.variant.x]
list = [ # a comment inside
  "one", # [not.a.table]
  "two",
]
after = 1
multi = """
fake = 1
[fake]
\""" still inside """
behind = 2
lit = '''
it's = 1'''''
inline = { a = 1, b = { c = [1, 2], "d e" = 3 }, f = "}" }
last = 5

[tier.b]
port = 6
`
	s := newSource(text)
	for path, want := range map[string]int{
		"top": 2, "tier": 4, "tier/quoted name": 4, "tier/quoted name/port": 5, "tier/quoted name/dotted": 6,
		"tier/quoted name/dotted/key": 6, "tier/quoted name/literal": 7, "tier/b/variant": 9, "tier/b/variant/x": 9,
		"tier/b/variant/x/list": 10, "tier/b/variant/x/after": 14, "tier/b/variant/x/multi": 15, "tier/b/variant/x/behind": 19,
		"tier/b/variant/x/lit": 20, "tier/b/variant/x/inline": 22, "tier/b/variant/x/inline/a": 22,
		"tier/b/variant/x/inline/b/c": 22, "tier/b/variant/x/inline/b/d e": 22, "tier/b/variant/x/inline/f": 22,
		"tier/b/variant/x/last": 23, "tier/b": 25, "tier/b/port": 26,
	} {
		parts := strings.Split(path, "/")
		if got := s.at(parts...); got != want {
			t.Errorf("%s is at line %d, want %d", path, got, want)
		}
		if !s.has(parts...) {
			t.Errorf("%s is not there", path)
		}
	}
	for _, path := range []string{"fake", "not", "tier/b/variant/x/fake", "tier/b/variant/x/inline/c"} {
		if s.has(strings.Split(path, "/")...) {
			t.Errorf("%s was found", path)
		}
	}
}

func TestAMissingKeyStandsAtItsTable(t *testing.T) {
	s := newSource("x = 1\n[a.b]\ny = 2\n")
	for path, want := range map[string]int{"a/b/z": 2, "a/z": 2, "z": 0, "a/b/y/deeper": 3} {
		if got := s.at(strings.Split(path, "/")...); got != want {
			t.Errorf("%s is at line %d, want %d", path, got, want)
		}
	}
}

func TestKeysKeepTheOrderOfTheFile(t *testing.T) {
	c := parse(t, edit(t, "[tier.coder.variant.vllm]", "[tier.coder.variant.zeta]"))
	var order []string
	for _, tier := range c.Tiers {
		for _, v := range tier.Variants {
			order = append(order, tier.Name+"/"+v.Name)
		}
	}
	if got := strings.Join(order, " "); got != "coder/zeta coder/cloud utility/llama" {
		t.Errorf("the order is %s", got)
	}
}

// checkSource compares the finder with the parser: every key that the one knows the other must find, at a line that has it.
func checkSource(t interface{ Errorf(string, ...any) }, text string) {
	s := newSource(text)
	var raw map[string]any
	meta, err := toml.Decode(text, &raw)
	if err != nil {
		return
	}
	count := strings.Count(text, "\n") + 1
	for _, key := range meta.Keys() {
		if strings.ContainsAny(key.String(), `\"`) { // escapes are not resolved, see source.str
			continue
		}
		if at := s.at(key...); at < 1 || at > count {
			t.Errorf("%v is at line %d of %d in\n%s", key, at, count, text)
		}
	}
}

func TestEveryKeyOfRandomFilesIsFound(t *testing.T) {
	name := rapid.SampledFrom([]string{"a", "b", "tier", "x-1", "long_name"})
	value := rapid.SampledFrom([]string{"1", `"s # ]"`, `'l = 1'`, "[1, 2]", "[\n 1,\n # c\n 2 ]", `{ k = 1, l = [{ m = "}" }] }`,
		"\"\"\"\nt = 1\n\"\"\"", "1979-05-27T07:32:00Z", "true", "'''\n[x]\n'''", "1.5"})
	rapid.Check(t, func(t *rapid.T) {
		var b strings.Builder
		for i := range rapid.IntRange(1, 6).Draw(t, "tables") {
			if i > 0 {
				fmt.Fprintf(&b, "[%s.t%d] # c\n", name.Draw(t, "table"), i)
			}
			for j := range rapid.IntRange(0, 4).Draw(t, "keys") {
				fmt.Fprintf(&b, "%s%d = %s\n", name.Draw(t, "key"), j, value.Draw(t, "value"))
			}
		}
		text := b.String()
		s := newSource(text)
		var raw map[string]any
		meta, err := toml.Decode(text, &raw)
		if err != nil {
			t.Skip(err)
		}
		all := strings.Split(text, "\n")
		for _, key := range meta.Keys() {
			if !s.has(key...) {
				t.Fatalf("%v was not found in\n%s", key, text)
			}
			if at := s.at(key...); !strings.Contains(all[at-1], key[len(key)-1]) && len(key) > 1 {
				t.Fatalf("%v is not in line %d of\n%s", key, at, text)
			}
		}
	})
}

func FuzzSource(f *testing.F) {
	f.Add(base)
	for _, seed := range []string{"a = [", "[[a]]\nb=1", `"\"" = 1`, "a = '''", "a.b.c = {", "= 1", "[", "a = \"\\", "\"\"\"\"\"\" = 1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) { checkSource(t, text) })
}
