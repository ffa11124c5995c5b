package main

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

var (
	flagCall   = regexp.MustCompile(`\b(?:f|flags)\.(?:\w*Var\([^"]*|Func\()"([a-z-]+)"`)
	optionTerm = regexp.MustCompile(`(?m)^\*\*--?([a-z-]+)`)
)

// TestManualPagesHaveEveryOption holds the pages of the daemons to the flags in their sources, both ways.
func TestManualPagesHaveEveryOption(t *testing.T) {
	for page, source := range map[string]string{
		"tierd.8.md":        "../tierd/main.go",
		"tier-gateway.8.md": "../tier-gateway/main.go",
		"tier-guard.8.md":   "../tier-guard/options.go",
		"tier-shim.8.md":    "../tier-shim/options.go",
	} {
		documented := termsIn(t, "../../docs/man/"+page, optionTerm)
		defined := termsIn(t, source, flagCall)
		if len(defined) == 0 {
			t.Errorf("%s: found no flags", source)
		}
		for _, name := range defined {
			if !slices.Contains(documented, name) {
				t.Errorf("%s lacks the option %s", page, name)
			}
		}
		for _, name := range documented {
			if !slices.Contains(defined, name) {
				t.Errorf("%s has the option %s, which %s does not take", page, name, source)
			}
		}
	}
}

// termsIn returns what the pattern's group matches in a file, sorted and each once.
func termsIn(t *testing.T, file string, pattern *regexp.Regexp) []string {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var terms []string
	for _, m := range pattern.FindAllStringSubmatch(string(text), -1) {
		terms = append(terms, m[1])
	}
	slices.Sort(terms)
	return slices.Compact(terms)
}
