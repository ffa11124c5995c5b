package opencode

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tierd/tierd/agent/openai"
)

// scripted is a program `opencode` in a folder of its own: for what the real one cannot be made to do.
func scripted(t *testing.T, script string) Env {
	t.Helper()
	dir := t.TempDir()
	putProgram(t, dir, script)
	return Env{Home: t.TempDir(), Dir: t.TempDir(), Environ: []string{"PATH=" + dir + ":/usr/bin:/bin", "LEFT=right"}}
}

func putProgram(t *testing.T, dir, script string) string {
	t.Helper()
	path := filepath.Join(dir, program)
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), 0o755)); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAVersionIsReadFromWhateverIsPrinted(t *testing.T) {
	for _, test := range []struct {
		name, out, version string
		major              int
	}{
		{"as 1.18.33 prints it", "1.18.33\n", "1.18.33", 1},
		{"of the second generation", "2.4.0\n", "2.4.0", 2},
		{"with a v", "v1.2.3", "1.2.3", 1},
		{"of a build between versions", "0.0.0-beta-17236\n", "0.0.0-beta-17236", 0},
		{"behind words of a plugin", "loading...\n1.18.33\n", "1.18.33", 1},
		{"with its name", "opencode 2.0.1-rc.1\n", "2.0.1-rc.1", 2},
		{"words alone", "a wrapper\nof mine\n", "a wrapper", 0},
		{"nothing", "", "", 0},
		{"a number that is no version", "17\n", "17", 0},
		{"a number without end", strings.Repeat("9", 400) + ".0.0", strings.Repeat("9", 400) + ".0.0", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			if version, major := parseVersion([]byte(test.out)); version != test.version || major != test.major {
				t.Errorf("%q, major %d", version, major)
			}
		})
	}
}

func TestTheClientIsTheOneThatAShellWouldStart(t *testing.T) {
	ctx := context.Background()
	home, first, second := t.TempDir(), t.TempDir(), t.TempDir()
	e := Env{Home: home, Dir: t.TempDir(), Environ: []string{"PATH=" + first + "::.:" + second}}
	if _, err := FindClient(ctx, e); !errors.Is(err, ErrNoClient) {
		t.Errorf("without one: %v", err)
	}
	putProgram(t, e.Dir, "echo 6.6.6") // "." on PATH is not looked at
	if err := os.Mkdir(filepath.Join(first, program), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(second, program), []byte("no program"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := FindClient(ctx, e); !errors.Is(err, ErrNoClient) {
		t.Errorf("with a folder and a file of that name: %v", err)
	}
	for _, dir := range []string{filepath.Join(home, ".bun/bin"), filepath.Join(home, ".opencode/bin"), second} {
		path := putProgram(t, dir, "echo 1.0.0")
		_ = os.Chmod(path, 0o755)
		c, err := FindClient(ctx, e)
		if err != nil || c.Path != path || c.Major != 1 {
			t.Errorf("%+v, %v; it should be %s", c, err, path)
		}
	}
}

func TestTheConfigurationIsFoundBehindWordsOfPlugins(t *testing.T) {
	for in, want := range map[string]bool{
		`{"a":1}`: true, "[plugin] hello\n{\n \"a\": 1\n}\n": true, "{\"a\":1}\ntrailing": true,
		"": false, "nothing": false, "[1]": false, `{"a":`: false, "x {\"a\":1}": false, "null": false,
	} {
		tree, err := parseTree([]byte(in))
		if (err == nil) != want || want && fmt.Sprint(tree["a"]) != "1" {
			t.Errorf("%q: %v, %v", in, tree, err)
		}
	}
}

func TestModelsAreLinesOfAList(t *testing.T) {
	out := "local_a/a\n[plugin] ready\n\nopenrouter/meta/llama-3\n  local_b/b  \nmodels:\n/x\nx/\n"
	if got, want := parseModels([]byte(out)), []string{"local_a/a", "openrouter/meta/llama-3", "local_b/b"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestRipgrepIsLookedForWhereTheClientLooks(t *testing.T) {
	path, home, cache := t.TempDir(), t.TempDir(), t.TempDir()
	e := Env{Home: home, Environ: []string{"PATH=" + path}}
	put := func(dir string) {
		t.Helper()
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "rg"), nil, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	if (Client{env: e}).HasSearch() {
		t.Error("there is none")
	}
	put(filepath.Join(home, ".cache/opencode/bin"))
	if !(Client{env: e}).HasSearch() {
		t.Error("there is one in the client's own cache")
	}
	e.Environ = append(e.Environ, "XDG_CACHE_HOME="+cache)
	if (Client{env: e}).HasSearch() {
		t.Error("the cache is elsewhere")
	}
	put(path)
	if !(Client{env: e}).HasSearch() {
		t.Error("there is one on PATH")
	}
}

func FuzzClientWords(f *testing.F) {
	for _, seed := range []string{"1.18.33\n", "{\n\"a\": {\"b\": 1e400}}", "words\n{\"a\":[]}", "local_a/a\n", "\x1b[91mError: \x1b[0mx:\n↳ y\n", "\xff{"} {
		f.Add([]byte(seed))
	}
	for _, name := range []string{"config.json", "models.txt", "broken.stderr", "no-output.stderr"} {
		if data, err := os.ReadFile(filepath.Join("testdata", "client", name)); err == nil {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, out []byte) {
		if version, major := parseVersion(out); major < 0 || strings.ContainsAny(version, "\n") {
			t.Errorf("version %q, %d", version, major)
		}
		for _, m := range parseModels(out) {
			if strings.ContainsAny(m, " \t\n") || !strings.Contains(m, "/") {
				t.Errorf("model %q", m)
			}
		}
		if c := complaint(out); strings.ContainsAny(c, "\n\x1b\x00") || len(c) > openai.MaxLine+len("…") {
			t.Errorf("complaint %q", c)
		}
		if tree, err := parseTree(out); err == nil {
			if d := compare(tree, tree, nil); len(d) > 0 && tree != nil {
				t.Errorf("a tree is not like itself: %v", d)
			}
		}
	})
}

// faults are files that the client refuses, with the recording of what it says.
var faults = []struct {
	name  string
	spoil func(string) string
	user  string // opencode.jsonc
	says  string
}{
	{
		name:  "no-output",
		spoil: func(s string) string { return strings.Replace(s, ",\n            \"output\": 16384", "", 1) },
		says:  "Configuration is invalid at HOME/.config/opencode/opencode.json: Missing key provider.local_orch.models.orchestrator.limit.output",
	}, {
		name: "broken", user: `{ "model": "x", oops`,
		says: "Config file at HOME/.config/opencode/opencode.jsonc is not valid JSON(C): InvalidSymbol at line 1, column 17",
	}, {
		name:  "no-key-file",
		spoil: func(s string) string { return strings.Replace(s, `"EMPTY"`, `"{file:/nonexistent/key}"`, 1) },
		says:  `Configuration is invalid at HOME/.config/opencode/opencode.json: bad file reference: "{file:/nonexistent/key}" /nonexistent/key does not exist`,
	},
}
