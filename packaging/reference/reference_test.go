package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

const top = "../.."

// TestPagesAreWhatTheTypesGive fails when a key, a default, a bound or a text has changed and the pages have not.
func TestPagesAreWhatTheTypesGive(t *testing.T) {
	pages, err := generate(top)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pages {
		is, err := os.ReadFile(filepath.Join(top, p.name))
		if err != nil {
			t.Fatal(err)
		}
		if string(is) != p.text {
			t.Errorf("%s is not what the types give: run `go run ./packaging/reference` and read the diff", p.name)
		}
	}
}

// TestWhatTheTypesSay shows by examples that the checks were understood: a bound or a list that is not found would be missing
// from the page without a word.
func TestWhatTheTypesSay(t *testing.T) {
	n, err := parseNotes(keysText)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ table, key, facts string }{
		{"host", "reserve", "size; left out: `\"12GiB\"`"},
		{"host", "keep_free", "size; left out: \"8GiB\", or `reserve` if that is less"},
		{"guard", "enabled", "true or false; left out: `true`"},
		{"gateway", "port", "whole number; 1 to 65535; left out: `8000`"},
		{"gateway", "hold", "time; 1s to 1h; left out: `\"4m\"`"},
		{"gateway", "max_body", "size; 1MiB to 1GiB; left out: `\"64MiB\"`"},
		{"gateway.key.NAME", "scopes", "list of texts; of `\"models\"`, `\"metrics\"`; left out: `[\"models\"]`"},
		{"engine.NAME", "command", "list of texts; must be given for vllm and llama"},
		{"tier.NAME", "start", "text; one of `\"boot\"`, `\"demand\"`, `\"manual\"`; left out: `\"manual\"`"},
		{"tier.NAME", "priority", "whole number; 0 to 100; left out: `50`"},
		{"tier.NAME", "keepalive", "text; only `\"comments\"`; left out: nothing is sent before the engine has answered, so that its status reaches the client"},
		{"tier.NAME.variant.NAME", "context", "tokens; must be given for vllm and llama"},
		{"tier.NAME.variant.NAME", "parallel", "whole number; 0 to 1024; for vllm and llama; left out: `4` for vllm, `1` for llama"},
		{"tier.NAME.variant.NAME", "load_mode", "text; one of `\"none\"`, `\"mmap\"`, `\"mlock\"`, `\"mmap+mlock\"`, `\"dio\"`; for llama; " +
			"left out: `\"mmap\"` for llama on the CPU, `\"none\"` for llama on the GPU"},
		{"tier.NAME.variant.NAME", "gpu_utilization", "number; 0 to 0.95; for vllm; left out: weights, KV cache and 2 GiB"},
		{"tier.NAME.variant.NAME", "url", "text; for remote; must be given"},
		{"mode.NAME", "tiers", "list of texts; must be given"},
	} {
		k, ok := find(row.table, row.key)
		if !ok {
			t.Errorf("%s of %s is not there", row.key, row.table)
			continue
		}
		if got := strings.Join(k.facts(n.keys[[2]string{row.table, row.key}]), "; "); got != row.facts {
			t.Errorf("%s of %s\n got %s\nwant %s", row.key, row.table, got, row.facts)
		}
	}
}

// known are the keys of the types, asked for once.
var known = sync.OnceValue(tables)

func find(tableName, name string) (key, bool) {
	for _, t := range known() {
		for _, k := range t.keys {
			if t.name == tableName && k.name == name {
				return k, true
			}
		}
	}
	return key{}, false
}

// TestBoundsAndWordsAreTaken: what the page says may be written, may be.
func TestBoundsAndWordsAreTaken(t *testing.T) {
	for _, table := range known() {
		for _, k := range table.keys {
			values := each(k.words, func(w string) string { return `"` + w + `"` })
			if k.low != "" {
				values = append(values, k.low, k.high)
			}
			for _, v := range values {
				if !taken(table.name, k, v) {
					t.Errorf("%s of %s cannot be %s", k.name, table.name, v)
				}
			}
		}
	}
}

func taken(table string, k key, v string) bool {
	switch {
	case k.wants == "size" || k.wants == "time":
		v = `"` + v + `"`
	case strings.HasPrefix(k.wants, "list"):
		v = "[" + v + "]"
	}
	return slices.ContainsFunc(engines, func(e engine) bool {
		s := sampleOf(e)
		if table == "tier.NAME" && k.name == "port" {
			s = s.with("gateway", "port", "0") // it may be the same
		}
		c, _ := s.with(table, k.name, v).parse()
		return c != nil
	})
}

