package compose

import (
	"regexp"
	"slices"
	"strings"
)

// secretNames are variables that hold secrets, with what to do instead.
var secretNames = reasons[:3]

func isSecret(name string) bool {
	return slices.ContainsFunc(secretNames, func(r nameReason) bool { return r.name.MatchString(name) })
}

// nameReason is why a variable of such a name has no place in tiers.toml.
type nameReason struct {
	name *regexp.Regexp
	why  string
}

// reasons are asked in this order, secrets first.
var reasons = []nameReason{
	{regexp.MustCompile(`^(HF_TOKEN|HUGGING_FACE_HUB_TOKEN|HUGGINGFACE_TOKEN|HF_API_TOKEN)$`),
		"is a secret, and never copied: models are on the disk when they are served, so only the download needs it; `hf auth login` keeps it"},
	{regexp.MustCompile(`^(OPENAI|ANTHROPIC|OPENROUTER|GEMINI|CLOUD_PLANNER)_API_KEY$`),
		"is a secret, and never copied: store it with `systemd-creds encrypt --name=cloud-key - /etc/credstore.encrypted/cloud-key`, and name it by `key` of a remote variant"},
	{regexp.MustCompile(`(?i)(^|_)(KEY|TOKEN|PASSWORD|PASSWD|SECRET|CREDENTIALS?|AUTHORIZATION|BEARER)$|APIKEY|PASSWORD|PASSPHRASE|SECRET`), notCopied},
	{regexp.MustCompile(`^HSA_OVERRIDE_GFX_VERSION$`), "does harm with ROCm 7, which knows gfx1151"},
	{regexp.MustCompile(`(?i)^(https?|ftp|all|no)_proxy$`), "is for downloads: tiers reach no network. Set it where you download"},
	{regexp.MustCompile(`^HF_(ENDPOINT|HUB_.*)$`), "is for downloads: set it where you download"},
	{regexp.MustCompile(`^(COMPOSE_.*|DOCKER_.*|BUILDKIT_.*|REPO_ROOT|PUID|PGID|TZ)$`), "is for containers, and there are none"},
	{regexp.MustCompile(`^VLLM_CACHE$`), "is not needed: each tier has a cache folder of its own, which vLLM fills anew at the first start"},
	{regexp.MustCompile(`^(HF_HOME|LLAMA_MODELS_DIR)$`), "is a folder that no server has: if there are models in it, add it to `models` in [host]"},
	{regexp.MustCompile(`_IMAGE$`), "is a container's image: tierd runs engines of this machine, see `command` of [engine.NAME]"},
	{regexp.MustCompile(`^LLAMA_[A-Z0-9]+_PORT$`), "is the port of a stand-in: all variants of a tier answer at the tier's own port"},
	{regexp.MustCompile(`^BIFROST_PORT$`), "is the scheduler's: tierd starts a tier when a request comes, and port 8000 of the gateway serves all of them"},
	{regexp.MustCompile(`^BIFROST_ODIN_TTL$`), "has no tier odin to act on"},
	{regexp.MustCompile(`^BIFROST_.*COOLDOWN$`), "is not needed: min_residency and max_wait of a tier keep tiers from taking turns too fast"},
	{regexp.MustCompile(`^BIFROST_`), "is the scheduler's: tierd counts no requests, it has sessions take turns"},
	{regexp.MustCompile(`OLLAMA`), "is for Ollama, which is no engine of tierd: the same model as a GGUF file runs with llama.cpp"},
	{regexp.MustCompile(`^(OPENAI_BASE_URL|OPENAI_API_BASE|CLOUD_PLANNER_.*)$`), "has no orchestrator with a cloud planner to belong to"},
}

// agentVariable is a variable of an agent.
var agentVariable = regexp.MustCompile(`_(PORT|MODEL|GGUF|MAX_LEN|CTX|CPU_CTX|THREADS|MAX_NUM_SEQS|GPU_UTIL|KV_CACHE_DTYPE|QUANTIZATION)$`)

// rest says of every variable of the env file that is in no line, and has no note yet, why it is not. withFiles: compose files
// said what is used.
func (s *stack) rest(all []setting, w *writer, withFiles bool) {
	there := map[string]bool{}
	for _, l := range w.lines {
		there[l.from.key] = true
		for _, key := range l.from.also {
			there[key] = true
		}
	}
	for _, v := range all {
		if there[v.key] || slices.ContainsFunc(s.notes, func(n Note) bool { return n.Name == v.key && n.Place == v.at }) {
			continue
		}
		kind, why := reason(v.key)
		switch {
		case strings.TrimSpace(v.value) == "" && kind != Warning:
			kind, why = Dropped, "is empty"
		case kind != Warning:
		case agentVariable.MatchString(v.key) && withFiles:
			kind, why = Dropped, "is used by no server of the compose files, or by a flag that tierd sets itself"
		case agentVariable.MatchString(v.key):
			kind, why = Dropped, "belongs to no server: its agent has no model for an engine that takes it"
		}
		s.note(kind, v.at, v.key, "%s", why)
	}
}

// reason is why tiers.toml has no place for a variable of the name.
func reason(name string) (Kind, string) {
	for _, r := range reasons {
		if r.name.MatchString(name) {
			return Dropped, r.why
		}
	}
	return Warning, "is not known, and not in the result; variables of an engine go to [engine.NAME.env]"
}
