package main

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tierd/tierd/units"
)

// table is one kind of table of tiers.toml.
type table struct {
	name string // as it is headed: host, tier.NAME.variant.NAME
	keys []key
}

// key is what types, defaults and checks say of one key. What it is for is in keys.md.
type key struct {
	name      string
	wants     string   // its type in words, with the unit
	words     []string // all that it may be, where that is a list
	low, high string   // its bounds, as they are written; empty where there are none
	engines   []string // the kinds of engine that know it; nil: all
	must      []string // the engines that cannot do without it; all of them: nobody can
	defaults  []value  // what it is when it is left out; empty where it is nothing
}

// value is a default and the engines that it holds for.
type value struct {
	text    string
	engines []string
}

var (
	bytesType    = reflect.TypeFor[units.Bytes]()
	tokensType   = reflect.TypeFor[units.Tokens]()
	durationType = reflect.TypeFor[time.Duration]()
)

// tables walks units.Config, in the order of its fields.
func tables() []table {
	var all []table
	walk(reflect.TypeFor[units.Config](), "", &all)
	return all
}

// walk adds the tables that a struct's fields stand for. A slice of structs is a table of tables with a name each.
func walk(t reflect.Type, under string, all *[]table) {
	for f := range t.Fields() {
		name := f.Tag.Get("toml")
		if name == "" || name == "-" {
			continue
		}
		inner, path := f.Type, under+name
		switch {
		case inner.Kind() == reflect.Slice && inner.Elem().Kind() == reflect.Struct:
			inner, path = inner.Elem(), path+".NAME"
		case inner.Kind() != reflect.Struct:
			continue
		}
		*all = append(*all, table{path, keysOf(inner, path)})
		walk(inner, path+".", all)
	}
}

func keysOf(t reflect.Type, table string) []key {
	var keys []key
	for f := range t.Fields() {
		if name := f.Tag.Get("toml"); name != "" && name != "-" {
			keys = append(keys, keyOf(f.Type, table, name))
		}
	}
	return keys
}

func keyOf(t reflect.Type, table, name string) key {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	k := key{name: name, wants: typeText(t)}
	known := 0
	for _, e := range engines {
		s := sampleOf(e)
		if !s.knows(table, name, anyValue(t)) {
			continue
		}
		known++
		k.engines = appendNew(k.engines, e.kind)
		if s.needs(table, name) {
			k.must = append(k.must, e.name)
			continue
		}
		if low, high := s.bounds(table, name, t); low != "" {
			k.low, k.high = low, high
		}
		if words := s.words(table, name, t); words != nil {
			k.words = words
		}
		k.left(s, e, table)
	}
	if low, high := sampleOf(engines[0]).bounds(table, name, t); k.low == "" {
		k.low, k.high = low, high
	}
	if known == len(engines) {
		k.engines = nil
	}
	return k
}

// left adds what the key is when this engine's sample leaves it out.
func (k *key) left(s sample, e engine, table string) {
	c, _ := s.with(table, k.name, "").parse()
	if c == nil {
		return
	}
	text, ok := written(fieldAt(reflect.ValueOf(*c), strings.Split(table+"."+k.name, ".")))
	if !ok {
		return
	}
	i := slices.IndexFunc(k.defaults, func(v value) bool { return v.text == text })
	if i < 0 {
		i, k.defaults = len(k.defaults), append(k.defaults, value{text: text})
	}
	k.defaults[i].engines = append(k.defaults[i].engines, e.name)
}

// fieldAt follows names of tables and keys; NAME is the first of its kind.
func fieldAt(v reflect.Value, path []string) reflect.Value {
	for _, name := range path {
		if name == "NAME" {
			v = v.Index(0)
			continue
		}
		for f, field := range v.Fields() {
			if f.Tag.Get("toml") == name {
				v = field
				break
			}
		}
	}
	return v
}

// written is a value as a file would have it; false when it stands for nothing.
func written(v reflect.Value) (string, bool) {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return "", false
		}
		v = v.Elem()
	}
	switch x := v.Interface().(type) {
	case units.Bytes:
		return strconv.Quote(x.String()), x != 0
	case units.Tokens:
		return strconv.Itoa(int(x)), x != 0
	case time.Duration:
		return strconv.Quote(trimTime(x.String())), x != 0
	case []string:
		return "[" + strings.Join(each(x, strconv.Quote), ", ") + "]", len(x) > 0
	case string:
		return strconv.Quote(x), x != ""
	case bool:
		return strconv.FormatBool(x), true
	case int:
		return strconv.Itoa(x), x != 0
	}
	return "", false
}

// typeText is how a value of the type is written, in words.
func typeText(t reflect.Type) string {
	switch t {
	case bytesType:
		return "size"
	case tokensType:
		return "tokens"
	case durationType:
		return "time"
	}
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "whole number"
	case reflect.Float64:
		return "number"
	case reflect.Map:
		return "table of texts"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.String {
			return "list of texts"
		}
		return "tables"
	}
	panic(fmt.Sprintf("reference: no words for a key of type %s", t))
}

// anyValue is one that the type can hold, right or wrong.
func anyValue(t reflect.Type) string {
	switch t {
	case bytesType:
		return `"1GiB"`
	case tokensType:
		return "1024"
	case durationType:
		return `"1m"`
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true"
	case reflect.Int, reflect.Float64:
		return "0"
	case reflect.Map:
		return "{}"
	case reflect.Slice:
		return "[]"
	}
	return `"m"`
}

func appendNew(list []string, s string) []string {
	if slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

func each[T any](list []T, f func(T) string) []string {
	var texts []string
	for _, x := range list {
		texts = append(texts, f(x))
	}
	return texts
}
