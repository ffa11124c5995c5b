package opencode

import (
	"fmt"
	"slices"
)

// primaryAgent is the agent that the user talks to.
const primaryAgent = "primary"

// role is what OpenCode is told of a tier by its role.
type role struct {
	name        string
	agent       string
	mode        string
	description string // a primary agent reads it when it chooses whom to hand work to
	temperature float64
	permission  *permission
}

// roles is the one table of them. What is denied is not even described to the model: each tool takes 300 to 1500 tokens of a
// prompt. Subagents hand no work on, and see no web pages.
var roles = []role{
	{
		name: "orchestrator", agent: primaryAgent, mode: "primary", temperature: 0.3,
		description: "Plans, delegates, integrates",
	},
	{
		name: "coder", agent: "coder", mode: "subagent", temperature: 0.2,
		description: "Writes and edits code for one well-described change",
		permission:  &permission{Task: "deny", TodoWrite: "deny", WebFetch: "deny", WebSearch: "deny"},
	},
	{
		name: "reviewer", agent: "reviewer", mode: "subagent", temperature: 0.1,
		description: "Reviews a change, read only: hand it the diff or name the files",
		permission: &permission{
			Edit: "deny", Bash: "deny", Task: "deny", TodoWrite: "deny", Skill: "deny", WebFetch: "deny", WebSearch: "deny",
		},
	},
	{
		name: "utility", agent: "utility", mode: "subagent", temperature: 0.2,
		description: "Short look-ups and summaries, read only",
		permission:  &permission{All: "deny", Read: reading, Grep: "allow", Glob: "allow"},
	},
}

// reading is OpenCode's own rule for files. It has to be said again after a rule for all tools, which would hold instead.
var reading = members[string]{{"*", "allow"}, {"*.env", "ask"}, {"*.env.*", "ask"}, {"*.env.example", "allow"}}

// otherRole is for a tier whose role is none of these: a subagent of the tier's own name.
func otherRole(s seat) role {
	return role{
		agent: s.Name, mode: "subagent",
		description: fmt.Sprintf("Works on one well-described task on the %s tier", s.model),
		permission:  &permission{Task: "deny", TodoWrite: "deny", WebFetch: "deny", WebSearch: "deny"},
	}
}

func roleOf(name string) (role, bool) {
	i := slices.IndexFunc(roles, func(r role) bool { return r.name == name })
	if i < 0 {
		return role{}, false
	}
	return roles[i], true
}

// builtin are OpenCode's own agents, which a tier's name must not change by accident.
var builtin = []string{"build", "plan", "general", "explore", "title", "summary", "compaction"}

// agents are the user's one, the tiers' and OpenCode's own.
func (p *planner) agents() members[agent] {
	var list members[agent]
	r, _ := roleOf("orchestrator")
	list.add(r.agent, r.with("")) // no model: `model` gives it one, and the user may choose another for a session
	for _, s := range p.seats {
		if s.Name != p.main.Name && p.canWork(s) {
			r := p.subagent(s, list)
			list.add(r.agent, r.with(s.ref()))
		}
	}
	p.pin(&list)
	return list
}

func (r role) with(model string) agent {
	return agent{Mode: r.mode, Model: model, Description: r.description, Temperature: r.temperature, Permission: r.permission}
}

// subagent is the agent of a tier beside the primary one's. The second tier of a role goes by its own name.
func (p *planner) subagent(s seat, list members[agent]) role {
	taken := func(name string) bool {
		return slices.Contains(builtin, name) || slices.ContainsFunc(list, func(m named[agent]) bool { return m.name == name })
	}
	if r, ok := roleOf(s.Role); ok && !taken(r.agent) {
		return r
	}
	r := otherRole(s)
	if known, ok := roleOf(s.Role); ok && known.mode == "subagent" {
		r.description, r.temperature, r.permission = known.description, known.temperature, known.permission
	}
	for taken(r.agent) || p.reserved(r.agent, s) {
		r.agent = "tier-" + r.agent
	}
	return r
}

// reserved tells whether a name is that of a role which another tier has.
func (p *planner) reserved(name string, s seat) bool {
	owner, ok := p.ofRole(name)
	_, known := roleOf(name)
	return ok && known && owner.Name != s.Name
}

// pin gives OpenCode's own agents their tiers; they take the caller's otherwise. Two are left: compaction reads the whole session,
// so no smaller tier than the session's own will do, and summary asks no model any more.
func (p *planner) pin(list *members[agent]) {
	if s, ok := p.ofRole("orchestrator"); ok && s.away() != "" {
		// The planner of those who have the orchestrator elsewhere at times. The tier's name stays the same, so that the plan is
		// made there while that variant is up, and here otherwise.
		list.add("plan", agent{Model: s.ref(), Description: "Plans without editing; " + s.away()})
	}
	if s, ok := p.forWork(subagentNeeds, "utility", "coder"); ok && s.Name != p.main.Name {
		list.add("explore", agent{Model: s.ref()})
	}
	if s, ok := p.forWork(subagentNeeds, "coder"); ok && s.Name != p.main.Name {
		list.add("general", agent{Model: s.ref()})
	}
	list.add("title", agent{Model: p.small.ref()})
}
