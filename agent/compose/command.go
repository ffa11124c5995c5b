package compose

import (
	"cmp"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/mattn/go-shellwords"

	"github.com/tierd/tierd/units"
)

// argument is a word of a command: as the file has it, and with its variables replaced.
type argument struct {
	raw string
	value
}

// command makes the server of a service's command; nil when it runs none that is known.
func (s *stack) command(v service) *server {
	var words []argument
	for _, key := range []string{"entrypoint", "command"} {
		i := slices.IndexFunc(v.keys, func(p pair) bool { return p.key == key })
		if i < 0 {
			continue
		}
		for _, text := range texts(v.keys[i].node) {
			split := []string{text.text}
			if len(v.keys[i].node.Content) == 0 { // a command that is one text is split as a shell would
				split = s.split(text.text, v.file, text.from.at.Line)
			}
			words = append(words, s.arguments(split, v, text.from.at.Line)...)
		}
	}
	for i, w := range words {
		switch {
		case path.Base(w.text) == "vllm" && i+1 < len(words) && words[i+1].text == "serve":
			return s.server(v, units.KindVLLM, words[i+2:])
		case strings.HasPrefix(w.text, "vllm.entrypoints."):
			return s.server(v, units.KindVLLM, words[i+1:])
		case path.Base(w.text) == "llama-server":
			return s.server(v, units.KindLlama, words[i+1:])
		}
	}
	return nil
}

// split takes a command apart, and what a shell is given by `-c` as well.
func (s *stack) split(text, file string, line int) []string {
	words, err := shellwords.Parse(text)
	if err != nil {
		s.faults = append(s.faults, Fault{Place{file, line}, "has a command with a quote that is not closed"})
		return nil
	}
	for i, w := range words {
		isShell := i >= 1 && slices.Contains([]string{"sh", "bash"}, path.Base(words[i-1])) && strings.HasPrefix(w, "-") && strings.HasSuffix(w, "c")
		if isShell && i+1 < len(words) {
			return s.split(words[i+1], file, line)
		}
	}
	return words
}

// arguments replaces variables; a value with blanks becomes several words, as it does in compose.
func (s *stack) arguments(words []string, v service, line int) []argument {
	var list []argument
	for _, raw := range words {
		text, from := s.expand(raw, v.file, line)
		from.key = cmp.Or(from.key, v.name)
		for _, word := range strings.Fields(text) {
			list = append(list, argument{raw, value{word, from}})
		}
	}
	return list
}

// flagUse says what a flag of an engine is here.
type flagUse struct {
	takes bool // a value
	to    func(v *server, is value)
}

func drop(*server, value) {}

// vllmUses and llamaUses are the flags with a key of tiers.toml, or that tierd sets; all others are passed on.
var vllmUses = map[string]flagUse{
	"--model":                   {true, func(v *server, is value) { v.model = is }},
	"--max-model-len":           {true, func(v *server, is value) { v.context = is }},
	"--max-num-seqs":            {true, func(v *server, is value) { v.parallel = is }},
	"--gpu-memory-utilization":  {true, func(v *server, is value) { v.share = is }},
	"--tool-call-parser":        {true, func(v *server, is value) { v.tools = is }},
	"--served-model-name":       {true, drop},
	"--api-key":                 {true, drop},
	"--enable-prefix-caching":   {false, drop}, // tierd's default, too
	"--enable-auto-tool-choice": {false, drop},
}

var llamaUses = map[string]flagUse{
	"-m": {true, func(v *server, is value) { v.model = is }}, "--model": {true, func(v *server, is value) { v.model = is }},
	"-c": {true, func(v *server, is value) { v.context = is }}, "--ctx-size": {true, func(v *server, is value) { v.context = is }},
	"-t": {true, func(v *server, is value) { v.threads = is }}, "--threads": {true, func(v *server, is value) { v.threads = is }},
	"-np": {true, func(v *server, is value) { v.parallel = is }}, "--parallel": {true, func(v *server, is value) { v.parallel = is }},
	"-ngl": {true, gpuLayers}, "--n-gpu-layers": {true, gpuLayers}, "--gpu-layers": {true, gpuLayers},
	"--no-mmap": {false, func(v *server, is value) { v.loadMode = value{"none", is.from} }},
	"--mlock":   {false, func(v *server, is value) { v.loadMode = value{"mlock", is.from} }},
	"--alias":   {true, drop}, "-a": {true, drop}, "--api-key": {true, drop},
	"--jinja": {false, drop}, "--metrics": {false, drop}, "--no-webui": {false, drop},
}

