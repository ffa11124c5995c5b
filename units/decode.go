package units

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/BurntSushi/toml"
)

// decoder lays a parsed file over a Config. It goes on after a fault, where the TOML library's own decoding stops at the
// first one and knows no line of a key that it has no field for.
type decoder struct {
	source *source // nil when the text is no TOML
	faults *faults
}

// maxFile bounds what is parsed at all: a file of this size is not a list of tiers.
const maxFile = 1 << 20

func decode(file string, src []byte, into *Config) *decoder {
	d := &decoder{faults: &faults{file: file}}
	if len(src) > maxFile {
		d.faults.add(0, "", "the file has %s; more than %s is not read", Bytes(len(src)), Bytes(maxFile))
		return d
	}
	found := newSource(string(src))
	if found.deep > 0 {
		d.faults.add(found.deep, "", "keys or lists are nested more than %d deep; this is no tiers.toml", maxNesting)
		return d
	}
	var raw map[string]any
	if _, err := toml.Decode(string(src), &raw); err != nil {
		var syntax toml.ParseError
		if errors.As(err, &syntax) {
			d.faults.add(max(syntax.Position.Line, 1), "", "this is not TOML: %s", oneLine(syntax.Message))
		} else {
			d.faults.add(0, "", "this is not TOML: %s", oneLine(err.Error()))
		}
		return d
	}
	d.source = found
	d.table(reflect.ValueOf(into).Elem(), raw, nil)
	return d
}

// table decodes one TOML table into a struct whose tags name the keys.
func (d *decoder) table(into reflect.Value, raw map[string]any, path []string) {
	for _, key := range d.keys(raw, path) {
		at := append(path[:len(path):len(path)], key)
		field, ok := fieldOf(into, key)
		if !ok {
			d.unknown(into.Type(), at)
			continue
		}
		d.value(field, raw[key], at)
	}
}

func (d *decoder) unknown(t reflect.Type, path []string) {
	key := path[len(path)-1]
	switch {
	case path[0] == "gateway" && (isSecretKey(key) || key == "key" || key == "keys"):
		d.fault(path, "%s%s would be a secret in a file that every user can read; %s", quote(key), in(path[:len(path)-1]), keyRemedy)
		return
	case isSecretKey(key):
		d.fault(path, "%s%s would be a secret in a file that every user can read. %s", quote(key), in(path[:len(path)-1]), secretRemedy)
		return
	}
	near := suggest(key, keysOf(t))
	if table := belongs(path); table != "" {
		near = "; it belongs in " + table
	}
	d.fault(path, "unknown key %s%s%s", quote(key), in(path[:len(path)-1]), near)
}

// belongs names the table that has such a key, for one that stands in a tier's table instead of a variant's, the other way round,
// or before the first table; "" for others.
func belongs(path []string) string {
	key := path[len(path)-1]
	tier := func() string { return "[tier." + strings.Trim(quote(path[1]), `"`) }
	switch {
	case len(path) == 1 && slices.Contains(keysOf(reflect.TypeFor[HostConfig]()), key):
		return "[host]"
	case path[0] != "tier":
	case len(path) == 3 && slices.Contains(keysOf(reflect.TypeFor[Variant]()), key):
		return tier() + ".variant.NAME]"
	case len(path) == 5 && path[2] == "variant" && slices.Contains(keysOf(reflect.TypeFor[Tier]()), key):
		return tier() + "]"
	}
	return ""
}

func (d *decoder) fault(path []string, format string, args ...any) {
	tier := ""
	if len(path) > 1 && path[0] == "tier" {
		tier = path[1]
	}
	d.faults.unread(d.source.at(path...), tier, format, args...)
}

// value decodes one value, or says which kind of value the key wants.
func (d *decoder) value(into reflect.Value, raw any, path []string) {
	if into.Kind() == reflect.Pointer {
		into.Set(reflect.New(into.Type().Elem()))
		into = into.Elem()
	}
	switch target := into.Addr().Interface().(type) {
	case *Bytes:
		d.text(raw, path, `a size in quotes, as in "12GiB"`, target.UnmarshalText)
		return
	case *Tokens:
		if n, ok := raw.(int64); ok {
			raw = fmt.Sprint(n)
		}
		d.text(raw, path, `a number of tokens, as in "64K" or 65536`, target.UnmarshalText)
		return
	case *time.Duration:
		d.text(raw, path, `a length of time in quotes, as in "30s" or "20m"`, func(text []byte) error {
			if string(text) == "never" && path[len(path)-1] == "idle_stop" {
				*target = 0
				return nil
			}
			v, err := parseDuration(string(text))
			*target = v
			return err
		})
		return
	}
	d.plain(into, raw, path)
}

