package compose

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/template"
	"go.yaml.in/yaml/v3"
)

// service is one of a compose file.
type service struct {
	name string
	file string
	line int
	keys []pair // in the file's order
}

// pair is a key of a YAML mapping with its value.
type pair struct {
	key  string
	line int
	node *yaml.Node
}

// readCompose makes a server of each service that runs one. Compose's own loader is not used: it knows no lines, and it wants
// networks, files and variables that nobody needs here.
func (s *stack) readCompose(src Source) {
	fault := func(line int, format string, args ...any) {
		s.faults = append(s.faults, Fault{Place{src.Name, line}, fmt.Sprintf(format, args...)})
	}
	if len(src.Text) > maxFile {
		fault(0, "is larger than %d KiB, so it is no compose file", maxFile>>10)
		return
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(src.Text, &doc); err != nil {
		line, text := yamlFault(err)
		fault(line, "%s", text)
		return
	}
	if len(doc.Content) == 0 {
		fault(0, "is empty")
		return
	}
	found := false
	for _, p := range pairs(doc.Content[0]) {
		switch {
		case p.key == "services" && p.node.Kind == yaml.MappingNode:
			found = true
			for _, one := range pairs(p.node) {
				s.service(service{one.key, src.Name, one.line, pairs(one.node)})
			}
		case p.key == "name" || p.key == "version" || strings.HasPrefix(p.key, "x-"):
		default:
			s.note(Dropped, Place{src.Name, p.line}, p.key, "is for containers, and there are none")
		}
	}
	if !found {
		fault(0, "has no services, so it is no compose file")
	}
}

var yamlLine = regexp.MustCompile(`^yaml: line (\d+): (.*)$`)

// yamlFault takes the line out of what the reader says.
func yamlFault(err error) (line int, text string) {
	var types *yaml.TypeError
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil && !errors.As(err, &types) {
		_, _ = fmt.Sscan(m[1], &line)
		return line, "is no YAML: " + m[2]
	}
	return 0, "is no YAML: " + strings.TrimPrefix(err.Error(), "yaml: ")
}

// Bounds of `<<`: how deep it is followed, since an anchor may hold itself, and how many mappings each brings in.
const (
	maxMerge  = 4
	maxMerged = 16
)

// pairs are the keys of a mapping with those that `<<` brings in; nil for another node.
func pairs(n *yaml.Node) []pair { return mergedPairs(n, maxMerge) }

func mergedPairs(n *yaml.Node, depth int) []pair {
	n = target(n)
	if n.Kind != yaml.MappingNode || depth == 0 {
		return nil
	}
	var list, merged []pair
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], target(n.Content[i+1])
		if key.Value == "<<" {
			from := []*yaml.Node{value}
			if value.Kind == yaml.SequenceNode {
				from = value.Content[:min(len(value.Content), maxMerged)]
			}
			for _, f := range from {
				merged = append(merged, mergedPairs(f, depth-1)...)
			}
			continue
		}
		list = append(list, pair{key.Value, key.Line, value})
	}
	for _, m := range merged {
		if !slices.ContainsFunc(list, func(p pair) bool { return p.key == m.key }) {
			list = append(list, m)
		}
	}
	return list
}

