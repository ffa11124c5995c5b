package opencode

import (
	"slices"
	"testing"
)

// With the plugin loaded 1.18.33 shows its agents by their long names; without, none.
func TestThePluginsAgentsShowWhetherItIsLoaded(t *testing.T) {
	agents := func(models map[string]any) map[string]any {
		all := map[string]any{}
		for name, model := range models {
			all[name] = map[string]any{"model": model}
		}
		return map[string]any{"agent": all}
	}
	ours := func(plugins ...any) map[string]any {
		return map[string]any{"plugin": plugins, "agent": map[string]any{"coder": map[string]any{}}}
	}
	disabled := agents(map[string]any{"Sisyphus - ultraworker": "local_orch/orchestrator", "multimodal-looker": "google/gemini"})
	disabled["agent"].(map[string]any)["multimodal-looker"].(map[string]any)["disable"] = true
	for _, test := range []struct {
		name     string
		ours     map[string]any
		resolved map[string]any
		want     []Remark
	}{
		{"not loaded", ours(plugin), agents(nil), []Remark{{Failed: true, Path: "plugin", Text: "has not loaded " + plugin, Hint: "tierctl opencode env"}}},
		{"loaded", ours(plugin), agents(map[string]any{"Sisyphus - ultraworker": "local_orch/orchestrator", "build": nil}), nil},
		{"with an agent that would go elsewhere", ours(plugin), agents(map[string]any{"Sisyphus - ultraworker": "local_orch/orchestrator", "oracle": "openai/gpt"}),
			[]Remark{{Failed: true, Path: "agent.oracle.model", Text: `agent "oracle" works with openai/gpt, which OpenCode does not offer`}}},
		{"with one that is off", ours(plugin), disabled, nil},
		{"no plugin, and an agent of the user's", ours(), agents(map[string]any{"mine": "openai/gpt"}), []Remark{{Path: "agent.mine.model", Text: "FILE probably says so"}}},
		{"ours are compared leaf by leaf", ours(), agents(map[string]any{"coder": "openai/gpt"}), nil},
		{"another plugin", ours("else"), agents(nil), nil},
		{"no agents at all", ours(), map[string]any{"agent": "text"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := verdict{ours: test.ours, resolved: test.resolved, offered: []string{"local_orch/orchestrator"}, winner: func([]string) string { return "FILE" }}
			if got := v.agents(); !slices.EqualFunc(got, test.want, like) {
				t.Errorf("%+v", got)
			}
		})
	}
}

// A comment at the very end of a file, without a line's end, is one to the client.
func TestACommentMayEndAFile(t *testing.T) {
	if at, err := faultIn([]byte("{ \"model\": \"a/b\" } // mine")); err != nil {
		t.Errorf("%s: %v", at, err)
	}
	if tree, err := parseJSONC([]byte("{} // mine")); err != nil || len(tree) > 0 {
		t.Errorf("%v, %v", tree, err)
	}
}
