package main

import (
	"strings"
	"testing"

	"github.com/tierd/tierd/units"
)

// What is printed for tiers.toml lets in the key that is printed, and each key is another one.
func TestTheLinesLetTheKeyIn(t *testing.T) {
	const tier = "[engine.llama]\ncommand = [\"/x\"]\n[tier.coder]\nport = 8001\n[tier.coder.variant.a]\nengine = \"llama\"\nmodel = \"m.gguf\"\ncontext = \"8K\"\n"
	seen := map[string]bool{}
	for range 5 {
		var out, errs strings.Builder
		a := newApp()
		a.stdout, a.stderr = &out, &errs
		if status := a.run([]string{"key", "laptop", "--tier", "coder", "--scope", "metrics"}); status != 0 {
			t.Fatal(status, errs.String())
		}
		key := strings.TrimSpace(out.String())
		_, lines, _ := strings.Cut(errs.String(), "\n\n")
		config, faults := units.ParseConfig("tiers.toml", []byte(tier+lines))
		if config == nil || len(faults) > 0 || len(config.Gateway.Keys) != 1 {
			t.Fatal(faults, lines)
		}
		got := config.Gateway.Keys[0]
		if got.SHA256 != units.HashKey(key) || got.Name != "laptop" || strings.Join(got.Scopes, " ") != "metrics" || strings.Join(got.Tiers, " ") != "coder" {
			t.Errorf("%+v for %s", got, key)
		}
		if seen[key] {
			t.Errorf("%s came twice", key)
		}
		seen[key] = true
	}
}
