package units

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestEveryKindOfFieldIsDecoded(t *testing.T) {
	c := defaults()
	d := decode("f", []byte(`
[host]
reserve = "1.5GiB"
models = []
[engine.e]
gpu = false
command = ["a", 'b']
env = { A = "1", "B" = "2" }
[engine.e2.env]
C = "3"
[tier.t]
priority = -5
idle_stop = "never"
drain = "0s"
[tier.t.variant.v]
context = 100
batch_tokens = "1K"
gpu_layers = 0
gpu_utilization = 0.5
prefix_caching = false
load_timeout = "1m"
[tier.t.variant.w]
gpu_utilization = 1
`), c)
	if got := lines(d.faults.list()); got != "" {
		t.Fatal(got)
	}
	no, drain, layers := false, time.Duration(0), 0
	v, w := defaultVariant(), defaultVariant()
	v.Name, v.Context, v.BatchTokens, v.GPULayers, v.Utilization, v.PrefixCaching, v.LoadTimeout = "v", 100, 1024, &layers, 0.5, false, time.Minute
	w.Name, w.Utilization = "w", 1
	want := defaults()
	want.Host = HostConfig{Reserve: GiB + 512*MiB, Models: []string{}}
	want.Engines = []Engine{
		{Name: "e", GPU: &no, Command: []string{"a", "b"}, Env: map[string]string{"A": "1", "B": "2"}},
		{Name: "e2", Env: map[string]string{"C": "3"}},
	}
	want.Tiers = []Tier{{Name: "t", Priority: -5, Keeps: 2 * time.Minute, MaxWait: time.Minute, Start: StartManual, Drain: &drain, Variants: []Variant{v, w}}}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got\n%+v\nwant\n%+v", c, want)
	}
}

func TestDottedKeysAndInlineTablesMeanTheSame(t *testing.T) {
	a := parse(t, base)
	b := parse(t, edit(t,
		"[tier.utility]\nport = 8012\nstart = \"boot\"\n\n[tier.utility.variant.llama]\nengine = \"llama\"\nmodel = \"small.gguf\"\ncontext = \"8K\"\nmemory = \"2GiB\"\n",
		"[tier]\nutility.port = 8012\nutility.start = \"boot\"\nutility.variant.llama = { engine = \"llama\", model = \"small.gguf\", context = \"8K\", memory = \"2GiB\" }\n"))
	a.source, b.source = nil, nil
	if !reflect.DeepEqual(a, b) {
		t.Errorf("got\n%+v\nwant\n%+v", b, a)
	}
}

func TestTablesOfTheWrongShape(t *testing.T) {
	for text, want := range map[string]string{
		"tier = 3":                 "f:1: tier must be tables with a name, as in [tier.NAME], not 3",
		"[tier]\na = \"x\"":        "f:2: a in [tier] must be a table, as in [tier.a], not the text \"x\"",
		"[tier.a]\nvariant = true": "f:2: variant in [tier.a] must be tables with a name, as in [tier.a.variant.NAME], not true",
		"host = []":                "f:1: host must be a table, not a list",
		"[[host]]\nreserve = 1":    "f:1: host must be a table, not a list",
		"[engine.x]\nenv = 1.5":    "f:2: env in [engine.x] must be a table of texts, as in { NAME = \"value\" }, not 1.5",
		"[host.reserve]\nx = 1":    "f:1: reserve in [host] must be a size in quotes, as in \"12GiB\", not a table",
		"[tier.\"a\\nb\"]\nq = 1":  "f:2: unknown key \"q\" in [tier.a\\nb]",
		"\"\" = 1":                 "f:1: unknown key \"\"",
		"\"-\" = 1":                "f:1: unknown key \"-\"",
		"Name = 1":                 "f:1: unknown key \"Name\"",
	} {
		d := decode("f", []byte(text), defaults())
		if got := lines(d.faults.list()); got != want {
			t.Errorf("%q: got\n%s\nwant\n%s", text, got, want)
		}
	}
}

func TestOnlyUTF8IsRead(t *testing.T) {
	_, faults := ParseConfig("f", []byte("[tier.a]\nrole = \"\xff\"\n"))
	if len(faults) != 1 || !strings.HasPrefix(faults[0].Error(), "f:2: this is not TOML: ") {
		t.Errorf("got %s", lines(faults))
	}
}

func TestWindowsLineEndsChangeNothing(t *testing.T) {
	c := parse(t, strings.ReplaceAll(base, "\n", "\r\n"))
	if at := c.line("tier", "utility", "port"); at != 30 {
		t.Errorf("port is at line %d", at)
	}
}