// target follows an alias; anchors of aliases are not nested.
func target(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

// texts are the scalars of a list, or of a mapping as KEY=VALUE.
func texts(n *yaml.Node) []value {
	var list []value
	switch n.Kind {
	case yaml.ScalarNode:
		list = append(list, value{n.Value, origin{at: Place{Line: n.Line}}})
	case yaml.SequenceNode:
		for _, e := range n.Content {
			if e = target(e); e.Kind == yaml.ScalarNode {
				list = append(list, value{e.Value, origin{at: Place{Line: e.Line}}})
			}
		}
	case yaml.MappingNode:
		for _, p := range pairs(n) {
			list = append(list, value{p.key + "=" + p.node.Value, origin{at: Place{Line: p.line}}})
		}
	}
	return list
}

// service reads one, with what becomes of each of its keys.
func (s *stack) service(v service) {
	engine := s.command(v)
	if engine == nil {
		s.note(Dropped, Place{v.file, v.line}, v.name, "runs neither vllm serve nor llama-server")
		return
	}
	if !engine.model.there() {
		s.note(Warning, Place{v.file, v.line}, v.name, "has no model: a variable of its command is set nowhere, so it cannot have run; left out")
		return
	}
	s.servers = append(s.servers, engine)
	var sandbox []string
	for _, p := range v.keys {
		at := Place{v.file, p.line}
		switch p.key {
		case "command", "entrypoint":
		case "image", "build":
			s.note(Dropped, at, v.name+"."+p.key, "is a container's: tierd runs the program of [engine.%s] on this machine", engine.engine)
		case "environment":
			s.environment(v, engine, p.node)
		case "volumes":
			s.volumes(v, p.node)
		case "profiles":
			s.note(Changed, at, v.name+".profiles", "is `start` of the tier now, and the modes")
		case "env_file":
			s.note(Warning, at, v.name+".env_file", "is not read: import that file, too, or write its variables into env")
		default:
			sandbox = append(sandbox, p.key)
		}
	}
	if len(sandbox) > 0 {
		s.note(Dropped, Place{v.file, v.line}, v.name, "has %s: a unit has its own sandbox, limits, order and checks, and the gateway its port", strings.Join(sandbox, ", "))
	}
}

// environment keeps what the engine may need for its variant.
func (s *stack) environment(v service, engine *server, n *yaml.Node) {
	for _, e := range texts(n) {
		e.from.at.File = v.file
		name, raw, given := strings.Cut(e.text, "=")
		kind, why := reason(name)
		switch {
		case name == "HF_HOME":
			s.note(Dropped, e.from.at, v.name+".environment."+name, "is the engine's cache: its models are found by the folders of [host]")
		case kind == Dropped:
			s.note(kind, e.from.at, v.name+".environment."+name, "%s", why)
		case !given:
			s.note(Warning, e.from.at, v.name+".environment."+name, "has no value; write it into env if the engine needs it")
		default:
			text, from := s.expand(raw, v.file, e.from.at.Line)
			engine.vars = append(engine.vars, value{name + "=" + text, from})
		}
	}
}

// volumes finds the folders of models.
func (s *stack) volumes(v service, n *yaml.Node) {
	for _, e := range texts(n) {
		text, from := s.expand(e.text, v.file, e.from.at.Line)
		dir, to, _ := strings.Cut(text, ":")
		to, _, _ = strings.Cut(to, ":")
		holdsModels := to == "/models" || strings.Contains(e.text, "HF_HOME")
		at := Place{v.file, e.from.at.Line}
		switch {
		case holdsModels && strings.ContainsAny(dir, "/~"):
			s.folder(value{dir, from})
		case holdsModels:
			s.note(Warning, at, v.name+".volumes", "is a volume of Docker's: copy the models out of it, into a folder of [host]")
		default:
			s.note(Dropped, at, v.name+".volumes", "is for containers: tiers see the models they serve and a cache of their own")
		}
	}
}

var variable = regexp.MustCompile(`\$\{?([A-Za-z_][A-Za-z0-9_]*)`)

// expand replaces the variables of a text. The env file is asked before the environment: it is what is imported. The origin is that of the
// first variable that the env file has, with the others.
func (s *stack) expand(raw, file string, line int) (string, origin) {
	from := origin{at: Place{file, line}}
	for _, m := range variable.FindAllStringSubmatch(raw, -1) {
		v, ok := s.env[m[1]]
		if isSecret(m[1]) || v.secret != "" {
			s.note(Dropped, from.at, m[1], "is a secret, and never copied; what it is a part of is left out")
			return "", from
		}
		switch {
		case !ok || from.key == v.key:
		case from.key == "":
			from = v.origin()
		case !slices.Contains(from.also, v.key):
			from.also = append(slices.Clip(from.also), v.key)
		}
	}
	text, err := template.SubstituteWithOptions(raw, func(name string) (string, bool) {
		if v, ok := s.env[name]; ok {
			return v.value, true
		}
		value, ok := s.environ(name)
		if ok {
			from.environ = append(from.environ, name)
		} else if refers(raw, name) {
			s.note(Warning, Place{file, line}, name, "is set nowhere, and read as nothing")
		}
		return value, ok
	}, template.WithoutLogging)
	if err != nil {
		s.faults = append(s.faults, Fault{Place{file, line}, envFault(err)})
		return "", from
	}
	return text, from
}
