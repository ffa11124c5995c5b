package compose

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/tierd/tierd/units"
)

// stack is what the files say, as it is found.
type stack struct {
	dir     string
	environ Environ
	env     map[string]setting
	servers []*server
	folders []value // of models
	cloud   *server // a server elsewhere that can stand in for the orchestrator
	open    bool    // a server listened on every address
	notes   []Note
	faults  []Fault
}

// origin is where a value comes from; without a place, `key` says why it is there.
type origin struct {
	at      Place
	key     string
	also    []string // other variables of the env file that it was made with
	environ []string // and of the environment
}

// String is the comment behind a line.
func (o origin) String() string {
	switch {
	case o.at.File == "" && o.key == "":
		return ""
	case o.at.File == "":
		return "added: " + o.key
	}
	text := "from " + o.at.String()
	if o.key != "" {
		text = "from " + o.key + ", " + o.at.String()
	}
	if len(o.also) > 0 {
		text += ", with " + strings.Join(o.also, ", ")
	}
	if len(o.environ) > 0 {
		text += ", with $" + strings.Join(o.environ, ", $") + " of the environment"
	}
	return text
}

func added(why string) origin { return origin{key: why} }

// value is a text with its origin. The zero value is one that is not there.
type value struct {
	text string
	from origin
}

func (v value) there() bool { return v.text != "" }

// server is one engine with its model, as the stack ran it.
type server struct {
	agent  string // prefix of its variables
	kind   string // units.KindVLLM, KindLlama or KindRemote
	engine string // of tiers.toml
	at     Place

	port, model, context, parallel, threads, layers, share, batch, caching value

	tools    value
	loadMode value
	flash    value
	extra    []value // further arguments of its command
	vars     []value // "NAME=VALUE" for its environment
}

func (s *stack) note(kind Kind, at Place, name, format string, args ...any) {
	s.notes = append(s.notes, Note{kind, at, name, fmt.Sprintf(format, args...)})
}

// take returns a variable of the env file. An empty one counts as left out.
func (s *stack) take(key string) value {
	v, ok := s.env[key]
	if !ok || strings.TrimSpace(v.value) == "" {
		return value{}
	}
	if v.secret != "" {
		s.note(Dropped, v.at, key, "is made with %s, which is a secret and never copied", v.secret)
		return value{}
	}
	return value{strings.TrimSpace(v.value), v.origin()}
}

// byNames makes servers of the env file alone: NAME_MODEL is one of vLLM, NAME_GGUF one of llama.cpp.
func (s *stack) byNames(all []setting) {
	var prefixes []string
	for _, a := range agents {
		prefixes = append(prefixes, a.prefix)
	}
	for _, v := range all {
		prefix, ok := modelPrefix(v.key)
		if ok && !slices.Contains(prefixes, prefix) {
			prefixes = append(prefixes, prefix)
		}
	}
	for _, prefix := range prefixes {
		s.byName(prefix)
	}
	if dir := s.take("LLAMA_MODELS_DIR"); dir.there() {
		s.folder(dir)
	}
	s.commonFolders()
}

// notAgents are prefixes of variables that are about something else than a server of the stack.
var notAgents = []string{"OLLAMA", "CLOUD_PLANNER", "LLAMA", "VLLM", "HF", "OPENAI", "EMBEDDING"}

// modelPrefix is the agent of a variable that names a model.
func modelPrefix(key string) (string, bool) {
	for _, suffix := range []string{"_MODEL", "_GGUF"} {
		prefix, ok := strings.CutSuffix(key, suffix)
		if ok && prefix != "" && !strings.HasSuffix(prefix, "_OLLAMA") && !slices.Contains(notAgents, prefix) && strings.ToUpper(prefix) == prefix {
			return prefix, true
		}
	}
	return "", false
}