// text decodes a quantity that is written as text with its unit.
func (d *decoder) text(raw any, path []string, wants string, set func([]byte) error) {
	s, ok := raw.(string)
	if !ok {
		d.wrongType(raw, path, wants)
		return
	}
	if err := set([]byte(s)); err != nil {
		d.fault(path, "%s%s: %v", path[len(path)-1], in(path[:len(path)-1]), err)
	}
}

func (d *decoder) plain(into reflect.Value, raw any, path []string) {
	switch into.Kind() {
	case reflect.String:
		if s, ok := raw.(string); ok {
			d.printable(s, path)
			into.SetString(s)
			return
		}
		d.wrongType(raw, path, "text in quotes")
	case reflect.Bool:
		if b, ok := raw.(bool); ok {
			into.SetBool(b)
			return
		}
		d.wrongType(raw, path, "true or false")
	case reflect.Int:
		if n, ok := raw.(int64); ok && n == int64(int32(n)) {
			into.SetInt(n)
			return
		}
		d.wrongType(raw, path, "a whole number")
	case reflect.Float64:
		if n, ok := raw.(int64); ok {
			raw = float64(n)
		}
		if f, ok := raw.(float64); ok {
			into.SetFloat(f)
			return
		}
		d.wrongType(raw, path, "a number")
	case reflect.Struct:
		if t, ok := raw.(map[string]any); ok {
			d.table(into, t, path)
			return
		}
		d.wrongType(raw, path, "a table")
	case reflect.Map:
		d.stringMap(into, raw, path)
	case reflect.Slice:
		if into.Type().Elem().Kind() == reflect.String {
			d.stringList(into, raw, path)
			return
		}
		d.namedTables(into, raw, path)
	default:
		panic(fmt.Sprintf("units: no decoding for %s", into.Type()))
	}
}

// namedTables decodes [tier.NAME] and its like: a table of tables becomes a slice in the order of the file.
func (d *decoder) namedTables(into reflect.Value, raw any, path []string) {
	tables, ok := raw.(map[string]any)
	if !ok {
		d.wrongType(raw, path, fmt.Sprintf("tables with a name, as in [%s.NAME]", strings.Join(path, ".")))
		return
	}
	for _, name := range d.keys(tables, path) {
		at := append(path[:len(path):len(path)], name)
		table, ok := tables[name].(map[string]any)
		if !ok {
			d.wrongType(tables[name], at, fmt.Sprintf("a table, as in [%s]", strings.Join(at, ".")))
			continue
		}
		element := newElement(into.Type().Elem(), name)
		d.table(element, table, at)
		into.Set(reflect.Append(into, element))
	}
}

func (d *decoder) stringList(into reflect.Value, raw any, path []string) {
	items, ok := raw.([]any)
	list := []string{}
	for _, item := range items {
		s, isText := item.(string)
		ok = ok && isText
		d.printable(s, path)
		list = append(list, s)
	}
	if !ok {
		d.wrongType(raw, path, `a list of texts, as in ["a", "b"]`)
		return
	}
	into.Set(reflect.ValueOf(list))
}

func (d *decoder) stringMap(into reflect.Value, raw any, path []string) {
	table, ok := raw.(map[string]any)
	if !ok {
		d.wrongType(raw, path, `a table of texts, as in { NAME = "value" }`)
		return
	}
	m := map[string]string{}
	for _, key := range d.keys(table, path) {
		at := append(path[:len(path):len(path)], key)
		s, ok := table[key].(string)
		if !ok {
			d.wrongType(table[key], at, "text in quotes")
			continue
		}
		d.printable(s, at)
		m[key] = s
	}
	into.Set(reflect.ValueOf(m))
}

// printable refuses line ends and other control characters: no name, path or argument has them, and systemd takes few.
func (d *decoder) printable(s string, path []string) {
	if strings.ContainsFunc(s, unicode.IsControl) {
		d.fault(path, "%s%s holds a control character: %s", path[len(path)-1], in(path[:len(path)-1]), quote(s))
	}
}

func (d *decoder) wrongType(raw any, path []string, wants string) {
	if len(path) > 1 && path[0] == "gateway" && path[1] == "key" { // the value may be the key itself
		d.fault(path, "%s%s must be %s; %s", path[len(path)-1], in(path[:len(path)-1]), wants, keyRemedy)
		return
	}
	d.fault(path, "%s%s must be %s, not %s", path[len(path)-1], in(path[:len(path)-1]), wants, describe(raw))
}

// keys are those of a table in the order of the file.
func (d *decoder) keys(raw map[string]any, path []string) []string {
	keys := make([]string, 0, len(raw))
	for k := range raw {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int {
		pa := append(path[:len(path):len(path)], a)
		pb := append(path[:len(path):len(path)], b)
		return d.source.rank(pa...) - d.source.rank(pb...)
	})
	return keys
}
