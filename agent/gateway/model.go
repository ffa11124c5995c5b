package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
)

// span is where a value stands in a body.
type span struct{ start, end int }

// errNoModel says that a body holds no model name at the place where one belongs.
var errNoModel = errors.New("there is no `model` in the body")

// findModel finds the value of the first top-level member "model" of a JSON object, and where it stands with its
// quotes. The body is read no further than that and nothing is allocated, so that 5 MiB of messages cost nothing when
// the name comes first, and little more than a search for quotes when it comes last. What else the body holds is for
// the engine to judge.
func findModel(body []byte) (name string, at span, err error) {
	s := scanner{body: body}
	if err := s.member("model"); err != nil {
		return "", span{}, err
	}
	at, ok := s.text()
	if !ok {
		return "", span{}, errors.New("`model` is not a string")
	}
	if err := json.Unmarshal(body[at.start:at.end], &name); err != nil {
		return "", span{}, errors.New("`model` is not a JSON string")
	}
	return name, at, nil
}

// wantsStream tells whether a body is a JSON object whose first top-level member "stream" is true.
func wantsStream(body []byte) bool {
	s := scanner{body: body}
	if s.member("stream") != nil {
		return false
	}
	start := s.pos
	s.word()
	return string(body[start:s.pos]) == "true"
}

var errBroken = errors.New("the body is not valid JSON")

// replaceModel puts name, as a JSON string, where at is. The body itself is left as it is.
func replaceModel(body []byte, at span, name string) parts {
	quoted, _ := json.Marshal(name) // a string can always be marshalled
	return exchanged(body, at, quoted)
}

// scanner steps over JSON without decoding it. It is strict in what it needs to keep its place: quotes, brackets,
// commas and colons; a number or a word is whatever stands between those.
type scanner struct {
	body []byte
	pos  int
}

// member steps to the value of the first top-level member of a name.
func (s *scanner) member(name string) error {
	s.space()
	if !s.take('{') {
		return errors.New("the body is not a JSON object")
	}
	for first := true; ; first = false {
		s.space()
		if s.take('}') {
			return errNoModel
		}
		if !first {
			if !s.take(',') {
				return errBroken
			}
			s.space()
		}
		key, ok := s.text()
		if !ok {
			return errBroken
		}
		s.space()
		if !s.take(':') {
			return errBroken
		}
		s.space()
		if s.is(key, name) {
			return nil
		}
		if !s.skip() {
			return errBroken
		}
	}
}

func (s *scanner) space() {
	for s.pos < len(s.body) {
		switch s.body[s.pos] {
		case ' ', '\t', '\r', '\n':
			s.pos++
		default:
			return
		}
	}
}

func (s *scanner) take(c byte) bool {
	if s.pos < len(s.body) && s.body[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

// text steps over a string and tells where it stands, quotes included.
func (s *scanner) text() (span, bool) {
	start := s.pos
	if !s.take('"') {
		return span{}, false
	}
	for {
		quote := bytes.IndexByte(s.body[s.pos:], '"')
		if quote < 0 {
			return span{}, false
		}
		end := s.pos + quote
		// The quote ends the string unless an odd number of backslashes stands before it.
		slashes := 0
		for i := end - 1; i > start && s.body[i] == '\\'; i-- {
			slashes++
		}
		s.pos = end + 1
		if slashes%2 == 0 {
			return span{start, s.pos}, true
		}
	}
}

// is compares a key, also when it is written with escapes.
func (s *scanner) is(key span, name string) bool {
	raw := s.body[key.start:key.end]
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1:len(raw)-1]) == name
	}
	var text string
	return json.Unmarshal(raw, &text) == nil && text == name
}

// skip steps over one value.
func (s *scanner) skip() bool {
	depth := 0
	for s.pos < len(s.body) {
		switch s.body[s.pos] {
		case '"':
			if _, ok := s.text(); !ok {
				return false
			}
		case '{', '[':
			depth++
			s.pos++
			continue
		case '}', ']':
			depth--
			if depth < 0 {
				return false // a value is missing
			}
			s.pos++
		case ' ', '\t', '\r', '\n', ',', ':':
			if depth == 0 {
				return false
			}
			s.pos++
			continue
		default:
			s.word()
		}
		if depth == 0 {
			return true
		}
	}
	return false
}

// word steps over a number, true, false or null.
func (s *scanner) word() {
	for s.pos < len(s.body) {
		switch s.body[s.pos] {
		case ',', ':', '{', '}', '[', ']', '"', ' ', '\t', '\r', '\n':
			return
		}
		s.pos++
	}
}
