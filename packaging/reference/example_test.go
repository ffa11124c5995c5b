package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestTheExampleNamesEveryKey holds the comments of tiers.toml to the types, both ways, and to the engines that know a key.
func TestTheExampleNamesEveryKey(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(top, "tiers.toml"))
	if err != nil {
		t.Fatal(err)
	}
	all := string(text)
	for _, part := range []struct {
		table, from, to string
		pattern         *regexp.Regexp
	}{
		{"host", "\n[host]\n", "\n[guard]\n", setThere},
		{"guard", "\n[guard]\n", "\n[gateway]\n", setThere},
		{"gateway", "\n[gateway]\n", "\n# Engines:", setThere},
		{"gateway.key.NAME", "[gateway.key.laptop]\n", "\n#\n# true:", setThere},
		{"engine.NAME", "\n# Engines:", "\n[engine.vllm]\n", explained},
		{"tier.NAME", "\n# Tiers.", "\n# Keys of every variant:", explained},
		{"tier.NAME.variant.NAME", "\n# Keys of every variant:", "\n[tier.orch]\n", explained},
		{"mode.NAME", "\n[mode.gpu]\n", "\n\n", setThere},
	} {
		there := termsOf(between(t, all, part.from, part.to), part.pattern)
		if part.table == "gateway" { // the keys stand within it
			there = slices.DeleteFunc(there, func(s string) bool { return slices.Contains([]string{"sha256", "scopes", "tiers"}, s) })
			there = append(there, "key")
		}
		if part.table == "tier.NAME" {
			there = append(there, "variant") // a table of its own
		}
		same(t, "tiers.toml, ["+part.table+"]", there, names(part.table))
	}
	heads := keysOfAll.FindAllStringSubmatchIndex(all, -1)
	for i, h := range heads {
		engines, end := all[h[2]:h[3]], strings.Index(all, "\n[tier.orch]\n")
		if i+1 < len(heads) {
			end = heads[i+1][0]
		}
		for _, name := range termsOf(all[h[1]:end], explained) {
			k, _ := find("tier.NAME.variant.NAME", name)
			if want := strings.Join(k.engines, " and "); want != engines && !(k.engines == nil && engines == "every variant") {
				t.Errorf("tiers.toml has %s among the keys of %s; it is for %q", name, engines, want)
			}
		}
	}
}

func termsOf(text string, pattern *regexp.Regexp) []string {
	var terms []string
	for _, m := range pattern.FindAllStringSubmatch(text, -1) {
		terms = append(terms, strings.Split(m[1], ", ")...)
	}
	return terms
}

// TestTheExampleNamesTheDefaults: where a comment of tiers.toml says what a key is when it is left out, it is what the types say.
func TestTheExampleNamesTheDefaults(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(top, "tiers.toml"))
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, table := range known() {
		part := string(text)
		switch table.name {
		case "tier.NAME":
			part = between(t, part, "\n# Tiers.", "\n# Keys of every variant:")
		case "tier.NAME.variant.NAME":
			part = between(t, part, "\n# Keys of every variant:", "\n[tier.orch]\n")
		case "host", "guard", "gateway":
			part = between(t, part, "\n["+table.name+"]\n", "\n[")
		default:
			continue
		}
		for _, k := range table.keys {
			said := defaultIn(part, k.name)
			for _, v := range k.defaults {
				if said == "" || derived[[2]string{table.name, k.name}] {
					continue
				}
				checked++
				if !strings.Contains(said, v.text) && !strings.Contains(said, strings.Trim(v.text, `"`)) {
					t.Errorf("tiers.toml says of %s of [%s] that left out it is%s; the types say %s", k.name, table.name, said, v.text)
				}
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d defaults were found in tiers.toml", checked)
	}
}

// defaultIn is what follows "Left out:" in the words about a key: those of its entry in a list, or those above it.
func defaultIn(text, name string) string {
	if m := regexp.MustCompile(`(?m)^#   (?:[a-z_]+, )*` + name + `(?:, [a-z_]+)*  +`).FindStringIndex(text); m != nil {
		entry := text[m[1]:]
		if next := explained.FindStringIndex(entry); next != nil {
			entry = entry[:next[0]]
		}
		_, said, _ := strings.Cut(entry, "Left out:")
		return said
	}
	if m := regexp.MustCompile(`(?m)^#?` + name + ` = `).FindStringIndex(text); m != nil {
		above := text[:m[0]]
		above = above[strings.LastIndex(above, "\n\n")+1:]
		_, said, _ := strings.Cut(above, "Left out:")
		return said
	}
	return ""
}
