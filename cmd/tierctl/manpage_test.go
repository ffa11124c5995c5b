package main

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/units"
)

// TestManualPageHasEveryKey holds tiers.toml(5) to the fields of units.Config, section by section, both ways.
func TestManualPageHasEveryKey(t *testing.T) {
	text, err := os.ReadFile("../../docs/man/tiers.toml.5.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]any{
		"[host]":                   units.HostConfig{},
		"[gateway]":                units.Gateway{},
		"[gateway.key.NAME]":       units.Key{},
		"[engine.NAME]":            units.Engine{},
		"[tier.NAME]":              units.Tier{},
		"[tier.NAME.variant.NAME]": units.Variant{},
		"[mode.NAME]":              units.Mode{},
	}
	for title, config := range sections {
		documented := keysOf(sectionOf(string(text), title))
		fields := tomlKeys(reflect.TypeOf(config))
		for _, key := range fields {
			if !slices.Contains(documented, key) {
				t.Errorf("%s: the manual page lacks %s", title, key)
			}
		}
		for _, key := range documented {
			if !slices.Contains(fields, key) {
				t.Errorf("%s: the manual page has %s, which tierd does not know", title, key)
			}
		}
	}
}

func sectionOf(text, title string) string {
	_, rest, _ := strings.Cut(text, "\n# "+title+"\n")
	section, _, _ := strings.Cut(rest, "\n# ")
	return section
}

var boldTerm = regexp.MustCompile(`(?m)^\*\*([a-z0-9_]+)\*\*$`)

func keysOf(section string) []string {
	var keys []string
	for _, m := range boldTerm.FindAllStringSubmatch(section, -1) {
		keys = append(keys, m[1])
	}
	return keys
}

func tomlKeys(t reflect.Type) []string {
	var keys []string
	for i := range t.NumField() {
		if key := t.Field(i).Tag.Get("toml"); key != "" && key != "-" {
			keys = append(keys, key)
		}
	}
	return keys
}

// TestManualPageDefaults holds the defaults that tiers.toml(5) names to those that a file without them gets.
func TestManualPageDefaults(t *testing.T) {
	text, err := os.ReadFile("../../docs/man/tiers.toml.5.md")
	if err != nil {
		t.Fatal(err)
	}
	config, faults := units.ParseConfig("tiers.toml", []byte(`
[engine.llama]
command = ["/usr/bin/llama-server"]
[engine.vllm]
command = ["/opt/vllm/bin/vllm", "serve"]
[tier.a]
port = 8001
[tier.a.variant.l]
engine = "llama"
model = "m.gguf"
context = "8K"
memory = "1GiB"
[tier.a.variant.v]
engine = "vllm"
model = "o/m"
context = "8K"
memory = "1GiB"
`))
	if config == nil {
		t.Fatal(faults)
	}
	tier := config.Tiers[0]
	llama, vllm := tier.Variants[0], tier.Variants[1]
	for _, d := range []struct {
		section, key, says string
		holds              bool
	}{
		{"[host]", "reserve", `"12GiB"`, config.Host.Reserve == 12*units.GiB},
		{"[gateway]", "listen", `"127.0.0.1"`, config.Gateway.Listen == "127.0.0.1"},
		{"[gateway]", "port", `8000`, config.Gateway.Port == 8000},
		{"[gateway]", "drain", `"30s"`, config.Gateway.Drain == 30*time.Second},
		{"[tier.NAME]", "start", `"manual"`, tier.Start == units.StartManual},
		{"[tier.NAME]", "priority", `50`, tier.Priority == 50},
		{"[tier.NAME.variant.NAME]", "load_timeout", `"20m"`, llama.LoadTimeout == 20*time.Minute},
		{"[tier.NAME.variant.NAME]", "stall_timeout", `"5m"`, llama.StallTimeout == 5*time.Minute},
		{"[tier.NAME.variant.NAME]", "parallel", `4 for vllm, 1 for llama`, vllm.Parallel == 4 && llama.Parallel == 1},
		{"[tier.NAME.variant.NAME]", "load_mode", `"mmap"; "none" on a GPU`, llama.LoadMode == "mmap"},
		{"[tier.NAME.variant.NAME]", "flash_attention", `"on"`, llama.FlashAttention == "on"},
		{"[tier.NAME.variant.NAME]", "batch_tokens", `2048`, vllm.BatchTokens == 2048},
		{"[tier.NAME.variant.NAME]", "prefix_caching", `true`, vllm.PrefixCaching},
	} {
		_, entry, _ := strings.Cut(sectionOf(string(text), d.section), "**"+d.key+"**")
		entry, _, _ = strings.Cut(entry, "\n\n")
		entry = strings.Join(strings.Fields(entry), " ")
		if !strings.Contains(entry, "Default "+d.says) || !d.holds {
			t.Errorf("%s %s: the page says %q, which has to be %q and hold", d.section, d.key, entry, "Default "+d.says)
		}
	}
}

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
