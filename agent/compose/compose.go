// Package compose turns the files of a stack of model servers in containers, an env file and compose files, into a tiers.toml.
//
// It is pure: texts in, a text and findings out. It never repeats the value of a variable that it does not know, since that may
// be a secret; and everything that it read and did not use is in the findings.
package compose

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/tierd/tierd/units"
)

// Source is one file of the old stack.
type Source struct {
	Name string // as findings name it
	Dir  string // its folder, absolute: relative paths in it begin here. Not used for compose files.
	Text []byte
}

// Environ looks a variable up in the environment, as os.LookupEnv does.
type Environ func(name string) (value string, ok bool)

// Place is a line of one of the files. Line 0 is the file as a whole, and no file is something that none of them says.
type Place struct {
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
}

func (p Place) String() string {
	name := p.File
	if strings.ContainsFunc(name, unicode.IsControl) { // must not begin a line of its own in the comments
		name = fmt.Sprintf("%q", name)
	}
	if p.Line == 0 {
		return name
	}
	return fmt.Sprintf("%s:%d", name, p.Line)
}

// Fault is something because of which no tiers.toml is written.
type Fault struct {
	Place
	Text string `json:"text"`
}

func (f Fault) Error() string { return fmt.Sprintf("%s: %s", f.Place, f.Text) }

// Kind is what became of something.
type Kind string

// The kinds of notes.
const (
	Warning Kind = "warning" // to be looked at before the file is used
	Changed Kind = "changed" // it is there in another form
	Dropped Kind = "dropped" // it is not there
)

var kinds = []Kind{Warning, Changed, Dropped}

// Note says what became of one thing that the files hold, and why. Text goes on where Name ends.
type Note struct {
	Kind  Kind   `json:"kind"`
	Place        // where it stands
	Name  string `json:"name"` // a variable, or a key of a service
	Text  string `json:"text"`
}

// Result is the configuration and what has to be known of it.
type Result struct {
	TOML  []byte // accepted by units.ParseConfig
	Notes []Note // warnings first, then changes and what was dropped, each in the order of the files
}

// Import reads an env file, and the compose files that use it. Without them what each variable means comes from its name. With
// them their commands say it, and what none of them uses is dropped. The result is nil when there is a fault.
func Import(env Source, files []Source, environ Environ) (*Result, []Fault) {
	f := readEnv(env, environ)
	s := &stack{dir: env.Dir, environ: environ, env: map[string]setting{}, notes: f.notes, faults: f.faults}
	for _, v := range f.all {
		s.env[v.key] = v
	}
	if len(files) == 0 {
		s.byNames(f.all)
	}
	for _, file := range files {
		s.readCompose(file)
	}
	s.planner()
	tiers := s.tiers()
	if len(tiers) == 0 && len(s.faults) == 0 {
		s.faults = append(s.faults, noServer(env, files, s.notes)...)
	}
	if len(tiers) == 0 {
		return nil, sortFaults(s.faults)
	}
	w := s.write(tiers)
	s.rest(f.all, w, len(files) > 0)
	s.notes = sortNotes(s.notes, env.Name, files)
	w.appendix(s.notes)
	text := w.bytes()
	if faults := append(s.faults, w.check(text)...); len(faults) > 0 {
		return nil, sortFaults(faults)
	}
	return &Result{TOML: text, Notes: s.notes}, nil
}

// noServer is why there is nothing to write, with what would have been warned of: a server may be left out for one of these.
func noServer(env Source, files []Source, notes []Note) []Fault {
	why := Fault{Place{File: env.Name}, "there is no model server in it: a tier is made of NAME_PORT with NAME_MODEL for vLLM or NAME_GGUF for llama.cpp"}
	if len(files) > 0 {
		why = Fault{Place{File: files[0].Name}, "no service of the compose files runs vllm serve or llama-server with a model, and tierd has no other engines"}
	}
	faults := []Fault{why}
	for _, n := range notes {
		if n.Kind == Warning {
			faults = append(faults, Fault{n.Place, n.Name + " " + n.Text})
		}
	}
	return faults
}

// check has tiers.toml's own reader judge the result, and tells its faults where the values came from.
func (w *writer) check(text []byte) []Fault {
	var faults []Fault
	_, found := units.ParseConfig("tiers.toml", text)
	for _, f := range found {
		if f.Warning {
			continue
		}
		from := w.origin(f.Line)
		faults = append(faults, Fault{from.at, strings.TrimPrefix(from.key+": ", ": ") + ownLine.ReplaceAllString(f.Msg, "")})
	}
	return faults
}

// origin is where a line of the result comes from; of one that was added, where its table does.
func (w *writer) origin(n int) origin {
	for i := min(n, len(w.lines)) - 1; i >= 0; i-- {
		if from := w.lines[i].from; from.at.File != "" {
			return from
		}
	}
	return origin{at: Place{File: w.file}}
}

// ownLine is a line of the file that is not written.
var ownLine = regexp.MustCompile(` \(line [0-9]+\)`)

func sortFaults(list []Fault) []Fault {
	slices.SortStableFunc(list, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return slices.Compact(list)
}

func sortNotes(list []Note, env string, files []Source) []Note {
	rank := func(name string) int {
		return slices.IndexFunc(files, func(s Source) bool { return s.Name == name && name != env })
	}
	slices.SortStableFunc(list, func(a, b Note) int {
		return cmp.Or(cmp.Compare(slices.Index(kinds, a.Kind), slices.Index(kinds, b.Kind)),
			cmp.Compare(rank(a.File), rank(b.File)), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Text, b.Text))
	})
	return slices.Compact(list)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
