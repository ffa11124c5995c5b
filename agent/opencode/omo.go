package opencode

// plugin is oh-my-opencode by the name and version whose configuration this is. Version 4 reads ~/.omo/omo.jsonc and the project's
// .omo/omo.jsonc, and moves files of its older names away.
const plugin = "oh-my-openagent@4.19.4"

// The types of omo.jsonc, by the names of the plugin's own schema (dist/oh-my-opencode.schema.json).
type (
	omo struct {
		OpenCode omoConfig `json:"[opencode]"`
		// With these in it the plugin takes the file for one that it has brought up to date, and does not write to it.
		Migrations []string `json:"_migrations"`
	}

	omoConfig struct {
		Agents       members[omoAgent] `json:"agents"`
		Categories   members[omoAgent] `json:"categories"`
		Telemetry    bool              `json:"telemetry"`
		AutoUpdate   bool              `json:"auto_update"`
		DisabledMCPs []string          `json:"disabled_mcps"`
		Hooks        []string          `json:"disabled_hooks"`
		CodeGraph    omoGraph          `json:"codegraph"`
		Capabilities omoCapabilities   `json:"model_capabilities"`
		Background   omoBackground     `json:"background_task"`
	}

	// omoAgent has maxTokens for categories alone: of agents the plugin takes no notice of it.
	omoAgent struct {
		Model     string `json:"model,omitempty"`
		MaxTokens int    `json:"maxTokens,omitempty"`
		Disable   bool   `json:"disable,omitempty"`
	}

	omoGraph struct {
		Enabled       bool `json:"enabled"`
		AutoInit      bool `json:"auto_init"`
		AutoProvision bool `json:"auto_provision"`
		Daemon        bool `json:"daemon"`
	}

	omoCapabilities struct {
		Enabled     bool `json:"enabled"`
		AutoRefresh bool `json:"auto_refresh_on_start"`
	}

	omoBackground struct {
		Concurrency members[int] `json:"providerConcurrency"`
	}
)

// quickOutput is what an answer of the category for small things may have.
const quickOutput = 4 << 10

// job is a part of the plugin's work, with the agents and categories that do it.
type job struct {
	roles      []string // whose tier it is, the first that has room
	needs      int
	agents     []string
	categories []string
}

// jobs has every agent and category that the plugin brings; one that is not named takes a hosted model.
var jobs = []job{
	{needs: sisyphusNeeds, agents: []string{"sisyphus"}},
	{
		roles: []string{"coder", "reviewer"}, needs: workerNeeds, agents: []string{"hephaestus", "sisyphus-junior", "atlas"},
		categories: []string{"quick", "visual-engineering", "artistry", "unspecified-low", "writing"},
	},
	{
		roles: []string{"reviewer", "coder"}, needs: workerNeeds, agents: []string{"oracle", "prometheus", "metis", "momus", "librarian"},
		categories: []string{"ultrabrain", "deep", "unspecified-high"},
	},
	{roles: []string{"utility", "coder"}, needs: subagentNeeds, agents: []string{"explore"}},
}

func (p *planner) omo() File {
	c := omoConfig{
		DisabledMCPs: []string{"context7", "grep_app", "websearch"}, // each of them a server elsewhere
		// The last fetches a program from github.com at each start where there is no ast-grep on PATH.
		Hooks: []string{"comment-checker", "auto-update-checker", "ast-grep-sg-provision"},
	}
	for _, j := range jobs {
		s := p.forJob(j)
		for _, name := range j.agents {
			c.Agents.add(name, omoAgent{Model: s.ref()})
		}
		for _, name := range j.categories {
			a := omoAgent{Model: s.ref()}
			if name == "quick" && s.Context > 0 {
				a.MaxTokens = min(quickOutput, s.output)
			}
			c.Categories.add(name, a)
		}
	}
	c.Agents.add("multimodal-looker", omoAgent{Disable: true}) // it needs a model that sees pictures
	for _, s := range p.seats {
		c.Background.Concurrency.add(s.provider, max(s.Parallel, 1))
	}
	file := omo{OpenCode: c, Migrations: []string{"2026-07-opencode-config-unification", "2026-08-reasoning-unification"}}
	return File{Kind: KindOMO, Data: text(owned+"It is the plugin's, for OpenCode 1.", file)}
}

// forJob finds the tier for a job, and tells when it is not the one that it would belong to.
func (p *planner) forJob(j job) seat {
	s, ok := p.forWork(j.needs, j.roles...)
	if len(j.roles) == 0 {
		return s // the primary agent's, which has been checked
	}
	if !ok {
		p.refuse(s.Name, contextHint, "no tier has tools and room for %s of the plugin, which needs %d tokens: of %q %s", j.agents[0], j.needs, s.Name, s.sum())
		return s
	}
	if first, have := p.ofRole(j.roles[0]); have && first.Name != s.Name {
		p.warn(first.Name, contextHint, "%s of the plugin goes to tier %q: it needs tools and %d tokens, and of %q %s", j.agents[0], s.Name, j.needs, first.Name, first.sum())
	}
	return s
}
