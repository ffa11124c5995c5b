package opencode

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// sdk are the keys of OpenCode's types, copied from npm @opencode-ai/sdk 1.18.33, dist/v2/gen/types.gen.d.ts: Config, ProviderConfig
// with its options, a model and its limit, AgentConfig. What is not among them is dropped without a word, or sent as a field of each request.
var sdk = map[string]string{
	"config": "$schema shell logLevel server command skills references reference watcher snapshot plugin share autoshare autoupdate " +
		"disabled_providers enabled_providers model small_model default_agent subagent_depth username mode agent provider mcp formatter " +
		"lsp instructions layout permission tools attachment enterprise tool_output compaction experimental",
	"provider": "api name env id npm whitelist blacklist options models",
	// without `timeout`, which is fatal
	"options": "apiKey baseURL enterpriseUrl setCacheKey headerTimeout chunkTimeout",
	"model": "id name family release_date attachment reasoning temperature tool_call interleaved cost limit modalities experimental status " +
		"provider options headers variants",
	"experimental": "disable_paste_summary batch_tool openTelemetry primary_tools continue_loop_on_deny mcp_timeout policies",
	"policy":       "effect action resource",
	"limit":        "context input output",
	"agent":        "model variant temperature top_p prompt tools disable description mode hidden options color steps maxSteps permission",
	"permission":   "* read edit glob grep list bash task external_directory todowrite question webfetch websearch lsp doom_loop skill",
	// dist/oh-my-opencode.schema.json of npm oh-my-opencode 4.19.4, as far as it is used
	"omo":     "agents categories telemetry auto_update disabled_mcps disabled_hooks codegraph model_capabilities background_task",
	"omoName": "sisyphus hephaestus sisyphus-junior prometheus metis momus oracle librarian explore multimodal-looker atlas",
}

func known(t rapid.TB, kind string, v any) map[string]any {
	t.Helper()
	m, ok := v.(map[string]any)
	if !ok {
		t.Fatalf("%s is %v", kind, v)
	}
	for key := range m {
		if !slices.Contains(strings.Fields(sdk[kind]), key) {
			t.Fatalf("%q is no key of a %s", key, kind)
		}
	}
	return m
}

var anyTier = rapid.Custom(func(t *rapid.T) Tier {
	role := rapid.SampledFrom([]string{"orchestrator", "coder", "reviewer", "utility", "vision", "primary", "plan", "a b", "x/y", "{env:HOME}", "", "\"", "größe"})
	return Tier{
		Name: rapid.StringMatching(`(orch|coder|utility|plan|title|primary|tier-plan|[a-z0-9]([a-z0-9-]{0,6}[a-z0-9])?)`).Draw(t, "name"),
		Role: role.Draw(t, "role"), Port: rapid.IntRange(1, 65535).Draw(t, "port"),
		Context:  rapid.OneOf(rapid.Just(0), rapid.IntRange(1, 300000), rapid.SampledFrom([]int{8192, 16384, 32768, 65536})).Draw(t, "context"),
		Parallel: rapid.IntRange(0, 8).Draw(t, "parallel"), Output: rapid.OneOf(rapid.Just(0), rapid.IntRange(1, 1<<20)).Draw(t, "output"),
		Memory: rapid.Uint64Range(0, 1<<37).Draw(t, "memory"), Tools: rapid.Bool().Draw(t, "tools"), Leaves: rapid.Bool().Draw(t, "leaves"),
		Cloud: rapid.SampledFrom([]string{"", "cloud"}).Draw(t, "cloud"), Variant: "v", Live: rapid.Bool().Draw(t, "live"),
		Load: time.Duration(rapid.Int64Range(0, int64(24*time.Hour)).Draw(t, "load")), Hold: time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "hold")),
		Silence: time.Duration(rapid.Int64Range(0, int64(24*time.Hour)).Draw(t, "silence")),
	}
})

var anyOptions = rapid.Custom(func(t *rapid.T) Options {
	return Options{
		Address: "127.0.0.1", Port: rapid.IntRange(0, 65535).Draw(t, "port"), Gateway: rapid.Bool().Draw(t, "gateway"), Keys: rapid.Bool().Draw(t, "keys"),
		KeyFile: rapid.SampledFrom([]string{"", "/home/a/key", "/home/ä b/key"}).Draw(t, "key file"), OMO: rapid.Bool().Draw(t, "omo"),
		Major: rapid.IntRange(0, 2).Draw(t, "major"),
	}
})

func TestAnySetOfTiersMakesAConfigurationThatHoldsTogether(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tiers := rapid.SliceOfNDistinct(anyTier, 1, 9, func(t Tier) string { return t.Name }).Draw(t, "tiers")
		o := anyOptions.Draw(t, "options")
		p := MakePlan(tiers, o)
		if again := MakePlan(tiers, o); !reflect.DeepEqual(p, again) {
			t.Fatal("the same tiers make another plan")
		}
		for _, f := range p.Files {
			checkText(t, f, o)
		}
		refs := checkConfig(t, p, tiers)
		if o.OMO {
			checkPlugin(t, p, refs)
		}
		for _, f := range p.Findings {
			if f.Text == "" || f.Hint == "" || strings.Contains(f.Text, "\n") {
				t.Fatalf("a finding is %+v", f)
			}
		}
	})
}

