package opencode

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestALeafIsTheSameWhateverTheClientMakesOfIt(t *testing.T) {
	for _, test := range []struct {
		name, key, want, got string
		same                 bool
	}{
		{"a secret is masked", "apiKey", `"EMPTY"`, `"***"`, true},
		{"a secret of somebody else that is not masked is another", "apiKey", `"EMPTY"`, `"sk-1"`, false},
		{"a secret that is gone is missing", "apiKey", `"EMPTY"`, `null`, false},
		{"an empty secret is none", "apiKey", `"{file:/k}"`, `""`, false},
		{"no other word is masked", "name", `"EMPTY"`, `"***"`, false},
		{"what a file holds is put in place", "name", `"{file:/k}"`, `"x"`, true},
		{"what the environment holds as well", "name", `"a {env:X} b"`, `"a  b"`, true},
		{"but a number is no text", "name", `"{env:X}"`, `1`, false},
		{"a number however it is written", "context", `30000`, `3e4`, true},
		{"another number", "context", `30000`, `30001`, false},
		{"a number is no text of it", "context", `1`, `"1"`, false},
		{"a list is one leaf", "enabled_providers", `["a","b"]`, `["b","a"]`, false},
		{"plugins of others may stand beside ours", "plugin", `["a"]`, `["b","a"]`, true},
		{"and ours may not be missing", "plugin", `["a","c"]`, `["b","a"]`, false},
		{"plugins that are no list", "plugin", `["a"]`, `"a"`, false},
		{"an empty branch is a leaf", "options", `{}`, `{}`, true},
		{"an empty branch that is gone", "options", `{}`, `null`, false},
		{"false is not nothing", "autoupdate", `false`, `null`, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			tree := func(value string) map[string]any {
				m, err := parseTree([]byte(`{"a":{"` + test.key + `":` + value + `}}`))
				if err != nil {
					t.Fatal(err)
				}
				return m
			}
			want, got := tree(test.want), tree(test.got)
			if test.got == "null" {
				delete(got["a"].(map[string]any), test.key)
			}
			d := compare(want, got, nil)
			if same := len(d) == 0; same != test.same {
				t.Errorf("%+v", d)
			}
			if !test.same && (len(d) != 1 || d[0].At() != "a."+test.key) {
				t.Errorf("the difference is %+v", d)
			}
		})
	}
}

func TestABranchThatIsMissingIsOneDifference(t *testing.T) {
	v := asRecorded(t)
	for _, gone := range []any{nil, "text"} {
		resolved := clone(t, v.resolved)
		if delete(resolved["provider"].(map[string]any), "local_coder"); gone != nil {
			resolved["provider"].(map[string]any)["local_coder"] = gone
		}
		got := verdict{ours: v.ours, resolved: resolved, offered: v.offered, winner: nobody}.leaves()
		if len(got) != 1 || !got[0].Failed || got[0].Path != "provider.local_coder" || got[0].Tier != "coder" {
			t.Errorf("with %v: %+v", gone, got)
		}
	}
}

func clone(t testing.TB, tree map[string]any) map[string]any {
	t.Helper()
	data, err := json.Marshal(tree)
	if err != nil {
		t.Fatal(err)
	}
	c, err := parseTree(data)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// paths are those of all leaves, in order.
func paths(v any, path []string) [][]string {
	m, ok := v.(map[string]any)
	if !ok || len(m) == 0 {
		return [][]string{path}
	}
	var all [][]string
	for _, key := range slices.Sorted(maps.Keys(m)) {
		all = append(all, paths(m[key], append(slices.Clone(path), key))...)
	}
	return all
}

// parent is the branch that a leaf hangs on.
func parent(tree map[string]any, path []string) (branch map[string]any, key string) {
	for _, key := range path[:len(path)-1] {
		tree = tree[key].(map[string]any)
	}
	return tree, path[len(path)-1]
}

func TestValuesAreShownAsTheyStandAndShort(t *testing.T) {
	for want, v := range map[string]any{"nothing": nil, `"a"`: "a", "3": json.Number("3"), `["a"]`: []any{"a"}, "+Inf": positive()} {
		if got := show(v); got != want {
			t.Errorf("%v: %s", v, got)
		}
	}
	if got := show(strings.Repeat("é", 200)); len(got) > 90 || !strings.HasSuffix(got, "…") || bytes.ContainsRune([]byte(got), '�') {
		t.Errorf("%s", got)
	}
}

func positive() any {
	f := 1e308
	return f * 10
}

func FuzzForeignConfiguration(f *testing.F) {
	plan, _ := MakePlan(four(), here()).File(KindConfig)
	for _, seed := range [][]byte{plan.Data, []byte("{}"), []byte(`{"a":{"b":1,},} // x`), []byte("["), []byte("{\"enabled_providers\": 3}"), []byte(`{"provider":{"local_orch":[]}}`)} {
		f.Add(seed)
	}
	ours, err := parseJSONC(plan.Data)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		tree, err := parseJSONC(src)
		if err != nil {
			return
		}
		v := verdict{ours: ours, resolved: tree, offered: []string{"local_orch/orchestrator", "x/y"}, winner: func(p []string) string {
			if has(tree, p) {
				return "FILE"
			}
			return ""
		}}
		for _, r := range append(v.leaves(), v.models()...) {
			if r.Text == "" || strings.Contains(r.Text, "\n") {
				t.Errorf("%+v", r)
			}
		}
		if !reflect.DeepEqual(plainValue(any(tree)), plainValue(any(tree))) {
			t.Error("a value is not like itself")
		}
	})
}
