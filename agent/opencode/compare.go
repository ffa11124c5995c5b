package opencode

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// Difference is a leaf of a file of ours that the client has otherwise.
type Difference struct {
	Path []string // "provider", "local_orch", "options", "baseURL"
	Want any      // what we wrote
	Got  any      // what the client has; nil when it has nothing there
}

// At is the path in one word.
func (d Difference) At() string { return strings.Join(d.Path, ".") }

// missing tells whether the client has nothing there: it does not know the key.
func (d Difference) missing() bool { return d.Got == nil }

// masked is what `debug config` shows for each secret.
const masked = "***"

// compare holds every leaf of what we wrote against what the client has, in the order of paths. What the client has besides is no
// difference. A branch that is missing as a whole is one.
func compare(want, got any, path []string) []Difference {
	tree, ok := want.(map[string]any)
	if !ok || len(tree) == 0 && len(path) > 0 {
		if same(path, want, got) {
			return nil
		}
		return []Difference{{Path: path, Want: want, Got: got}}
	}
	branch, ok := got.(map[string]any)
	if !ok {
		return []Difference{{Path: path, Want: want, Got: got}}
	}
	var all []Difference
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		all = append(all, compare(tree[key], branch[key], append(slices.Clone(path), key))...)
	}
	return all
}

// same tells whether a leaf is what we wrote. A secret is masked, and what is taken from a file or the environment is put in place,
// so of these it can only be seen that there is something.
func same(path []string, want, got any) bool {
	switch w := want.(type) {
	case string:
		g, isText := got.(string)
		if fromElsewhere(w) || g == masked && path[len(path)-1] == "apiKey" {
			return isText && g != ""
		}
	case []any:
		// Of plugins the client makes one list out of all files', and shows where it has them.
		if path[len(path)-1] == "plugin" {
			return hasPlugins(w, got)
		}
	}
	return reflect.DeepEqual(plainValue(want), plainValue(got))
}

func fromElsewhere(text string) bool {
	return strings.Contains(text, "{file:") || strings.Contains(text, "{env:")
}

func hasPlugins(want []any, got any) bool {
	list, _ := got.([]any)
	for _, w := range want {
		if !slices.ContainsFunc(list, func(g any) bool { return reflect.DeepEqual(w, g) }) {
			return false
		}
	}
	return true
}

// plainValue makes numbers comparable: 30000 and 3e4 are the same to the client.
func plainValue(v any) any {
	switch v := v.(type) {
	case json.Number:
		if f, err := v.Float64(); err == nil {
			return f
		}
	case []any:
		plain := make([]any, len(v))
		for i := range v {
			plain[i] = plainValue(v[i])
		}
		return plain
	case map[string]any:
		plain := make(map[string]any, len(v))
		for key := range v {
			plain[key] = plainValue(v[key])
		}
		return plain
	}
	return v
}

// show writes a value as it stands in a configuration, shortened.
func show(v any) string {
	if v == nil {
		return "nothing"
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	const most = 80
	if len(text) > most {
		return strings.ToValidUTF8(string(text[:most]), "") + "…"
	}
	return string(text)
}
