package units

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// tables are all tables of tiers.toml, each with the Go type that it is decoded into.
var tables = map[string]reflect.Type{
	"host":                             reflect.TypeFor[HostConfig](),
	"gateway":                          reflect.TypeFor[Gateway](),
	"engine.llama":                     reflect.TypeFor[Engine](),
	"tier.utility":                     reflect.TypeFor[Tier](),
	"tier.utility.variant.llama":       reflect.TypeFor[Variant](),
	"mode.both":                        reflect.TypeFor[Mode](),
	"tier.\"with.dot\"":                reflect.TypeFor[Tier](),
	"tier.t.variant.\"two words\"":     reflect.TypeFor[Variant](),
	"tier.\"o\\u0072ch\".variant.\"\"": reflect.TypeFor[Variant](),
}

// accepted are the values, of those below, that a field of a kind takes.
func accepted(f reflect.Type) []string {
	if f.Kind() == reflect.Pointer {
		f = f.Elem()
	}
	switch f {
	case reflect.TypeFor[Bytes]():
		return []string{`"1GiB"`}
	case reflect.TypeFor[Tokens]():
		return []string{"7"}
	case reflect.TypeFor[time.Duration]():
		return []string{`"3s"`}
	}
	switch f.Kind() {
	case reflect.String:
		return []string{`"text"`, `"1GiB"`, `"3s"`}
	case reflect.Bool:
		return []string{"true"}
	case reflect.Int:
		return []string{"7"}
	case reflect.Float64:
		return []string{"7", "1.5"}
	case reflect.Map:
		return []string{"{}"}
	case reflect.Slice:
		if f.Elem().Kind() == reflect.String {
			return []string{"[]"}
		}
		return []string{"{}"}
	}
	return nil
}

func TestEveryKeyRefusesEveryValueOfAnotherType(t *testing.T) {
	values := []string{`"text"`, `"1GiB"`, `"3s"`, "7", "-9223372036854775808", "1.5", "nan", "true", "[]", "[1]", "[[]]", "{}", "{ x = 1 }",
		"2026-11-23", "2026-11-23T00:00:00Z", "00:00:00"}
	for table, kind := range tables {
		for _, key := range keysOf(kind) {
			field, _ := fieldOf(reflect.New(kind).Elem(), key)
			takes := accepted(field.Type())
			if takes == nil {
				t.Errorf("%s in [%s] takes nothing that is tried here", key, table)
			}
			for _, value := range values {
				if (value == "nan" || value[0] == '-') && field.Kind() == reflect.Float64 {
					continue // a number; the check of its range is what refuses it
				}
				d := decode("f", []byte("\n["+table+"]\n"+key+" = "+value+"\n"), defaults())
				got := d.faults.list()
				if slices.Contains(takes, value) {
					if len(got) > 0 {
						t.Errorf("[%s] %s = %s: %s", table, key, value, lines(got))
					}
					continue
				}
				if len(got) != 1 || got[0].Line != 3 || got[0].Warning || d.source == nil {
					t.Errorf("[%s] %s = %s: %q, want one fault at line 3", table, key, value, lines(got))
				} else if !strings.Contains(got[0].Msg, key) && !strings.Contains(got[0].Msg, "x in") {
					t.Errorf("[%s] %s = %s: %q does not name the key", table, key, value, got[0].Msg)
				}
			}
		}
	}
}

func TestNotANumberIsNoPartOfTheMemory(t *testing.T) {
	for _, value := range []string{"nan", "inf", "-inf", "-0.1", "0.951"} {
		c, faults := ParseConfig("f", []byte(edit(t, `kv_memory = "4GiB"`, "gpu_utilization = "+value)))
		if c != nil || len(faults) != 1 || !strings.Contains(faults[0].Msg, "is not within 0 to 0.95") {
			t.Errorf("%s: %s", value, lines(faults))
		}
	}
}

// slip is one mistake of the fingers in a word.
func slip(t *rapid.T, word string) string {
	i := rapid.IntRange(0, len(word)-1).Draw(t, "at")
	switch rapid.IntRange(0, 2).Draw(t, "kind") {
	case 0:
		return word[:i] + word[i+1:]
	case 1:
		return word[:i] + word[i:i+1] + word[i:]
	}
	if i == 0 {
		return "_" + word
	}
	return word[:i-1] + word[i:i+1] + word[i-1:i] + word[i+1:]
}

func TestASlipInAnyKeySuggestsIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := tables[rapid.SampledFrom([]string{"host", "gateway", "engine.llama", "tier.utility", "tier.utility.variant.llama"}).Draw(t, "table")]
		keys := keysOf(kind)
		key := rapid.SampledFrom(keys).Draw(t, "key")
		wrong := slip(t, key)
		if len(key) < 4 || slices.Contains(keys, wrong) {
			t.Skip("too short to tell, or another key")
		}
		said := suggest(wrong, keys)
		if said == "" {
			t.Fatalf("nothing is suggested for %q, which is nearly %q", wrong, key)
		}
		for _, other := range keys { // another one may be as near
			if said == `; did you mean "`+other+`"?` && Distance(wrong, other) <= Distance(wrong, key) {
				return
			}
		}
		t.Fatalf("for %q, which is nearly %q: %s", wrong, key, said)
	})
}
