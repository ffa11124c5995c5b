package main

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/tierd/tierd/units"
)

// The checks of package units are asked rather than read: a file that is right is put before them with one key changed or
// left out, and what they say of it is what the page says. So a bound or a list of words stands in one place alone.

// engine is a kind of engine that a variant's keys are asked about, under the name that a reader knows it by.
type engine struct {
	name, kind string
	gpu        bool
}

var engines = []engine{
	{"vllm", units.KindVLLM, true}, {"llama on the CPU", units.KindLlama, false},
	{"llama on the GPU", units.KindLlama, true}, {"remote", units.KindRemote, false},
}

// sample is a tiers.toml with no more in it than there has to be, by table and key.
type sample map[string]map[string]string

// sampleOf is the sample whose only variant is served by that engine.
func sampleOf(e engine) sample {
	s := sample{
		"host": {}, "guard": {}, "gateway": {},
		"gateway.key.NAME":       {"sha256": `"` + strings.Repeat("0123456789abcdef", 4) + `"`},
		"engine.NAME":            {"kind": fmt.Sprintf("%q", e.kind)},
		"tier.NAME":              {"port": "8001"},
		"tier.NAME.variant.NAME": {"engine": `"NAME"`, "model": `"m"`},
		"mode.NAME":              {"tiers": `["NAME"]`},
	}
	variant := s["tier.NAME.variant.NAME"]
	if e.kind == units.KindRemote {
		variant["url"] = `"https://api.example.com/v1"`
		return s
	}
	variant["context"] = `"8K"`
	s["engine.NAME"]["command"] = `["/bin/program"]`
	if e.gpu != (e.kind == units.KindVLLM) {
		s["engine.NAME"]["gpu"] = fmt.Sprint(e.gpu)
	}
	return s
}

// with is the sample with one key set; without a value, with the key left out.
func (s sample) with(table, key, value string) sample {
	other := sample{}
	for name, keys := range s {
		other[name] = maps.Clone(keys)
	}
	if other[table] == nil {
		other[table] = map[string]string{}
	}
	other[table][key] = value
	if value == "" {
		delete(other[table], key)
	}
	return other
}

func (s sample) parse() (*units.Config, []units.Fault) {
	var b strings.Builder
	for _, table := range slices.Sorted(maps.Keys(s)) {
		// Names have small letters alone, so that NAME is one of a reader's.
		fmt.Fprintf(&b, "[%s]\n", strings.ReplaceAll(table, "NAME", "name"))
		for _, key := range slices.Sorted(maps.Keys(s[table])) {
			fmt.Fprintf(&b, "%s = %s\n", key, strings.ReplaceAll(s[table][key], `"NAME"`, `"name"`))
		}
	}
	return units.ParseConfig("sample", []byte(b.String()))
}

// saysOf is what the checks say when the key has that value.
func (s sample) saysOf(table, key, value string) string {
	_, faults := s.with(table, key, value).parse()
	var text []string
	for _, f := range faults {
		text = append(text, f.Msg)
	}
	return strings.Join(text, "\n")
}

// needs tells whether a file without the key is refused.
func (s sample) needs(table, key string) bool {
	c, _ := s.with(table, key, "").parse()
	return c == nil
}

// knows tells whether the key has a meaning for this engine.
func (s sample) knows(table, key, value string) bool {
	return !strings.Contains(s.saysOf(table, key, value), "means nothing to")
}

var (
	boundsSaid = regexp.MustCompile(`not within (\S+) to (\S+?);?(?:\s|$)|not a port; (\d+) to (\d+)`)
	wordsSaid  = regexp.MustCompile(`(?m)is none of ([^;\n]+)|: "[^"]*" is not ("[^"]*"); leave it out`)
)

// bounds are what the key has to be within, as the checks put it when it is far beyond; empty when they know none.
func (s sample) bounds(table, key string, t reflect.Type) (low, high string) {
	value, ok := beyond(t)
	if !ok {
		return "", ""
	}
	m := boundsSaid.FindStringSubmatch(s.saysOf(table, key, value))
	if m == nil {
		return "", ""
	}
	return m[1] + m[3], m[2] + m[4]
}

// beyond is a value that no bound allows.
func beyond(t reflect.Type) (value string, ok bool) {
	switch t {
	case bytesType:
		return `"1KiB"`, true
	case durationType:
		return `"8000h"`, true
	}
	switch t.Kind() {
	case reflect.Int, reflect.Float64:
		return "-1", t != tokensType
	}
	return "", false
}

// words are all that the key may be, as the checks list them; nil when it may be anything.
func (s sample) words(table, key string, t reflect.Type) []string {
	value := `"no-such-word"`
	switch {
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.String:
		value = `["no-such-word"]`
	case t.Kind() != reflect.String:
		return nil
	}
	m := wordsSaid.FindStringSubmatch(s.saysOf(table, key, value))
	if m == nil {
		return nil
	}
	list := strings.Split(m[1]+m[2], ", ")
	for i, w := range list {
		list[i] = strings.Trim(w, `"`)
	}
	return list
}
