package quirks

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// The kinds of entry, each a list of tables of that name, with the keys of its own. Every kind takes those of everyKind
// as well.
var kinds = map[string][]string{
	"format":   {"quant", "scheme", "bits", "float", "activations", "moe", "needs"}, // of a model's weights
	"kv_cache": {"dtype"},
	"setting":  {"env", "flag", "value"}, // of an engine
	"host":     {"cwsr", "mes", "parameter", "value"},
}

var (
	everyKind = []string{"gfx", "engine", "version", "kernel"}
	wordKeys  = []string{"id", "verdict", "reason", "since", "source"} // every entry has each of them
)

// parser reads one file.
type parser struct {
	file   string
	lines  map[string]int // of "kind INDEX" and of "kind INDEX key"
	faults []Fault
}

// parse reads the entries of a file. When there is a fault there are no entries.
func parse(file string, src []byte) ([]quirk, []Fault) {
	p := &parser{file: file, lines: linesOf(string(src))}
	raw, line, err := decode(src)
	if err != nil {
		p.fault(line, "this is not TOML: %v", err)
		return nil, p.faults
	}
	var all []quirk
	for _, kind := range slices.Sorted(maps.Keys(raw)) {
		if _, known := kinds[kind]; !known {
			p.fault(p.lines[kind], "unknown key %s; there are [[%s]]", quoted(kind), strings.Join(slices.Sorted(maps.Keys(kinds)), "]], [["))
			continue
		}
		entries, ok := raw[kind].([]map[string]any)
		if !ok {
			p.fault(p.lines[kind], "%s is not a list of tables; write [[%s]]", kind, kind)
			continue
		}
		for i, e := range entries {
			all = append(all, p.entry(kind, i, e))
		}
	}
	p.doubles(all)
	slices.SortStableFunc(p.faults, func(a, b Fault) int { return a.Line - b.Line })
	if len(p.faults) > 0 {
		return nil, p.faults
	}
	return all, nil
}

// decode reads TOML. A line of thousands of dots or brackets is refused before the library sees it, since it would
// take minutes over that.
func decode(src []byte) (raw map[string]any, line int, err error) {
	number := 0
	for text := range strings.Lines(string(src)) {
		if number++; len(text) > 4096 || strings.Count(text, "[") > 64 {
			return nil, number, errors.New("the line is too long")
		}
	}
	_, err = toml.Decode(string(src), &raw)
	var syntax toml.ParseError
	if errors.As(err, &syntax) {
		return nil, max(syntax.Position.Line, 1), errors.New(oneLine(syntax.Message))
	}
	if err != nil {
		return nil, 0, errors.New(oneLine(err.Error()))
	}
	return raw, 0, nil
}

func (p *parser) fault(line int, format string, args ...any) {
	p.faults = append(p.faults, Fault{File: p.file, Line: line, Msg: fmt.Sprintf(format, args...)})
}

// entry reads one entry and says all that is wrong with it.
func (p *parser) entry(kind string, index int, raw map[string]any) quirk {
	head := fmt.Sprintf("%s %d", kind, index)
	at := func(key string) int {
		if line, ok := p.lines[head+" "+key]; ok {
			return line
		}
		return p.lines[head]
	}
	q := quirk{conditions: map[string]condition{}, line: at("")}
	for _, key := range slices.Sorted(maps.Keys(raw)) {
		if err := q.set(kind, key, raw); err != nil {
			p.fault(at(key), "%s in [[%s]] %v", quoted(key), kind, err)
		}
	}
	for _, key := range wordKeys {
		if _, there := raw[key]; !there {
			p.fault(at(""), "this [[%s]] has no %s; every entry has %s", kind, key, strings.Join(wordKeys, ", "))
		}
	}
	if err := q.setTopic(kind, raw); err != nil {
		p.fault(at(""), "this [[%s]] %v", kind, err)
	}
	return q
}

