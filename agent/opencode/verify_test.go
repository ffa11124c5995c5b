package opencode

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func recorded(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "client", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func nobody([]string) string { return "" }

// asRecorded is what Verify goes by when the real client has a plan of ours.
func asRecorded(t testing.TB) verdict {
	t.Helper()
	ours, err := parseJSONC(recorded(t, "plan.jsonc"))
	if err != nil {
		t.Fatal(err)
	}
	resolved, err := parseTree(recorded(t, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	return verdict{ours: ours, resolved: resolved, offered: parseModels(recorded(t, "models.txt")), winner: nobody}
}

func TestWhatTheRealClientSaidOfOurPlanIsOurPlan(t *testing.T) {
	v := asRecorded(t)
	if got := append(v.leaves(), v.models()...); len(got) > 0 {
		t.Errorf("%+v", got)
	}
}

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

// Any plan compared with itself has no difference; any leaf that is changed or missing is one, which names its path.
func TestEachLeafIsHeldAgainstTheClient(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tiers := four()[:rapid.IntRange(1, 4).Draw(t, "tiers")]
		for i := range tiers {
			tiers[i].Context = rapid.IntRange(0, 1<<18).Draw(t, "context")
			tiers[i].Tools = rapid.Bool().Draw(t, "tools")
		}
		o := here()
		o.Gateway, o.OMO = rapid.Bool().Draw(t, "gateway"), rapid.Bool().Draw(t, "plugin")
		if rapid.Bool().Draw(t, "key") {
			o.KeyFile = "/home/ann/key"
		}
		f, _ := MakePlan(tiers, o).File(rapid.SampledFrom([]Kind{KindConfig, KindManaged}).Draw(t, "kind"))
		ours, err := parseJSONC(f.Data)
		if err != nil {
			t.Fatal(err)
		}
		theirs, _ := parseJSONC(f.Data)
		v := verdict{ours: ours, resolved: theirs, winner: nobody}
		if got := v.leaves(); len(got) > 0 {
			t.Fatalf("with itself: %+v", got)
		}
		path := rapid.SampledFrom(paths(theirs, nil)).Draw(t, "leaf")
		branch, key := parent(theirs, path)
		missing := rapid.Bool().Draw(t, "missing")
		if delete(branch, key); !missing {
			branch[key] = rapid.SampledFrom([]any{json.Number("-7"), []any{"other"}, map[string]any{"o": "ther"}}).Draw(t, "other")
		}
		got := v.leaves()
		if len(got) != 1 || got[0].Path != strings.Join(path, ".") || !strings.Contains(got[0].Text, got[0].Path) {
			t.Errorf("%v, missing %v: %+v", path, missing, got)
		}
		if missing && !got[0].Failed {
			t.Errorf("what the client does not know is no matter of taste: %+v", got)
		}
	})
}

func TestWhatBreaksTheSetUpIsAFailure(t *testing.T) {
	v := asRecorded(t)
	at := func(path string) []string { return strings.Split(path, "/") }
	for _, test := range []struct {
		path   string
		value  any
		failed bool
		text   string
	}{
		{"model", "local_coder/coder", false, "yours to choose"},
		{"model", "anthropic/claude", true, "does not offer that model"},
		{"small_model", "local_orch/orchestrator", false, "yours"},
		{"agent/title/model", "openai/gpt", true, "does not offer that model"},
		{"agent/coder/permission/task", "allow", false, "yours"},
		{"agent/coder/temperature", json.Number("1"), false, "yours"},
		{"share", "manual", false, "yours"},
		{"share", "auto", true, "each session is uploaded"},
		{"autoupdate", true, false, "yours"},
		{"provider/local_coder/options/baseURL", "http://127.0.0.1:9/v1", true, "go elsewhere"},
		{"provider/local_coder/options/baseURL", "http://192.168.1.5:8002/v1", true, "leave this machine"},
		{"provider/local_coder/options/baseURL", json.Number("3"), true, "leave this machine"},
		{"provider/local_coder/options/apiKey", "sk-1", true, "do not come to the tier"},
		{"provider/local_coder/options/chunkTimeout", json.Number("1"), false, "yours"},
		{"provider/local_coder/npm", "@ai-sdk/openai", true, "do not come to the tier"},
		{"provider/local_coder/name", "mine", false, "yours"},
		{"provider/local_coder/models/coder/limit/context", json.Number("1000000"), true, "shortened"},
		{"provider/local_coder/models/coder/limit/output", json.Number("1"), true, "shortened"},
		{"enabled_providers", []any{"local_orch", "local_coder", "local_reviewer", "local_utility", "x"}, false, "yours"},
		{"enabled_providers", []any{"local_orch"}, true, "the models of local_coder, local_reviewer, local_utility are not offered"},
		{"enabled_providers", "all", true, "are not offered"},
	} {
		t.Run(fmt.Sprint(test.path, " ", test.value), func(t *testing.T) {
			resolved := clone(t, v.resolved)
			branch, key := parent(resolved, at(test.path))
			branch[key] = test.value
			for _, by := range []string{"", "/home/ann/.config/opencode/opencode.jsonc"} {
				got := verdict{ours: v.ours, resolved: resolved, offered: v.offered, winner: func([]string) string { return by }}.leaves()
				if len(got) != 1 || got[0].Failed != test.failed || !strings.Contains(got[0].Text, test.text) {
					t.Fatalf("%+v", got)
				}
				if by != "" && (!strings.Contains(got[0].Text, by+" probably says so") || test.failed != strings.Contains(got[0].Hint, by)) {
					t.Errorf("it does not say who: %+v", got[0])
				}
			}
		})
	}
}

func TestOfferedModelsAreTheTiersAlone(t *testing.T) {
	v := asRecorded(t)
	all := v.offered
	local := clone(t, v.resolved)
	local["provider"].(map[string]any)["mine"] = map[string]any{"options": map[string]any{"baseURL": "http://[::1]:1/v1"}}
	local["provider"].(map[string]any)["far"] = map[string]any{"options": map[string]any{"baseURL": "http://example.org/v1"}}
	for _, test := range []struct {
		name    string
		offered []string
		want    []Remark
	}{
		{"as planned", all, nil},
		{"none at all", nil, []Remark{
			{Failed: true, Tier: "coder", Text: "does not offer local_coder/coder"}, {Failed: true, Tier: "orch"}, {Failed: true, Tier: "reviewer"}, {Failed: true, Tier: "utility"},
		}},
		{"one hosted model", append(slices.Clone(all), "opencode/a"), []Remark{{Failed: true, Text: "also offers opencode/a: with it, requests leave this machine", Hint: "--managed"}}},
		{"hosted models of two", append(slices.Clone(all), "opencode/a", "zai/x", "opencode/b"), []Remark{
			{Failed: true, Text: `opencode/a and 1 more of "opencode"`}, {Failed: true, Text: "zai/x:"},
		}},
		{"one of the user's own here", append(slices.Clone(all), "mine/m"), nil},
		{"one of the user's own elsewhere", append(slices.Clone(all), "far/m"), []Remark{{Failed: true, Text: "far/m"}}},
		{"another model of a tier's provider", append(slices.Clone(all), "local_orch/second"), nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := verdict{ours: v.ours, resolved: local, offered: test.offered, winner: nobody}.models()
			if !slices.EqualFunc(got, test.want, like) {
				t.Errorf("%+v", got)
			}
		})
	}
	managed := verdict{ours: map[string]any{"share": "disabled"}, resolved: v.resolved, offered: all[1:], winner: nobody}
	if got := managed.models(); len(got) > 0 {
		t.Errorf("a managed file plans no models: %+v", got)
	}
	by := verdict{ours: v.ours, resolved: v.resolved, offered: append(slices.Clone(all), "x/y"), winner: func([]string) string { return "FILE" }}
	if got := by.models(); len(got) != 1 || got[0].Hint != "take x out of enabled_providers in FILE" {
		t.Errorf("%+v", got)
	}
}

