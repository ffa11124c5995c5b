package compose

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/sirupsen/logrus"
)

// Bounds of an env file. A value may span lines inside of quotes; an open quote must not swallow the rest of the file.
const (
	maxFile  = 1 << 20
	maxLines = 100
)

// setting is one NAME=VALUE of an env file. Its value may be a secret: it is written nowhere unless the name is known.
type setting struct {
	key, value string
	at         Place
	also       []string // variables of the file that its value was made with
	environ    []string // and of the environment
	secret     string   // a variable that its value was made with and that must not be copied
}

func (s setting) origin() origin { return origin{s.at, s.key, s.also, s.environ} }

// envFile reads an env file statement by statement, since compose's own reader knows no lines and stops at the first fault.
// What a statement means is that reader's word; the end of a statement is where it finds no open quote.
type envFile struct {
	file    string
	environ Environ
	values  map[string]string // of the statements before
	all     []setting
	faults  []Fault
	notes   []Note

	lines []string
	asked map[string]bool // variables that the statement at hand refers to; true: the environment has it
}

func readEnv(src Source, environ Environ) *envFile {
	f := &envFile{file: src.Name, environ: environ, values: map[string]string{}}
	if len(src.Text) > maxFile {
		f.fault(0, "is larger than %d KiB, so it is no env file", maxFile>>10)
		return f
	}
	logrus.SetOutput(io.Discard) // compose's reader tells it of variables that are not set; here they are notes
	f.lines = strings.Split(strings.TrimPrefix(string(src.Text), "\uFEFF"), "\n")
	for at := 0; at < len(f.lines); {
		at += f.statement(at)
	}
	return f
}

// statement reads what begins at a line, and returns how many lines it took.
func (f *envFile) statement(at int) int {
	first := strings.TrimSpace(f.lines[at])
	if first == "" || first[0] == '#' {
		return 1
	}
	most := min(maxLines, len(f.lines)-at)
	for n := 1; ; n++ {
		text := strings.Join(f.lines[at:at+n], "\n") + "\n"
		f.asked = map[string]bool{}
		values, err := dotenv.UnmarshalWithLookup(text, f.lookup)
		if isOpen(err) && n < most {
			continue
		}
		switch {
		case err != nil:
			f.fault(at+1, "%s", envFault(err))
			return 1 // the lines behind an open quote are read as if it were closed
		case !utf8.ValidString(text):
			f.fault(at+1, "is not UTF-8")
		default:
			f.keep(at+1, values, text)
		}
		return n
	}
}

// lookup has the environment win over the file, as compose does.
func (f *envFile) lookup(name string) (string, bool) {
	value, ok := f.environ(name)
	f.asked[name] = ok
	if ok {
		return value, true
	}
	value, ok = f.values[name]
	return value, ok
}

func (f *envFile) keep(line int, values map[string]string, text string) {
	at := Place{f.file, line}
	var also, environ []string
	secret := ""
	for _, name := range sortedKeys(f.asked) {
		if isSecret(name) {
			secret = name
		}
		_, inFile := f.values[name]
		_, here := values[name]
		switch {
		case f.asked[name]:
			environ = append(environ, name)
		case inFile:
			also = append(also, name)
		case !here && refers(text, name):
			f.note(Warning, at, name, "is set nowhere, and read as nothing")
		}
	}
	if len(values) == 0 && len(f.asked) == 0 {
		f.fault(line, "is no NAME=VALUE")
	}
	for _, key := range sortedKeys(values) {
		if key == "" {
			f.fault(line, "has no name before the =")
			continue
		}
		if i := slices.IndexFunc(f.all, func(s setting) bool { return s.key == key }); i >= 0 {
			f.note(Dropped, f.all[i].at, key, fmt.Sprintf("is set again in line %d, which counts", line))
			f.all = slices.Delete(f.all, i, i+1)
		}
		f.values[key] = values[key]
		f.all = append(f.all, setting{key, values[key], at, also, environ, secret})
	}
}

// refers tells whether the text wants a variable without saying what to take instead, or names it alone on a line.
func refers(text, name string) bool {
	q := regexp.QuoteMeta(name)
	return regexp.MustCompile(`\$` + q + `($|[^A-Za-z0-9_])|\$\{` + q + `\}|^\s*(export\s+)?` + q + `\s*$|["']\s*` + q + `\s*$`).MatchString(text)
}

func (f *envFile) fault(line int, format string, args ...any) {
	f.faults = append(f.faults, Fault{Place{f.file, line}, fmt.Sprintf(format, args...)})
}

func (f *envFile) note(kind Kind, at Place, name, text string) {
	f.notes = append(f.notes, Note{Kind: kind, Place: at, Name: name, Text: text})
}

func isOpen(err error) bool {
	return err != nil && strings.Contains(err.Error(), "unterminated quoted value")
}

// envFault words what the reader says without the line's text, which may hold a secret.
func envFault(err error) string {
	var form *template.InvalidTemplateError
	var missing *template.MissingRequiredError
	switch {
	case errors.As(err, &form):
		return "has a $ that begins no variable; write $$ for the sign itself, or put the value into single quotes"
	case errors.As(err, &missing):
		return fmt.Sprintf("requires the variable %s, which is set nowhere", missing.Variable)
	case isOpen(err):
		return fmt.Sprintf("opens a quote that is not closed within %d lines", maxLines)
	case strings.Contains(err.Error(), "space"):
		return "has a space in the name before the ="
	}
	return "is no NAME=VALUE: a name has letters, digits, dots, dashes and underscores"
}