// TestSamplesAreRight: the file that questions are asked with has no fault of its own, with any engine.
func TestSamplesAreRight(t *testing.T) {
	for _, e := range engines {
		if c, faults := sampleOf(e).parse(); c == nil {
			t.Errorf("%s: %v", e.name, faults)
		}
	}
}

// TestTextsAndKeysAreTheSame lists what keys.md lacks, has twice, or has too much.
func TestTextsAndKeysAreTheSame(t *testing.T) {
	all := []table{{"host", []key{
		{name: "reserve", defaults: []value{{`"12GiB"`, nil}}}, {name: "soft"}, {name: "must", must: []string{"vllm"}},
	}}}
	for _, row := range []struct{ name, text, fault string }{
		{"all there", "# host\nA\n## reserve\nB\n## soft\nC\n\nLeft out: half.\n## must\nD\n", ""},
		{"no table", "", "keys.md says nothing of the table host"},
		{"no key", "# host\nA\n## soft\nC\n\nLeft out: half.\n## must\nD\n", "keys.md says nothing of the key reserve of host"},
		{"a key without a default", "# host\nA\n## reserve\nB\n## soft\nC\n## must\nD\n", "keys.md does not say what soft of host is when it is left out"},
		{"a default that the types have", "# host\nA\n## reserve\nB\n\nLeft out: 12GiB.\n## soft\nC\n\nLeft out: half.\n## must\nD\n",
			"keys.md says what reserve of host is when it is left out; the types do"},
		{"an unknown key", "# host\nA\n## reserve\nB\n## soft\nC\n\nLeft out: half.\n## must\nD\n## old\nE\n", "keys.md has the key old of host, which tierd does not know"},
	} {
		t.Run(row.name, func(t *testing.T) {
			n, err := parseNotes(row.text)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(n.faultsOf(all), "\n"); row.fault == "" && got != "" || !strings.Contains(got, row.fault) {
				t.Errorf("got %q, want %q", got, row.fault)
			}
		})
	}
	for _, twice := range []string{"# host\nA\n# host\nB\n", "# host\nA\n## soft\nB\n## soft\nC\n"} {
		if _, err := parseNotes(twice); err == nil {
			t.Errorf("%q has something twice, which nobody noticed", twice)
		}
	}
}

func TestAManualPageWithoutItsPlaceForKeys(t *testing.T) {
	if _, err := manual("# NAME\n", nil, notes{}); err == nil || !strings.Contains(err.Error(), "lacks the heading") {
		t.Error(err)
	}
}

func TestCodeInTheManual(t *testing.T) {
	for in, want := range map[string]string{
		"`keep_free`":      `*keep\_free*`,
		"`tierctl reload`": "**tierctl reload**",
		"`\"12GiB\"`":      `"12GiB"`,
		"plain":            "plain",
	} {
		if got := inManual(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

var (
	explained = regexp.MustCompile(`(?m)^#   ([a-z_]+(?:, [a-z_]+)*)  +\S`)        // "#   key      what it is"
	setThere  = regexp.MustCompile(`(?m)^(?:#   |#)?([a-z_0-9]+) = `)              // "key = ", commented out or not
	keysOfAll = regexp.MustCompile(`(?m)^# Keys of (every variant|[a-z and]+):?$`) // heads the keys of an engine
)

func names(tableName string) []string {
	for _, t := range known() {
		if t.name == tableName {
			return each(t.keys, func(k key) string { return k.name })
		}
	}
	return nil
}

// same compares what a text names with the keys that there are.
func same(t *testing.T, where string, there, keys []string) {
	t.Helper()
	for _, k := range keys {
		if !slices.Contains(there, k) {
			t.Errorf("%s lacks %s", where, k)
		}
	}
	for _, k := range there {
		if !slices.Contains(keys, k) {
			t.Errorf("%s has %s, which tierd does not know", where, k)
		}
	}
}

func between(t *testing.T, text, from, to string) string {
	t.Helper()
	_, rest, ok := strings.Cut(text, from)
	part, _, ok2 := strings.Cut(rest, to)
	if !ok || !ok2 {
		t.Fatalf("tiers.toml has no part between %q and %q any more", from, to)
	}
	return part
}