func TestOnlyAnAddressOfThisMachineStays(t *testing.T) {
	for address, want := range map[string]bool{
		"http://127.0.0.1:8001/v1": false, "http://localhost/v1": false, "http://[::1]:8/v1": false, "http://127.9.9.9": false, "http://[::ffff:127.0.0.1]/": false,
		"http://10.0.0.1/v1": true, "https://api.example.org": true, "http://localhost.example.org/": true, "": true, "::": true, "unix:///x": true,
	} {
		if got := away(address); got != want {
			t.Errorf("%q: %v", address, got)
		}
	}
}

// What wins is the last that says so, in the order that the client was seen to have.
func TestTheFileThatWinsIsTheLastThatSaysSo(t *testing.T) {
	home := t.TempDir()
	e := Env{
		Home: home, Root: filepath.Join(home, "root"), Dir: filepath.Join(home, "repo", "sub"), Config: filepath.Join(home, "named.json"), ConfigDir: filepath.Join(home, "dir"),
		Environ: []string{`OPENCODE_CONFIG_CONTENT={"content":1,"all":1}`},
	}
	files := []string{
		".config/opencode/config.json", ".config/opencode/opencode.json", ".config/opencode/opencode.jsonc", "named.json",
		"repo/opencode.json", "repo/sub/opencode.jsonc", "repo/.opencode/opencode.json", "repo/sub/.opencode/opencode.json", "dir/opencode.jsonc",
		"root/etc/opencode/opencode.json",
	}
	if err := os.MkdirAll(filepath.Join(home, "repo", ".git"), 0o755); err != nil {
		t.Fatal(err)
	}
	for i, name := range files {
		path := filepath.Join(home, name)
		text := fmt.Sprintf("{ \"only\": { \"%d\": true, }, \"all\": 1, } // %s", i, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
		if got := e.winner([]string{"only", fmt.Sprint(i)}, ""); got != path {
			t.Errorf("the only one is %s, and it says %q", path, got)
		}
		want := path
		if i < len(files)-1 {
			want = "$OPENCODE_CONFIG_CONTENT"
		}
		if got := e.winner([]string{"all"}, ""); got != want {
			t.Errorf("after %s it says %q", path, got)
		}
	}
	e.Environ = nil
	for i := len(files) - 1; i > 0; i-- {
		if got := e.winner([]string{"all"}, filepath.Join(home, files[i])); got != filepath.Join(home, files[i-1]) {
			t.Errorf("beside %s it says %q", files[i], got)
		}
		if err := os.Remove(filepath.Join(home, files[i])); err != nil {
			t.Fatal(err)
		}
	}
	if got := e.winner([]string{"nobody"}, ""); got != "" {
		t.Errorf("nobody says so, and it says %q", got)
	}
	if got := e.winner([]string{"all", "beneath"}, ""); got == "" {
		t.Error("a value takes a whole branch away")
	}
}

// Outside of a repository a file further up is nobody's.
func TestOnlyTheRepositorysOwnFoldersAreTheProject(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if got := (Env{Dir: dir}).projects(); !slices.Equal(got, []string{dir}) {
		t.Errorf("%q", got)
	}
	if got := (Env{}).projects(); got != nil {
		t.Errorf("%q", got)
	}
	if err := os.Mkdir(filepath.Join(filepath.Dir(dir), ".git"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got := (Env{Dir: dir}).projects(); !slices.Equal(got, []string{filepath.Dir(dir), dir}) {
		t.Errorf("%q", got)
	}
}

// A client that fails, or says what is no answer, is an error and no verdict.
func TestVerifyWithoutAnAnswerIsAnError(t *testing.T) {
	good := "cat <<'E'\n" + string(recorded(t, "config.json")) + "\nE"
	for _, test := range []struct{ name, script, data, want string }{
		{"a file of ours that is none", "exit 1", "{", "cannot read /f"},
		{"no configuration", "exit 4", "{}", "exit status 4"},
		{"words", "echo words", "{}", "printed something else"},
		{"no list", `[ "$1" = debug ] || { echo "Error: none" >&2; exit 1; }` + "\n" + good, "{}", "models` failed (exit status 1): none"},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := scripted(t, test.script)
			remarks, err := Verify(t.Context(), Client{Path: e.Program(), env: e}, "/f", []byte(test.data))
			if err == nil || !strings.Contains(err.Error(), test.want) || remarks != nil {
				t.Errorf("%v, %v", remarks, err)
			}
		})
	}
	e := scripted(t, `[ "$1" = debug ] || { printf 'local_%s\n' orch/orchestrator coder/coder reviewer/reviewer utility/utility; exit; }`+"\n"+good)
	remarks, err := Verify(t.Context(), Client{Path: e.Program(), env: e}, "/f", []byte("{}"))
	if err != nil || len(remarks) != 1 || !strings.Contains(remarks[0].Text, "ripgrep") {
		t.Errorf("without ripgrep: %+v, %v", remarks, err)
	}
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

// like tells whether a remark is as wanted, whose Text and Hint are parts of its own.
func like(got, want Remark) bool {
	return got.Failed == want.Failed && got.Tier == want.Tier && got.Path == want.Path &&
		strings.Contains(got.Text, want.Text) && strings.Contains(got.Hint, want.Hint)
}
