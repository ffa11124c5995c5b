package opencode

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// pluginAgent begins the name of the plugin's main agent. Its agents are in what `debug config` shows once it is loaded.
const pluginAgent = "Sisyphus"

// agents remarks on agents that are not ours: they come from the plugin, or from files of the user's.
func (v verdict) agents() []Remark {
	agents, _ := v.resolved["agent"].(map[string]any)
	plugins, _ := v.ours["plugin"].([]any)
	omo := slices.Contains(plugins, any(plugin))
	loaded := func(name string) bool { return strings.HasPrefix(name, pluginAgent) }
	if omo && !slices.ContainsFunc(slices.Collect(maps.Keys(agents)), loaded) {
		return []Remark{{
			Failed: true, Path: "plugin", Text: "OpenCode has not loaded " + plugin + ", which it fetches from the npm registry at its first start",
			Hint: "start opencode once without what tierctl opencode env sets, or leave the plugin out: tierctl opencode apply",
		}}
	}
	ours, _ := v.ours["agent"].(map[string]any)
	var all []Remark
	for _, name := range slices.Sorted(maps.Keys(agents)) {
		a, _ := agents[name].(map[string]any)
		model, _ := a["model"].(string)
		if _, planned := ours[name]; planned || model == "" || a["disable"] == true || slices.Contains(v.offered, model) {
			continue
		}
		path := []string{"agent", name, "model"}
		r := Remark{
			Failed: omo, Path: strings.Join(path, "."), Text: fmt.Sprintf("agent %q works with %s, which OpenCode does not offer", name, model),
			Hint: "give it one of the tiers' models",
		}
		if by := v.winner(path); by != "" {
			r.Text += "; " + by + " probably says so"
		}
		all = append(all, r)
	}
	return all
}
