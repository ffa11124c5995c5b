package compose

import (
	"cmp"
	"path"
	"regexp"
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
	secret bool // the text is left out, but for the name of a flag that it stands behind
}

// command makes the server of a service's command; nil when it runs none that is known.
func (s *stack) command(v service) *server {
	var words []argument
	var raw []string
	for _, key := range []string{"entrypoint", "command"} {
		i := slices.IndexFunc(v.keys, func(p pair) bool { return p.key == key })
		if i < 0 {
			continue
		}
		for _, text := range texts(v.keys[i].node) {
			line := text.from.at.Line
			if inList := len(v.keys[i].node.Content) > 0; inList && !endsInShell(raw) { // it is one argument, whatever is in it
				raw = append(raw, text.text)
				words = append(words, s.argument(text.text, v, line, true)...)
				continue
			}
			for _, word := range s.split(text.text, v.file, line) {
				raw = append(raw, word)
				words = append(words, s.argument(word, v, line, false)...)
			}
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
	// Images of the engines' own makers run the server by themselves, so the command has its arguments alone.
	image, named := v.text("image"), slices.ContainsFunc(v.keys, func(p pair) bool { return p.key == "entrypoint" })
	switch {
	case named || len(words) == 0:
	case llamaImage.MatchString(image):
		return s.server(v, units.KindLlama, words)
	case vllmImage.MatchString(image):
		return s.server(v, units.KindVLLM, words)
	}
	return nil
}

var (
	llamaImage = regexp.MustCompile(`/llama\.cpp:server\b`)
	vllmImage  = regexp.MustCompile(`(^|/)vllm-openai(-rocm)?(:|@|$)`)
)

// split takes a command apart as a shell does, and what a shell is given by `-c` as well. Of several commands behind each other, as
// in `cd /models && llama-server`, it is the one that runs an engine, else the first.
func (s *stack) split(text, file string, line int) []string {
	var first []string
	text = strings.ReplaceAll(text, "\\\n", "") // a line that goes on
	for text != "" {
		p := shellwords.NewParser()
		words, err := p.Parse(text)
		if err != nil {
			s.faults = append(s.faults, Fault{Place{file, line}, "has a command with a quote that is not closed"})
			return nil
		}
		for i, w := range words {
			if endsInShell(words[:i]) {
				words = s.split(w, file, line)
				break
			}
		}
		if slices.ContainsFunc(words, isEngine) {
			return words
		}
		if first == nil {
			first = words
		}
		if p.Position < 0 || p.Position >= len(text) {
			break
		}
		text = strings.TrimLeft(text[p.Position:], ";&|<> ")
	}
	return first
}

// isEngine tells whether a word names a program that serves models.
func isEngine(word string) bool {
	name := path.Base(word)
	return name == "vllm" || name == "llama-server" || strings.HasPrefix(word, "vllm.entrypoints.")
}

// endsInShell tells whether the next word is a command for a shell to split.
func endsInShell(words []string) bool {
	n := len(words)
	return n >= 2 && slices.Contains([]string{"sh", "bash"}, path.Base(words[n-2])) && strings.HasPrefix(words[n-1], "-") && strings.HasSuffix(words[n-1], "c")
}

// argument replaces variables in a word of a command. In a command that is one text, a value with blanks becomes several words, as it
// does in compose, which replaces before it splits; a word that has blanks itself was quoted, and stays whole.
func (s *stack) argument(raw string, v service, line int, whole bool) []argument {
	text, from, secret := s.expand(raw, v.file, line)
	from.key = cmp.Or(from.key, v.name)
	if secret {
		name := ""
		if strings.HasPrefix(raw, "-") {
			name, _, _ = strings.Cut(raw, "=")
		}
		return []argument{{raw, value{name, from}, true}}
	}
	if whole || strings.ContainsAny(raw, " \t\n") {
		if text == "" {
			return nil
		}
		return []argument{{raw, value{text, from}, false}}
	}
	var list []argument
	for _, word := range strings.Fields(text) {
		list = append(list, argument{raw, value{word, from}, false})
	}
	return list
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
		if !strings.HasPrefix(word.text, "-") {
			if !word.secret {
				s.plainWord(v, r, word.value)
			}
			continue
		}
		name, text, isInline := strings.Cut(word.text, "=")
		is := argument{word.raw, value{text, word.from}, word.secret}
		follows := !isInline && !word.secret && len(args) > 0 && (!strings.HasPrefix(args[0].text, "-") || isNumber(args[0].text))
		use, known := uses[dashed(r.kind, name)]
		switch {
		case known && use.takes && follows, !known && follows:
			is, args = args[0], args[1:]
		case known && !use.takes:
			is.text = "" // `--flag` alone
		}
		if m := variable.FindStringSubmatch(is.raw); m != nil && name == "--port" {
			portName = m[1]
		}
		switch {
		case is.secret: // which has been said
		case isSecret(variableName(name)), !known && holdsSecret(name, is.text):
			s.note(Dropped, word.from.at, v.name+" "+name, "%s", notCopied)
		case known:
			use.to(s, r, is.value)
		case s.own(v, r, name, word.value):
		case follows:
			r.extra = append(r.extra, word.value, is.value)
		default:
			r.extra = append(r.extra, word.value)
		}
	}
	r.agent = agentOfService(v.name, portName)
	s.complete(v, r)
	return r
}

// plainWord is one that is neither a flag nor a flag's value: the model, for vllm serve.
func (s *stack) plainWord(v service, r *server, word value) {
	switch {
	case r.kind == units.KindVLLM && !r.model.there():
		r.model = word
	case holdsSecret("", word.text):
		s.note(Dropped, word.from.at, v.name+" command", "%s", notCopied)
	default:
		r.extra = append(r.extra, word)
	}
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

// complete gives a llama-server what its flags mean together.
func (s *stack) complete(v service, r *server) {
	if r.kind != units.KindLlama {
		return
	}
	r.model.text = strings.TrimPrefix(r.model.text, "/models/") // where every container of llama.cpp had the folder
	if image := v.text("image"); r.engine == "llama-radv" && strings.Contains(image, "rocm") {
		r.engine = "llama-rocm"
	}
	if !r.context.there() {
		r.context = s.take(r.agent + "_MAX_LEN") // it took the model's own
	}
	context, err1 := strconv.Atoi(r.context.text)
	slots, err2 := strconv.Atoi(r.parallel.text)
	if err1 == nil && err2 == nil && slots > 1 && context >= slots {
		r.context.text = strconv.Itoa(context / slots)
		s.note(Changed, r.context.from.at, r.context.from.key, "was shared by %d slots; a tier's context is what one request may have, so %s", slots, r.context.text)
	}
}
