package compose

import (
	"slices"
	"strings"
)

// agent is one of the servers that the stack is known to have had. What is not known of the others is taken from `demand`.
type agent struct {
	prefix   string // of its variables
	tier     string
	role     string
	port     int // where it was unless something else is written
	start    string
	priority int
	idle     string
}

// The four tiers, what came before them, and the six agents that followed. Names and ports stay; what starts at boot is what
// `scripts/up` started by itself, and how much each is worth is as in the tiers.toml that comes with tierd.
var agents = []agent{
	{"ORCH", "orch", "orchestrator", 8001, "boot", 90, "never"},
	{"CODER", "coder", "coder", 8002, "boot", 80, "never"},
	{"REVIEWER", "reviewer", "reviewer", 8011, "demand", 40, "20m"},
	{"UTILITY", "utility", "utility", 8012, "boot", 60, "never"},
	{"FAST", "fast", "utility", 8004, "boot", 60, "never"},
	{"THOR", "thor", "orchestrator", 8001, "boot", 90, "never"},
	{"VALKYRIE", "valkyrie", "coder", 8002, "boot", 80, "never"},
	{"ODIN", "odin", "reviewer", 8011, "demand", 40, "20m"},
	{"HEIMDALL", "heimdall", "utility", 8012, "demand", 60, "20m"},
	{"LOKI", "loki", "adversary", 8013, "demand", 30, "20m"},
	{"FRIGGA", "frigga", "curator", 8014, "demand", 30, "20m"},
}

// agentOf is the agent of a prefix; one that is not known starts when it is asked for.
func agentOf(prefix string) agent {
	if i := slices.IndexFunc(agents, func(a agent) bool { return a.prefix == prefix }); i >= 0 {
		return agents[i]
	}
	name := strings.ToLower(strings.ReplaceAll(prefix, "_", "-"))
	return agent{prefix: prefix, tier: name, role: name, start: "demand", priority: 50, idle: "20m"}
}

// services of the compose files whose names are not the agent's.
var serviceAgents = map[string]string{"ORCHESTRATOR": "ORCH"}

// agentOfService takes the agent from the variable of the port, else from the service's name.
func agentOfService(service, port string) string {
	if prefix, ok := strings.CutSuffix(port, "_PORT"); ok {
		return strings.TrimPrefix(prefix, "LLAMA_")
	}
	name := strings.ToUpper(strings.ReplaceAll(service, "-", "_"))
	for _, engine := range []string{"VLLM_", "LLAMA_"} {
		name = strings.TrimPrefix(name, engine)
	}
	if known, ok := serviceAgents[name]; ok {
		return known
	}
	return name
}

// parsers are the tool-call parsers of vLLM by what a model's name has in it: the stack named none, and without one a model
// cannot call tools. The first that fits counts.
var parsers = []struct{ in, parser string }{
	{"qwen3-coder", "qwen3_coder"},
	{"qwen2.5", "hermes"}, {"qwen3", "hermes"}, {"qwq", "hermes"}, {"hermes", "hermes"},
	{"llama-3", "llama3_json"},
	{"gpt-oss", "openai"},
	{"mistral", "mistral"}, {"devstral", "mistral"},
}

func parserOf(model string) string {
	model = strings.ToLower(model)
	for _, p := range parsers {
		if strings.Contains(model, p.in) {
			return p.parser
		}
	}
	return ""
}