func checkText(t *rapid.T, f File, o Options) {
	if !bytes.HasPrefix(f.Data, []byte("// Written by `tierctl opencode apply`")) || !bytes.HasSuffix(f.Data, []byte("}\n")) || bytes.Count(f.Data, []byte("\n//")) > 0 {
		t.Fatalf("%s is\n%s", f.Kind, f.Data)
	}
	rest := string(f.Data)
	if o.KeyFile != "" {
		rest = strings.ReplaceAll(rest, `"{file:`+o.KeyFile+`}"`, "")
	}
	if strings.Contains(rest, "{env:") || strings.Contains(rest, "{file:") {
		t.Fatalf("%s has something that OpenCode replaces:\n%s", f.Kind, f.Data)
	}
}

// checkConfig returns the models that there are.
func checkConfig(t *rapid.T, p Plan, tiers []Tier) map[string]bool {
	f, _ := p.File(KindConfig)
	c := known(t, "config", any(parseIn(t, f.Data)))
	enabled := fmt.Sprint(c["enabled_providers"])
	refs, outputs := map[string]bool{}, 0
	for name, v := range c["provider"].(map[string]any) {
		v := known(t, "provider", v)
		known(t, "options", v["options"])
		if !slices.Contains(strings.Fields(strings.Trim(enabled, "[]")), name) {
			t.Fatalf("%s is not among %s", name, enabled)
		}
		for id, m := range v["models"].(map[string]any) {
			refs[name+"/"+id] = true
			if l := known(t, "model", m)["limit"]; l != nil {
				l := known(t, "limit", l)
				if l["output"].(float64)*4 > l["context"].(float64) || l["output"].(float64) > 16384 {
					t.Fatalf("of %s %v", id, l)
				}
				outputs++
			}
		}
	}
	if len(refs) != len(tiers) || len(p.Models) != len(tiers) {
		t.Fatalf("%d models of %d tiers", len(refs), len(tiers))
	}
	use := func(ref any) {
		if ref != nil && !refs[ref.(string)] {
			t.Fatalf("there is no model %v", ref)
		}
	}
	use(c["model"])
	use(c["small_model"])
	agents, _ := c["agent"].(map[string]any)
	for _, a := range agents {
		a := known(t, "agent", a)
		use(a["model"])
		if a["permission"] != nil {
			known(t, "permission", a["permission"])
		}
	}
	if name, ok := c["default_agent"].(string); ok && at(agents, name, "mode") != "primary" {
		t.Fatalf("the default agent %s is no primary one", name)
	}
	f, _ = p.File(KindManaged)
	if m := parseIn(t, f.Data); len(m) != 5 || fmt.Sprint(m["enabled_providers"]) != enabled || !reflect.DeepEqual(m["experimental"], c["experimental"]) {
		t.Fatalf("the managed file is %v", m)
	}
	return refs
}

func checkPlugin(t *rapid.T, p Plan, refs map[string]bool) {
	f, _ := p.File(KindOMO)
	c := known(t, "omo", parseIn(t, f.Data)["[opencode]"])
	known(t, "omoName", c["agents"])
	for _, kind := range []string{"agents", "categories"} {
		for name, a := range c[kind].(map[string]any) {
			if ref, ok := at(a, "model").(string); ok && !refs[ref] || !ok && name != "multimodal-looker" {
				t.Fatalf("%s has the model %v", name, at(a, "model"))
			}
		}
	}
}

// A plan that may be written has a primary agent that works.
func TestWhatIsNotRefusedHasRoom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tiers := rapid.SliceOfNDistinct(anyTier, 1, 9, func(t Tier) string { return t.Name }).Draw(t, "tiers")
		p := MakePlan(tiers, here())
		if p.Refused() {
			return
		}
		f, _ := p.File(KindConfig)
		c := parseIn(t, f.Data)
		of := func(ref any) Tier {
			i := slices.IndexFunc(p.Models, func(m Model) bool { return m.Ref == ref })
			return tiers[i]
		}
		room := func(t Tier) int { return t.Context - outputOf(t) }
		if main := of(c["model"]); !main.Tools || main.Context > 0 && room(main) < 12000 {
			t.Fatalf("the primary agent is on %+v", main)
		}
		for name, a := range c["agent"].(map[string]any) {
			if ref := at(a, "model"); ref != nil && name != "title" {
				if s := of(ref); !s.Tools || s.Context > 0 && room(s) < 6000 {
					t.Fatalf("%s is on %+v", name, s)
				}
			}
		}
	})
}