// byName makes the servers of one agent.
func (s *stack) byName(prefix string) {
	get := func(suffix string) value { return s.take(prefix + "_" + suffix) }
	model, gguf := get("MODEL"), get("GGUF")
	if !model.there() && !gguf.there() {
		return
	}
	port := get("PORT")
	if model.there() {
		v := &server{agent: prefix, kind: units.KindVLLM, engine: "vllm", at: model.from.at, port: port, model: model,
			context: get("MAX_LEN"), parallel: get("MAX_NUM_SEQS"), share: get("GPU_UTIL")}
		s.flagValue(v, "--kv-cache-dtype", get("KV_CACHE_DTYPE"))
		s.flagValue(v, "--quantization", get("QUANTIZATION"))
		s.servers = append(s.servers, v)
	}
	if gguf.there() {
		s.servers = append(s.servers, s.ggufByName(prefix, port, gguf, model.there()))
	}
}

// ggufByName is the llama.cpp server of an agent. Beside a vLLM server it stood in for it on the GPU; alone, or with a context
// that is called one for the CPU, it ran there.
func (s *stack) ggufByName(prefix string, port, gguf value, beside bool) *server {
	v := &server{agent: prefix, kind: units.KindLlama, engine: "llama", at: gguf.from.at, port: port, model: gguf,
		context: s.take(prefix + "_CTX"), threads: s.take(prefix + "_THREADS")}
	cpu := s.take(prefix + "_CPU_CTX")
	switch {
	case !v.context.there() && cpu.there():
		v.context, beside = cpu, false
	case cpu.there():
		s.note(Dropped, cpu.from.at, cpu.from.key, "is of an older set-up without GPU; %s_CTX counts", prefix)
	case !v.context.there():
		v.context = s.take(prefix + "_MAX_LEN") // it went without, and so took the model's whole context
	}
	if beside {
		v.engine = "llama-radv"
	}
	return v
}

// flagValue passes a flag on, unless the value is what the engine does without it.
func (s *stack) flagValue(v *server, flag string, is value) {
	name := is.from.key
	if _, ok := s.env[name]; !ok {
		name += " " + flag
	}
	switch {
	case !is.there():
	case is.text == "auto":
		s.note(Dropped, is.from.at, name, "is auto, which is what vLLM does without it")
	default:
		v.extra = append(v.extra, value{flag, is.from}, is)
		if flag == "--kv-cache-dtype" {
			s.note(Warning, is.from.at, name, "is %q: this GPU has no FP8, so answers get worse; leave it out of extra_args for the model's own format", is.text)
		}
	}
}

// planner is the one elsewhere, of which no service knows: OpenCode asked it directly, tierd forwards to it as a variant of the orchestrator.
func (s *stack) planner() {
	model := s.take("CLOUD_PLANNER_MODEL")
	if !model.there() {
		return
	}
	s.cloud = &server{kind: units.KindRemote, engine: "remote", at: model.from.at, model: model}
}

// commonFolders are those that every version of the stack had.
func (s *stack) commonFolders() {
	if home := s.take("HF_HOME"); home.there() {
		s.folder(home)
	}
	if repo := s.take("REPO_ROOT"); repo.there() {
		repo.text = path.Join(repo.text, "models")
		s.folder(repo)
	}
}

// folder adds one in which models are looked for. Compose takes relative paths from the project's folder.
func (s *stack) folder(dir value) {
	if rest, ok := strings.CutPrefix(dir.text, "~/"); ok {
		if home, ok := s.environ("HOME"); ok {
			dir.text = path.Join(home, rest)
		}
	}
	if !path.IsAbs(dir.text) && !strings.HasPrefix(dir.text, "~") {
		s.note(Changed, dir.from.at, dir.from.key, "is relative; written as %q", path.Join(s.dir, dir.text))
		dir.text = path.Join(s.dir, dir.text)
	}
	dir.text = path.Clean(dir.text)
	if !slices.ContainsFunc(s.folders, func(v value) bool { return v.text == dir.text }) {
		s.folders = append(s.folders, dir)
	}
}