// gpuLayers: with any layer on the GPU the server is one of the engines that may open it.
func gpuLayers(v *server, is value) {
	if n, err := strconv.Atoi(is.text); err != nil || n != 0 {
		v.engine = "llama-radv"
	}
}

// server reads the arguments behind the program's name.
func (s *stack) server(v service, kind string, args []argument) *server {
	r := &server{kind: kind, engine: kind, at: Place{v.file, v.line}}
	uses := llamaUses
	if kind == units.KindVLLM {
		uses = vllmUses
	}
	portName := ""
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		name, inline, isInline := strings.Cut(word.text, "=")
		if !strings.HasPrefix(name, "-") {
			if kind == units.KindVLLM && !r.model.there() {
				r.model = word.value
			} else {
				r.extra = append(r.extra, word.value)
			}
			continue
		}
		next := value{}
		takes := func() { // the value of the flag at hand
			switch {
			case isInline:
				next = value{inline, word.from}
			case len(args) > 0 && !strings.HasPrefix(args[0].text, "-"):
				next = args[0].value
				if m := variable.FindStringSubmatch(args[0].raw); m != nil && name == "--port" {
					portName = m[1]
				}
				args = args[1:]
			}
		}
		use, known := uses[name]
		switch {
		case name == "--port":
			takes()
			r.port = next
		case name == "--host":
			takes()
			s.listened(next)
		case kind == units.KindLlama && (name == "--flash-attn" || name == "-fa"):
			takes() // "on" where it is left out, as older versions had it
			if r.flash = next; !next.there() {
				r.flash = value{"on", word.from}
			}
		case kind == units.KindVLLM && (name == "--kv-cache-dtype" || name == "--dtype"):
			takes()
			if name == "--dtype" && next.text == "auto" {
				continue
			}
			s.flagValue(r, name, next)
		case known:
			if use.takes {
				takes()
			} else {
				next = word.value
			}
			use.to(r, next)
		case isSecret(strings.ToUpper(strings.ReplaceAll(strings.TrimLeft(name, "-"), "-", "_"))):
			takes()
			s.note(Dropped, word.from.at, v.name+" "+name, "is a secret, and never copied")
		default:
			r.extra = append(r.extra, word.value)
			if takes(); next.there() && !isInline {
				r.extra = append(r.extra, next)
			}
		}
	}
	r.agent = agentOfService(v.name, portName)
	if rest, ok := strings.CutPrefix(r.model.text, "/models/"); ok && kind == units.KindLlama {
		r.model.text = rest // where every container of llama.cpp had the folder
	}
	if image := v.text("image"); r.engine == "llama-radv" && strings.Contains(image, "rocm") {
		r.engine = "llama-rocm"
	}
	s.complete(r)
	return r
}

// text is the scalar of a key, "" when there is none.
func (v service) text(key string) string {
	for _, p := range v.keys {
		if p.key == key {
			return p.node.Value
		}
	}
	return ""
}

// listened says once that tiers are less open than the servers were.
func (s *stack) listened(host value) {
	if !s.open && (host.text == "0.0.0.0" || host.text == "::") {
		s.open = true
		s.note(Changed, host.from.at, host.from.key+" --host", "was every address, here and perhaps elsewhere: tiers answer at 127.0.0.1 alone; `listen` in [gateway], with a key, opens them")
	}
}

// complete fills what llama.cpp took from the model when it was not told.
func (s *stack) complete(r *server) {
	if !r.context.there() && r.kind == units.KindLlama {
		r.context = s.take(r.agent + "_MAX_LEN")
	}
}
