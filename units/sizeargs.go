package units

import (
	"maps"
	"strconv"
	"strings"
)

// sizeArgs are the words and variables of a unit's engine, asked for those that decide how much memory it takes.
type sizeArgs struct {
	words []string
	env   map[string]string
	vllm  bool // it takes --flag=value and underscores
}

func (s *spec) sizeArgs() sizeArgs {
	a := sizeArgs{env: map[string]string{}, vllm: s.engine.Kind == KindVLLM}
	a.words = append(append(a.words, s.engine.Command[1:]...), s.variant.ExtraArgs...)
	maps.Copy(a.env, s.engine.Env)
	maps.Copy(a.env, s.variant.Env)
	return a
}

// last is the value of the last of the named flags, and whether one is there. A variable stands behind all of them.
func (a sizeArgs) last(variable string, flags ...string) (string, bool) {
	value, found := "", false
	if v, ok := a.env[variable]; ok && variable != "" {
		value, found = v, true
	}
	for i, word := range a.words {
		name, inline, isInline := strings.Cut(word, "=")
		if a.vllm {
			name = strings.ReplaceAll(name, "_", "-")
		} else {
			name, isInline = word, false
		}
		for _, flag := range flags {
			switch {
			case name != flag:
			case isInline:
				value, found = inline, true
			case i+1 < len(a.words):
				value, found = a.words[i+1], true
			default:
				value, found = "", true
			}
		}
	}
	return value, found
}

// plain are the words with every flag's name as the engine's help has it.
func (a sizeArgs) plain() []string {
	return each(a.words, func(word string) string {
		name, value, inline := strings.Cut(word, "=")
		if !a.vllm || !strings.HasPrefix(word, "-") {
			return word
		}
		name = strings.ReplaceAll(name, "_", "-")
		if inline {
			return name + "=" + value
		}
		return name
	})
}

// has tells whether one of the flags is there.
func (a sizeArgs) has(flags ...string) bool {
	_, found := a.last("", flags...)
	return found
}

// number is the value of a flag that takes a whole number from 1 to most. One that is none is the engine's to refuse.
func (a sizeArgs) number(otherwise, most uint64, variable string, flags ...string) uint64 {
	value, found := a.last(variable, flags...)
	n, err := strconv.ParseUint(value, 10, 64)
	if !found || err != nil || n == 0 {
		return otherwise
	}
	return min(n, most)
}
