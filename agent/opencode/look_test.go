package opencode

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFilesBesideOurs: each file that OpenCode reads as well is looked at, with the place of the fault.
func TestFilesBesideOurs(t *testing.T) {
	for _, tt := range []struct {
		rule, path, text string
		scope            Scope
		says             string // "": it is no fault
	}{
		{"comments and trailing commas are JSONC", ".config/opencode/opencode.jsonc", "{ // c\n \"a\": [1,],\n}", ScopeUser, ""},
		{"an empty file is none to OpenCode", ".config/opencode/opencode.jsonc", "", ScopeUser, ""},
		{"a variable may stand for a number", ".config/opencode/opencode.jsonc", "{\"a\": {env:N}, \"b\": \"{file:~/key}\"}", ScopeUser, ""},
		{"a variable moves no fault", ".config/opencode/opencode.jsonc", "{\"a\": {env:NAME} 1}", ScopeUser, "opencode.jsonc:1:18: "},
		{"a byte order mark", ".config/opencode/opencode.jsonc", "\xef\xbb\xbf{}", ScopeUser, ""},
		{"a missing comma", ".config/opencode/opencode.jsonc", "{\n  \"a\": 1\n  \"b\": 2\n}", ScopeUser, "opencode.jsonc:3:3: OpenCode reads this file as well and would not start: "},
		{"a bracket that is never closed", ".config/opencode/config.json", "{", ScopeUser, "config.json:1:2: "},
		{"no object", ".config/opencode/opencode.jsonc", "[]", ScopeUser, "opencode.jsonc:1:1: OpenCode reads this file as well and would not start: it is not an object"},
		{"what OPENCODE_CONFIG names", "mine.json", "{", ScopeUser, "mine.json:1:2: "},
		{"what is in OPENCODE_CONFIG_DIR", "dir/opencode.jsonc", "{", ScopeUser, "dir/opencode.jsonc:1:2: "},
		{"a project's file, for the project", "project/opencode.jsonc", "{", ScopeProject, "project/opencode.jsonc:1:2: "},
		{"a project's file is no business of the user's", "project/opencode.jsonc", "{", ScopeUser, ""},
		{"a user's file, for the project", ".config/opencode/opencode.jsonc", "{", ScopeProject, "opencode.jsonc:1:2: "},
	} {
		env := laid(t, "none")
		env.Config, env.ConfigDir = filepath.Join(env.Home, "mine.json"), filepath.Join(env.Home, "dir")
		path := filepath.Join(env.Home, tt.path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(tt.text), 0o644); err != nil {
			t.Fatal(err)
		}
		p, err := Places(tt.scope, env)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Look(p, planOf(0, false))
		if err != nil {
			t.Fatal(err)
		}
		err = c.Against(true)
		if tt.says == "" && err != nil || tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%s: %v", tt.rule, err)
		}
	}
}

// TestOldPluginFilesInEachPlace that the plugin moves them from.
func TestOldPluginFilesInEachPlace(t *testing.T) {
	for _, path := range []string{".config/opencode/oh-my-opencode.jsonc", "dir/oh-my-openagent.json"} {
		env := laid(t, "empty")
		env.ConfigDir = filepath.Join(env.Home, "dir")
		if err := os.MkdirAll(env.ConfigDir, 0o755); err != nil {
			t.Fatal(err)
		}
		run(t, env, editing(path, "{}"))
		if err := applying(0, false, false)(realDisk{}, env); err != nil {
			t.Errorf("%s without the plugin: %v", path, err)
		}
		err := applying(0, true, true)(realDisk{}, env)
		var no *Refused
		if !errors.As(err, &no) || !strings.HasPrefix(no.Hint, "mv "+filepath.Join(env.Home, path)) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestLooksTellWhatIsToHappen, as a diff that patch(1) takes.
func TestLooksTellWhatIsToHappen(t *testing.T) {
	env := laid(t, "none")
	look := func(n int, omo bool) (Changes, string) {
		t.Helper()
		p, err := Places(ScopeUser, env)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Look(p, planOf(n, omo))
		if err != nil {
			t.Fatal(err)
		}
		var text []string
		for _, f := range c.Files {
			text = append(text, string(f.Kind)+" "+string(f.Action))
		}
		return c, strings.Join(text, ", ")
	}
	path := filepath.Join(env.Home, ours)
	c, did := look(0, true)
	if did != "opencode create, omo create" || !strings.HasPrefix(c.Diff(), "--- /dev/null\n+++ "+path+"\n@@ -0,0 +1,") {
		t.Errorf("%s\n%s", did, c.Diff())
	}
	run(t, env, applying(0, true, false))
	if c, did := look(0, true); did != "opencode same, omo same" || c.Diff() != "" || c.Needed() {
		t.Errorf("%s\n%s", did, c.Diff())
	}
	c, did = look(1, true)
	if did != "opencode change, omo same" || !strings.HasPrefix(c.Diff(), "--- "+path+"\n+++ "+path+"\n@@ ") || !strings.Contains(c.Diff(), "\n+            \"context\": 73728,\n") {
		t.Errorf("%s\n%s", did, c.Diff())
	}
	c, did = look(0, false)
	if did != "opencode change, omo remove" || !strings.Contains(c.Diff(), "\n+++ /dev/null\n") {
		t.Errorf("%s\n%s", did, c.Diff())
	}
}