// A slip of the editor: a line is dropped, doubled, or a character of it is another.
func TestASlipIsToldAtALineOfTheFile(t *testing.T) {
	all := strings.Split(strings.TrimSuffix(base, "\n"), "\n")
	rapid.Check(t, func(t *rapid.T) {
		text := append([]string{}, all...)
		for range rapid.IntRange(1, 3).Draw(t, "slips") {
			i := rapid.IntRange(0, len(text)-1).Draw(t, "line")
			switch rapid.IntRange(0, 2).Draw(t, "kind") {
			case 0:
				text = append(text[:i], text[i+1:]...)
			case 1:
				text = append(text[:i+1], text[i:]...)
			case 2:
				if n := len(text[i]); n > 0 {
					at := rapid.IntRange(0, n-1).Draw(t, "column")
					text[i] = text[i][:at] + string(rapid.RuneFrom([]rune(`abz09-_."'=[]{}#\/ `)).Draw(t, "rune")) + text[i][at+1:]
				}
			}
		}
		c, faults := ParseConfig("f", []byte(strings.Join(text, "\n")))
		if c == nil && len(faults) == 0 {
			t.Fatal("no configuration and no reason")
		}
		for _, f := range faults {
			if f.Line < 0 || f.Line > len(text)+1 {
				t.Fatalf("line %d of %d: %s", f.Line, len(text), f.Error())
			}
		}
	})
}

func TestFaultsAreSortedAndToldOnce(t *testing.T) {
	fs := &faults{file: "f"}
	fs.add(3, "", "three")
	fs.add(1, "a", "one")
	fs.add(3, "", "three")
	fs.warn(2, "", "two")
	fs.add(0, "", "whole file")
	want := "f: whole file\nf:1: one\nf:2: warning: two\nf:3: three"
	if got := lines(fs.list()); got != want {
		t.Errorf("got\n%s", got)
	}
}

func TestWhatFollowsFromAValueThatCannotBeReadIsNotTold(t *testing.T) {
	fs := &faults{file: "f"}
	fs.unread(2, "", "no number")
	fs.unread(2, "", "another on that line")
	fs.add(2, "", "is zero")
	fs.add(3, "", "elsewhere")
	want := "f:2: no number\nf:2: another on that line\nf:3: elsewhere"
	if got := lines(fs.list()); got != want {
		t.Errorf("got\n%s", got)
	}
}

func TestWordsAreBounded(t *testing.T) {
	long := strings.Repeat("é", 10_000)
	for name, got := range map[string]string{
		"quote": quote(long), "describe": describe(long), "oneLine": oneLine("a\nb " + long), "in": in([]string{long, long}),
	} {
		if len(got) > 200 || strings.Contains(got, "\n") {
			t.Errorf("%s: %d bytes", name, len(got))
		}
	}
	for got, want := range map[string]string{
		quote("a\tb"): `"a\tb"`, describe(int64(3)): "3", describe(true): "true", describe(1.5): "1.5", describe([]any{}): "a list",
		describe(map[string]any{}): "a table", describe(time.Time{}): "a date", in(nil): "", in([]string{"a", "b"}): " in [a.b]",
		oneLine(" two\n lines "): "two lines",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestNamesOfUnitsSocketsAndUsers(t *testing.T) {
	for _, row := range []struct {
		tier, variant string
		isDefault     bool
		unit, socket  string
	}{
		{"coder", "vllm", true, "tier-coder.service", "/run/tier/tier-coder/engine.sock"},
		{"orch", "llama", false, "tier-orch-llama.service", "/run/tier/tier-orch-llama/engine.sock"},
		{"a-b", "c-d", false, "tier-a-b-c-d.service", "/run/tier/tier-a-b-c-d/engine.sock"},
	} {
		unit := unitName(row.tier, row.variant, row.isDefault)
		if unit != row.unit || socketPath(unit) != row.socket {
			t.Errorf("%s/%s: %s, %s", row.tier, row.variant, unit, socketPath(unit))
		}
	}
	if got := userName(strings.Repeat("x", 26)); len(got) != maxUserName {
		t.Errorf("a tier of 26 characters has the user %s", got)
	}
}

// Files of one tier each, to hold that the longest names that are allowed make a unit.
func TestTheLongestNamesFit(t *testing.T) {
	text := func(tier string) string {
		return fmt.Sprintf("[engine.llama]\ncommand = [\"/l\"]\n[tier.%s]\nport = 8001\n[tier.%s.variant.v]\nengine = \"llama\"\nmodel = \"m.gguf\"\ncontext = 1\nmemory = \"1GiB\"\n", tier, tier)
	}
	parse(t, text(strings.Repeat("x", 26)))
	if c, _ := ParseConfig("f", []byte(text(strings.Repeat("x", 27)))); c != nil {
		t.Error("a name too long for a user was taken")
	}
}

func TestAConfigThatWasNotParsedHasNoLines(t *testing.T) {
	if at := (&Config{}).line("tier", "x"); at != 0 {
		t.Errorf("line %d", at)
	}
}
