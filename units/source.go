package units

import (
	"strconv"
	"strings"
)

// source tells where in the file each key stands, and in which order. It finds keys and does not judge values: that is the
// TOML parser's part, and where the text is no TOML what is found here has no meaning.
type source struct {
	text  string
	pos   int
	line  int
	lines map[string]int // line of each key path, joined by keySep
	order map[string]int // rank of each key path by first appearance
	where []string       // the table that the current line belongs to
	depth int            // lists and inline tables that are open
	deep  int            // the first line with more nesting than maxNesting; 0: none
}

// keySep joins the parts of a key path: TOML refuses this character in a bare key, and in a quoted one it must be escaped.
const keySep = "\x00"

// maxDepth is deeper than any key of tiers.toml: tier.NAME.variant.NAME.env.NAME. What lies below is cut off, since a path
// of thousands of parts would be kept thousands of times.
const maxDepth = 8

// maxNesting is where the file is garbage: the TOML library needs minutes for a key of thousands of parts.
const maxNesting = 64

func newSource(text string) *source {
	s := &source{text: text, line: 1, lines: map[string]int{}, order: map[string]int{}}
	for s.space(true); s.pos < len(s.text) && s.deep == 0; s.space(true) {
		at := s.pos
		s.statement()
		if s.pos == at { // never happens in valid TOML; must not hang in any text
			s.pos++
		}
	}
	return s
}

// at is the line of the deepest part of the path that the file has: of the key, else of its table; 0 when it has none.
func (s *source) at(path ...string) int {
	for n := len(path); n > 0; n-- {
		if line, ok := s.lines[strings.Join(path[:n], keySep)]; ok {
			return line
		}
	}
	return 0
}

// has tells whether the file has this very key.
func (s *source) has(path ...string) bool {
	_, ok := s.lines[strings.Join(path, keySep)]
	return ok
}

// rank orders the keys of one table as the file does.
func (s *source) rank(path ...string) int { return s.order[strings.Join(path, keySep)] }

func (s *source) note(path []string) {
	for n := 1; n <= len(path); n++ {
		key := strings.Join(path[:n], keySep)
		if _, ok := s.lines[key]; !ok {
			s.lines[key] = s.line
			s.order[key] = len(s.order)
		}
	}
}

// statement reads a table header or a key with its value.
func (s *source) statement() {
	if s.peek() != '[' {
		s.keyValue(s.where)
		return
	}
	for s.peek() == '[' {
		s.pos++
	}
	s.where = s.key(nil)
	// A header decides the line of its table even if a table below it came first.
	s.note(s.where)
	s.lines[strings.Join(s.where, keySep)] = s.line
	for s.peek() == ']' {
		s.pos++
	}
}

func (s *source) keyValue(prefix []string) {
	path := s.key(prefix)
	s.note(path)
	if s.peek() == '=' {
		s.pos++
		s.value(path)
	}
}

func (s *source) nested(levels int) {
	if levels > maxNesting && s.deep == 0 {
		s.deep = s.line
	}
}

// key reads a dotted key and returns it behind the prefix.
func (s *source) key(prefix []string) []string {
	path := prefix[:len(prefix):len(prefix)]
	for parts := 1; ; parts++ {
		s.nested(parts)
		s.space(false)
		if part := s.keyPart(); len(path) < maxDepth {
			path = append(path, part)
		}
		s.space(false)
		if s.peek() != '.' {
			return path
		}
		s.pos++
	}
}

func (s *source) keyPart() string {
	if q := s.peek(); q == '"' || q == '\'' {
		return s.str()
	}
	start := s.pos
	for s.pos < len(s.text) && !strings.ContainsRune(" \t\r\n.=[]{},\"'#", rune(s.text[s.pos])) {
		s.pos++
	}
	return s.text[start:s.pos]
}

func (s *source) value(path []string) {
	s.space(false)
	switch s.peek() {
	case '"', '\'':
		s.str()
	case '[':
		s.list(']', func() { s.value(path) })
	case '{':
		s.list('}', func() { s.keyValue(path) })
	default:
		for s.pos < len(s.text) && !strings.ContainsRune(",]}#\n", rune(s.text[s.pos])) {
			s.pos++
		}
	}
}

// list reads an array or an inline table up to its closing character.
func (s *source) list(end byte, element func()) {
	s.pos++
	s.depth++
	defer func() { s.depth-- }()
	s.nested(s.depth)
	for s.space(true); s.pos < len(s.text) && s.deep == 0 && s.peek() != end; s.space(true) {
		at := s.pos
		element()
		s.space(true)
		if s.peek() == ',' || s.pos == at {
			s.pos++
		}
	}
	if s.pos < len(s.text) {
		s.pos++
	}
}

// str reads a string of any of the four kinds. Escapes that Go does not know (\e) stay as they are: a key with one is an
// unknown key, and is told at its table's line.
func (s *source) str() string {
	q := s.text[s.pos : s.pos+1]
	if triple := strings.Repeat(q, 3); strings.HasPrefix(s.text[s.pos:], triple) {
		q = triple
	}
	s.pos += len(q)
	start := s.pos
	for s.pos < len(s.text) && !strings.HasPrefix(s.text[s.pos:], q) {
		switch {
		case s.text[s.pos] == '\n':
			s.line++
		case s.text[s.pos] == '\\' && q[0] == '"' && s.pos+1 < len(s.text):
			s.pos++
			if s.text[s.pos] == '\n' {
				s.line++
			}
		}
		s.pos++
	}
	text := s.text[start:s.pos]
	s.pos = min(s.pos+len(q), len(s.text))
	for len(q) == 3 && s.peek() == q[0] { // up to two quotes may stand before the closing three
		s.pos++
	}
	if plain, err := strconv.Unquote(`"` + text + `"`); err == nil && q == `"` {
		return plain
	}
	return text
}

// space skips blanks and, over lines, comments too.
func (s *source) space(lines bool) {
	for s.pos < len(s.text) {
		switch c := s.text[s.pos]; {
		case c == ' ' || c == '\t' || c == '\r':
		case c == '\n' && lines:
			s.line++
		case c == '#' && lines:
			for s.pos < len(s.text) && s.text[s.pos] != '\n' {
				s.pos++
			}
			continue
		default:
			return
		}
		s.pos++
	}
}

func (s *source) peek() byte {
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return 0
}
