package opencode

import (
	"strings"
	"testing"
)

// values are what a tree has at some paths.
type values map[string]any

func (want values) check(t *testing.T, rule string, tree map[string]any) {
	t.Helper()
	for path, value := range want {
		if got := at(tree, strings.Split(path, " ")...); got != value {
			t.Errorf("%s: %s is %v, want %v", rule, path, got, value)
		}
	}
}

func TestWhichTierServesWhichAgent(t *testing.T) {
	only := func(names ...string) []Tier {
		var tiers []Tier
		for _, t := range four() {
			for _, name := range names {
				if t.Name == name {
					tiers = append(tiers, t)
				}
			}
		}
		return tiers
	}
	second := four()[1]
	second.Name, second.Port = "coder2", 8003
	sees := Tier{Name: "eyes", Role: "vision", Port: 8020, Context: 32768, Tools: true}
	for _, row := range []struct {
		rule  string
		tiers []Tier
		want  values
	}{
		{"one tier is the model for all, and its agents inherit it", only("coder"), values{
			"model": "local_coder/coder", "small_model": "local_coder/coder", "default_agent": "primary", "agent primary mode": "primary",
			"agent coder": nil, "agent explore": nil, "agent general": nil, "agent title model": "local_coder/coder",
		}},
		{"without an orchestrator the largest context plans", only("reviewer", "coder"), values{
			"model": "local_coder/coder", "agent coder": nil, "agent reviewer model": "local_reviewer/reviewer",
		}},
		{"one that calls tools before a larger one that calls none", append(only("reviewer"), Tier{Name: "big", Role: "x", Port: 1, Context: 1 << 20}), values{
			"model": "local_reviewer/reviewer",
		}},
		{"and one that is here before a larger one elsewhere",
			append(only("reviewer"), Tier{Name: "big", Role: "x", Port: 1, Context: 1 << 20, Tools: true, Leaves: true}), values{"model": "local_reviewer/reviewer"}},
		{"a second orchestrator is a subagent", append(four(), Tier{Name: "orch2", Role: "orchestrator", Port: 1, Context: 65536, Tools: true}), values{
			"model": "local_orch/orch", "agent orch2 mode": "subagent", "agent orch2 description": "Works on one well-described task on the orch2 tier",
			"agent orch2 permission task": "deny",
		}},
		{"without a utility tier the smallest context writes titles", only("orch", "reviewer"), values{"small_model": "local_reviewer/reviewer"}},
		{"look-ups go to the coder then", only("orch", "coder"), values{"agent explore model": "local_coder/coder", "agent general model": "local_coder/coder"}},
		{"the primary agent has no model, so that the user may change it", four(), values{"agent primary model": nil}},
		{"what reads the whole session stays on the session's model", four(), values{"agent compaction": nil, "agent summary": nil}},
		{"a second tier of a role goes by its own name, with the role's permissions", append(four(), second), values{
			"agent coder model": "local_coder/coder", "agent coder2 model": "local_coder2/coder2", "agent coder2 permission task": "deny",
			"agent coder2 description": "Writes and edits code for one well-described change",
		}},
		{"a tier of another role is a subagent of its own name", append(four(), sees), values{
			"agent eyes mode": "subagent", "agent eyes model": "local_eyes/vision", "agent eyes permission task": "deny",
		}},
		{"a tier called like an agent of OpenCode's takes nothing from it",
			append(four(), Tier{Name: "title", Role: "words", Port: 1, Context: 32768, Tools: true}), values{
				"agent title model": "local_utility/utility", "agent tier-title model": "local_title/words",
			}},
		{"nor one called like the user's", append(four(), Tier{Name: "primary", Role: "primary", Port: 1, Context: 32768, Tools: true}), values{
			"agent primary mode": "primary", "agent primary model": nil, "agent tier-primary model": "local_primary/primary",
		}},
		{"nor one called like another tier's role",
			append([]Tier{{Name: "reviewer", Role: "vision", Port: 1, Context: 32768, Tools: true}}, change("reviewer", func(t *Tier) { t.Name = "big" })...), values{
				"agent reviewer model": "local_big/big", "agent tier-reviewer model": "local_reviewer/vision",
			}},
		{"a tier without tools gets no agent, and may still write titles", change("utility", func(t *Tier) { t.Tools = false }), values{
			"agent utility": nil, "agent explore model": "local_coder/coder", "small_model": "local_utility/utility",
			"provider local_utility models utility tool_call": false,
		}},
		{"a tier too small for an agent may still write titles", change("utility", func(t *Tier) { t.Context = 6144 }), values{
			"agent utility": nil, "agent explore model": "local_coder/coder", "agent title model": "local_utility/utility",
		}},
	} {
		p := MakePlan(row.tiers, here())
		row.want.check(t, row.rule, tree(t, p, KindConfig))
	}
}

