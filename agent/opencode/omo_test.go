package opencode

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

func withPlugin() Options {
	o := here()
	o.OMO = true
	return o
}

func TestThePluginsFileIsTheVerifiedOne(t *testing.T) {
	verified, err := os.ReadFile("testdata/verified-omo.jsonc")
	if err != nil {
		t.Fatal(err)
	}
	want := leaves(parse(t, verified), "", map[string]any{})
	got := leaves(tree(t, MakePlan(four(), withPlugin()), KindOMO), "", map[string]any{})
	for path, value := range want {
		if !reflect.DeepEqual(got[path], value) {
			t.Errorf("%s is %v, and %v was verified", path, got[path], value)
		}
	}
	for path := range got {
		if _, ok := want[path]; !ok && !strings.HasPrefix(path, "/[opencode]/categories/") {
			t.Errorf("%s was not verified", path)
		}
	}
}

func TestThePluginBringsItsOwnAgents(t *testing.T) {
	values{
		"default_agent": nil, "agent": nil, "model": "local_orch/orchestrator", "small_model": "local_utility/utility",
	}.check(t, "ours would take its tools away", tree(t, MakePlan(four(), withPlugin()), KindConfig))
	if _, ok := MakePlan(four(), here()).File(KindOMO); ok {
		t.Error("there is a file for the plugin that nobody wants")
	}
}

func TestWhereThePluginsAgentsGo(t *testing.T) {
	agents := func(rest string) string { return "[opencode] agents " + rest + " model" }
	category := func(rest string) string { return "[opencode] categories " + rest + " model" }
	one := []Tier{{Name: "one", Role: "one", Context: 65536, Tools: true}}
	for _, row := range []struct {
		rule  string
		tiers []Tier
		want  values
	}{
		{"to the only tier", one, values{agents("sisyphus"): "local_one/one", agents("explore"): "local_one/one", category("deep"): "local_one/one"}},
		{"from a reviewer that is too small to the coder", change("reviewer", func(t *Tier) { t.Context = 16384 }),
			values{agents("oracle"): "local_coder/coder", agents("librarian"): "local_coder/coder", category("ultrabrain"): "local_coder/coder"}},
		{"from a coder that calls no tools to the reviewer", change("coder", func(t *Tier) { t.Tools = false }),
			values{agents("sisyphus-junior"): "local_reviewer/reviewer", category("quick"): "local_reviewer/reviewer"}},
		{"one background task where nobody knows how many", one, values{"[opencode] background_task providerConcurrency local_one": 1.0}},
		{"an answer of a small thing is never more than the tier's", change("coder", func(t *Tier) { t.Output = 1000 }),
			values{"[opencode] categories quick maxTokens": 1000.0}},
	} {
		row.want.check(t, row.rule, tree(t, MakePlan(row.tiers, withPlugin()), KindOMO))
	}
}

func TestAPluginThatNoTierHasRoomForIsRefused(t *testing.T) {
	tiers := four()
	for i := range tiers {
		tiers[i].Context = 16384
	}
	p := MakePlan(tiers, withPlugin())
	var refused []string
	for _, f := range p.Findings {
		if f.Refuse {
			refused = append(refused, f.Text)
		}
	}
	if len(refused) != 3 || !strings.Contains(refused[1], `no tier has tools and room for hephaestus of the plugin, which needs 18000 tokens: of "orch" 16384 tokens of context less 4096 for the answer leave 12288`) {
		t.Errorf("refused for %q", refused)
	}
}
