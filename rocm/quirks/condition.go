package quirks

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// condition is one key of an entry that says when it holds.
type condition interface {
	holds(Query) bool
	meets(condition) bool // the other one has the same key: there is a query for which both hold
}

// words are values of which one has to be the query's: "gfx1151", or "fp8*" for all that begin so.
type words struct {
	key  string
	list []string
}

func (w words) holds(q Query) bool {
	is := q.word(w.key)
	return is != "" && slices.ContainsFunc(w.list, func(p string) bool { return matches(p, is) })
}

func (w words) meets(other condition) bool {
	return slices.ContainsFunc(w.list, func(p string) bool {
		return slices.ContainsFunc(other.(words).list, func(o string) bool { return matches(p, o) || matches(o, p) })
	})
}

// matches compares without regard to case: engines and their users write "TRUE" and "true".
func matches(pattern, is string) bool {
	pattern, is = strings.ToLower(pattern), strings.ToLower(is)
	if begin, open := strings.CutSuffix(pattern, "*"); open {
		return strings.HasPrefix(is, begin)
	}
	return pattern == is
}

// spans is a range that the query's version of something has to be in. What is not known is in none; the engine's own
// version is left to the lookup, which can say what it would depend on.
type spans struct {
	key string
	span
}

func (s spans) holds(q Query) bool {
	v, err := parseVersion(q.word(s.key))
	return err == nil && s.contains(v.place())
}

func (s spans) meets(other condition) bool {
	both := append(slices.Clone(s.span), other.(spans).span...)
	return slices.ContainsFunc(places(both), both.contains)
}

// setting is an environment variable, a flag of the engine's command line or a parameter of a kernel module, whatever its
// value.
type setting struct{ key, name string }

func (s setting) holds(q Query) bool {
	_, set := q.setting(s.key, s.name)
	return set
}

func (s setting) meets(other condition) bool { return s == other.(setting) }

// settingValue is what a setting is set to.
type settingValue struct {
	of   setting
	list words
}

func (s settingValue) holds(q Query) bool {
	is, set := q.setting(s.of.key, s.of.name)
	return set && slices.ContainsFunc(s.list.list, func(p string) bool { return matches(p, is) })
}

func (s settingValue) meets(other condition) bool { return s.list.meets(other.(settingValue).list) }

// word is the query's value for a key, "" where it is not known.
func (q Query) word(key string) string {
	switch key {
	case "gfx":
		return q.GFX
	case "engine":
		return q.Engine
	case "version":
		return q.Version
	case "kernel":
		return q.Host.Kernel
	case "mes":
		return q.Host.MES
	case "cwsr":
		if q.Host.CWSR != nil {
			return strconv.FormatBool(*q.Host.CWSR)
		}
	case "dtype":
		return cmp.Or(q.KVCache, "auto")
	}
	if q.Format == nil {
		return ""
	}
	switch key {
	case "quant":
		return cmp.Or(q.Format.Quant, "none")
	case "bits":
		if q.Format.Bits > 0 {
			return strconv.Itoa(q.Format.Bits)
		}
	case "scheme":
		return q.Format.Scheme
	case "float":
		if q.Format.Bits > 0 { // of weights that are not quantised it says nothing
			return strconv.FormatBool(q.Format.Float)
		}
	case "activations":
		return strconv.Itoa(q.Format.Activations)
	case "moe":
		return strconv.FormatBool(q.Format.MoE)
	}
	return ""
}

// setting is the value of an environment variable, a flag or a kernel parameter, and whether it is set at all.
func (q Query) setting(key, name string) (string, bool) {
	switch key {
	case "env":
		value, set := q.Env[name]
		return value, set
	case "parameter":
		value, set := q.Host.Parameters[name]
		return value, set
	}
	for i := len(q.Flags) - 1; i >= 0; i-- { // the last one counts for the engines, too
		flag, value, inline := strings.Cut(q.Flags[i], "=")
		if flag != name {
			continue
		}
		if !inline && i+1 < len(q.Flags) && !strings.HasPrefix(q.Flags[i+1], "-") {
			value = q.Flags[i+1]
		}
		return value, true
	}
	return "", false
}

// need is a setting that a format works with alone: "--enforce-eager" or "VLLM_USE_TRITON_AWQ=1".
type need string

func (n need) met(q Query) bool {
	name, value, valued := strings.Cut(string(n), "=")
	key := "env"
	if strings.HasPrefix(name, "-") {
		key = "flag"
	}
	is, set := q.setting(key, name)
	return set && (!valued || strings.EqualFold(is, value))
}

// textList takes what TOML has as one text or as a list of them; numbers and truth values stand for their text.
func textList(raw any) ([]string, error) {
	list, many := raw.([]any)
	if !many {
		list = []any{raw}
	}
	var out []string
	for _, element := range list {
		switch element.(type) {
		case string, int64, bool:
			out = append(out, fmt.Sprint(element))
		default:
			return nil, fmt.Errorf("is neither a text nor a list of texts")
		}
	}
	if len(out) == 0 || slices.Contains(out, "") {
		return nil, fmt.Errorf("is empty; leave it out where every value will do")
	}
	if slices.Contains(out, "*") {
		return nil, fmt.Errorf("is \"*\"; leave it out where every value will do")
	}
	return out, nil
}