func TestTheSmallestModel(t *testing.T) {
	tier := func(name string, context int, memory uint64, leaves bool) Tier {
		return Tier{Name: name, Role: name, Context: context, Memory: memory, Leaves: leaves, Tools: true}
	}
	for _, row := range []struct {
		rule  string
		tiers []Tier
		want  string
	}{
		{"by memory", []Tier{tier("a", 16384, 40<<30, false), tier("b", 65536, 2<<30, false)}, "b"},
		{"by context where memory is not known", []Tier{tier("a", 65536, 0, false), tier("b", 16384, 2<<30, false)}, "b"},
		{"one elsewhere takes no memory and is not small", []Tier{tier("a", 4096, 1<<20, true), tier("b", 65536, 40<<30, false)}, "b"},
		{"the first of equals", []Tier{tier("a", 65536, 0, false), tier("b", 65536, 0, false)}, "a"},
	} {
		if got := at(tree(t, MakePlan(row.tiers, here()), KindConfig), "small_model"); got != "local_"+row.want+"/"+row.want {
			t.Errorf("%s: %v", row.rule, got)
		}
	}
}

func TestAPlannerElsewhere(t *testing.T) {
	both := change("orch", func(t *Tier) { t.Cloud = "cloud" })
	values{
		"agent plan model": "local_orch/orchestrator", "agent plan description": "Plans without editing; leaves this machine while orch/cloud is up",
		"provider local_orch models orchestrator name": "Orchestrator (leaves this machine while orch/cloud is up)",
	}.check(t, "it is the tier's, whose name says when it is elsewhere", tree(t, MakePlan(both, here()), KindConfig))

	switched := change("orch", func(t *Tier) { t.Cloud, t.Variant, t.Leaves, t.Engine = "cloud", "cloud", true, "remote" })
	a, _ := MakePlan(both, here()).File(KindConfig)
	b, _ := MakePlan(switched, here()).File(KindConfig)
	for x, line := range strings.Split(string(a.Data), "\n") {
		if other := strings.Split(string(b.Data), "\n")[x]; line != other {
			t.Errorf("the switch changes %s to %s", line, other)
		}
	}
	values{"agent plan": nil}.check(t, "there is none where nothing is elsewhere", tree(t, MakePlan(four(), here()), KindConfig))
}

func TestNamesThatTheGatewayAccepts(t *testing.T) {
	tier := func(name, role string) Tier {
		return Tier{Name: name, Role: role, Port: 1, Context: 32768, Tools: true}
	}
	for _, row := range []struct {
		rule  string
		tiers []Tier
		want  string
	}{
		{"the role", []Tier{tier("orch", "orchestrator")}, "local_orch/orchestrator"},
		{"the tier's name where two have the role", []Tier{tier("a", "coder"), tier("b", "coder")}, "local_a/a local_b/b"},
		{"the tier's name where another tier is called like the role", []Tier{tier("a", "coder"), tier("coder", "b")}, "local_a/a local_coder/b"},
		{"the tier's name where its role is two words", []Tier{tier("a", "big coder")}, "local_a/a"},
		{"or has a slash, which would end a provider's name", []Tier{tier("a", "x/y")}, "local_a/a"},
		{"a role that is its own name", []Tier{tier("a", "a")}, "local_a/a"},
	} {
		var refs []string
		for _, m := range MakePlan(row.tiers, here()).Models {
			refs = append(refs, m.Ref)
		}
		if got := strings.Join(refs, " "); got != row.want {
			t.Errorf("%s: %s, want %s", row.rule, got, row.want)
		}
	}
}
