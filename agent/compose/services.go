package compose

import (
	"cmp"
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
			text, from, secret := s.expand(raw, v.file, e.from.at.Line)
			switch {
			case secret: // which has been said
			case holdsSecret(name, text):
				s.note(Dropped, e.from.at, v.name+".environment."+name, "%s", notCopied)
			default:
				engine.vars = append(engine.vars, value{name + "=" + text, from})
			}
		}
	}
}

// volumes finds the folders of models.
func (s *stack) volumes(v service, n *yaml.Node) {
	for _, e := range mounts(n) {
		text, from, secret := s.expand(e.text, v.file, e.from.at.Line)
		if secret {
			continue
		}
		dir, to, _ := strings.Cut(text, ":")
		to, _, _ = strings.Cut(to, ":")
		holdsModels := to == "/models" || strings.Contains(e.text, "HF_HOME")
		at := Place{v.file, e.from.at.Line}
		switch {
		case holdsModels && strings.ContainsAny(dir, "/~"):
			from.key = cmp.Or(from.key, v.name+".volumes")
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
// first variable that the env file has, with the others. Of a text with a secret nothing is returned but that it is one.
func (s *stack) expand(raw, file string, line int) (text string, from origin, secret bool) {
	from = origin{at: Place{file, line}}
	for _, m := range variable.FindAllStringSubmatch(raw, -1) {
		v, ok := s.env[m[1]]
		if isSecret(m[1]) || v.secret != "" {
			s.note(Dropped, from.at, m[1], "is a secret, and never copied; what it is a part of is left out")
			return "", from, true
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
		return "", from, false
	}
	return text, from, false
}
