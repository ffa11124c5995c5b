package opencode

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

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