var idForm = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*$`)

// set takes one key of an entry.
func (q *quirk) set(kind, key string, raw map[string]any) error {
	if slices.Contains(wordKeys, key) {
		text, ok := raw[key].(string)
		text = oneLine(text)
		switch {
		case !ok || text == "":
			return errors.New("is not a text")
		case key == "verdict" && !slices.Contains([]string{Allow, Warn, Refuse}, text):
			return fmt.Errorf("is %s, which is none of allow, warn, refuse", quoted(text))
		case key == "id" && !idForm.MatchString(text):
			return fmt.Errorf("is %s; it has small letters, digits, dashes and dots", quoted(text))
		}
		*map[string]*string{"id": &q.ID, "verdict": &q.Verdict.Verdict, "reason": &q.Reason, "since": &q.Since, "source": &q.Source}[key] = text
		return nil
	}
	known := slices.Concat(kinds[kind], everyKind)
	if !slices.Contains(known, key) {
		return fmt.Errorf("is unknown; it takes %s", strings.Join(slices.Sorted(slices.Values(slices.Concat(known, wordKeys))), ", "))
	}
	list, err := textList(raw[key])
	if err != nil {
		return err
	}
	if key == "needs" {
		for _, n := range list {
			q.needs = append(q.needs, need(n))
		}
		return nil
	}
	c, err := makeCondition(key, list, raw)
	q.conditions[key] = c
	return err
}

// makeCondition turns a key into what it asks of a query.
func makeCondition(key string, list []string, raw map[string]any) (condition, error) {
	switch key {
	case "version", "kernel":
		s, err := parseSpan(strings.Join(list, ","))
		if err != nil {
			return nil, fmt.Errorf("cannot be used: %w", err)
		}
		return spans{key, s}, nil
	case "moe", "float", "cwsr":
		if _, ok := raw[key].(bool); !ok {
			return nil, errors.New("is neither true nor false; leave it out where both will do")
		}
	case "env", "flag", "parameter":
		if len(list) > 1 {
			return nil, errors.New("names more than one; write an entry for each")
		}
		return setting{key, list[0]}, nil
	case "value":
		for _, of := range []string{"env", "flag", "parameter"} {
			if name, ok := raw[of].(string); ok {
				return settingValue{setting{of, name}, words{key, list}}, nil
			}
		}
		return nil, errors.New("belongs to no env, flag or parameter")
	}
	return words{key, list}, nil
}

// setTopic says which entries this one competes with.
func (q *quirk) setTopic(kind string, raw map[string]any) error {
	var named []string
	for _, key := range []string{"env", "flag", "parameter", "mes"} {
		if s, ok := q.conditions[key].(setting); ok {
			named = append(named, key+" "+s.name)
		} else if q.conditions[key] != nil {
			named = append(named, key)
		}
	}
	switch {
	case kind == "format" || kind == "kv_cache":
		q.Topic = kind
	case len(named) == 1:
		q.Topic = named[0]
	case len(named) > 1:
		return fmt.Errorf("is about %s at once; write an entry for each", strings.Join(named, " and "))
	case kind == "host" && (raw["kernel"] != nil || raw["cwsr"] != nil):
		q.Topic = "kernel"
	case kind == "host":
		return errors.New("names no kernel, cwsr, mes or parameter")
	default:
		return errors.New("names neither env nor flag")
	}
	return nil
}

// doubles finds entries of one name, and pairs of which neither is the more specific one where both hold.
func (p *parser) doubles(all []quirk) {
	for i, q := range all {
		for _, before := range all[:i] {
			switch {
			case q.ID != "" && q.ID == before.ID:
				p.fault(max(q.line, before.line), "the id %s is taken by line %d", quoted(q.ID), min(q.line, before.line))
			case q.ties(before):
				p.fault(max(q.line, before.line), "%s and %s (line %d) both hold for the same case, with as many conditions; give one of them another condition",
					quoted(q.ID), quoted(before.ID), min(q.line, before.line))
			}
		}
	}
}

// ties tells whether two entries may hold at once with neither winning.
func (q quirk) ties(other quirk) bool {
	if q.Topic != other.Topic || len(q.conditions) != len(other.conditions) {
		return false
	}
	for key, c := range q.conditions {
		if o := other.conditions[key]; c == nil || o != nil && !c.meets(o) {
			return false
		}
	}
	return true
}
