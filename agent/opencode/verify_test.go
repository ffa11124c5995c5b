package opencode

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
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

// like tells whether a remark is as wanted, whose Text and Hint are parts of its own.
func like(got, want Remark) bool {
	return got.Failed == want.Failed && got.Tier == want.Tier && got.Path == want.Path &&
		strings.Contains(got.Text, want.Text) && strings.Contains(got.Hint, want.Hint)
}
