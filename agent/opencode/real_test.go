package opencode

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// realClient is the OpenCode that packaging/vmtest/mkopencode.sh has put into the user's cache, or what $TIERD_OPENCODE names.
func realClient(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("TIERD_OPENCODE"); path != "" {
		return path
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip("the real OpenCode is not here: ", err)
	}
	found, _ := filepath.Glob(filepath.Join(cache, "tierd", "opencode", "*", "usr", "local", "bin", program))
	if len(found) == 0 {
		t.Skip("the real OpenCode is not here; packaging/vmtest/mkopencode.sh fetches it, or TIERD_OPENCODE names it")
	}
	return slices.MaxFunc(found, func(a, b string) int { return modified(t, a).Compare(modified(t, b)) })
}

// realHome is that of somebody who has the real client, with files by their path beneath it.
func realHome(t *testing.T, files map[string]string) Env {
	t.Helper()
	client := realClient(t)
	home := t.TempDir()
	e := Env{Home: home, Dir: filepath.Join(home, "project"), UID: os.Getuid(), Root: home, Environ: []string{
		"HOME=" + home, "USER=ann", "LANG=C.UTF-8", "PATH=" + filepath.Join(home, "bin") + ":/usr/bin:/bin",
	}}
	for _, dir := range []string{e.Dir, e.configDir(), filepath.Join(home, "bin")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(client, filepath.Join(home, "bin", program)); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		path := filepath.Join(home, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return e
}

const ownFile = ".config/opencode/opencode.json"

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

func goldenPlan(t *testing.T) string {
	t.Helper()
	f, ok := MakePlan(four(), here()).File(KindConfig)
	if !ok {
		t.Fatal("the plan has no configuration")
	}
	return string(f.Data)
}

// The recordings that all other tests go by are what the real client says today, of a plan that is recorded with them.
func TestTheRealClientIsAsRecorded(t *testing.T) {
	if *update {
		golden(t, filepath.Join("client", "plan.jsonc"), []byte(goldenPlan(t)))
	}
	plan := string(recorded(t, "plan.jsonc"))
	e := realHome(t, map[string]string{ownFile: plan})
	ctx := t.Context()
	c, err := FindClient(ctx, e)
	if err != nil || c.Major != 1 {
		t.Fatalf("%+v, %v", c, err)
	}
	t.Logf("version %s", c.Version)
	for name, args := range map[string][]string{"config.json": {"debug", "config"}, "models.txt": {"models"}} {
		out, err := c.run(ctx, askTimeout, args...)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, filepath.Join("client", name), out)
	}
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			files := map[string]string{ownFile: plan}
			if f.spoil != nil {
				if files[ownFile] = f.spoil(plan); files[ownFile] == plan {
					t.Fatal("nothing was spoilt")
				}
			}
			if f.user != "" {
				files[".config/opencode/opencode.jsonc"] = f.user
			}
			e := realHome(t, files)
			c := Client{Path: e.program(), env: e}
			_, err := c.DebugConfig(ctx)
			if err == nil || !strings.HasSuffix(err.Error(), ": "+strings.ReplaceAll(f.says, "HOME", e.Home)) {
				t.Errorf("the error is %v", err)
			}
			golden(t, filepath.Join("client", f.name+".stderr"), bytes.ReplaceAll(stderrOf(t, c, "debug", "config"), []byte(e.Home), []byte("HOME")))
		})
	}
}

// A plan that nobody has overruled is taken whole.
func TestTheRealClientTakesEveryLeaf(t *testing.T) {
	for name, o := range map[string]func(*Options){
		"as it is":     func(*Options) {},
		"one port":     func(o *Options) { o.Gateway = true },
		"a key's file": func(o *Options) { o.Keys, o.KeyFile = true, "KEY" },
	} {
		t.Run(name, func(t *testing.T) {
			options := here()
			o(&options)
			e := realHome(t, map[string]string{"key": "sk-something\n"})
			if options.KeyFile != "" {
				options.KeyFile = filepath.Join(e.Home, "key")
			}
			plan := MakePlan(four(), options)
			p, err := Places(ScopeUser, e)
			if err != nil {
				t.Fatal(err)
			}
			changes, err := Look(p, plan)
			if err == nil {
				err = Apply(p, changes, false)
			}
			if err != nil {
				t.Fatal(err)
			}
			remarks := verifyReal(t, e, p.Config)
			if len(remarks) > 0 {
				t.Errorf("remarks on a plan of our own: %+v", remarks)
			}
		})
	}
}

func verifyReal(t *testing.T, e Env, file string) []Remark {
	t.Helper()
	ctx := context.Background()
	c := Client{Path: e.program(), env: e}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	remarks, err := Verify(ctx, c, file, data)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(remarks, func(r Remark) bool { return strings.Contains(r.Text, "ripgrep") })
}

// What the user says in a file of theirs wins, and verify says which file it is.
func TestTheRealClientShowsWhoOverruledUs(t *testing.T) {
	plan := goldenPlan(t)
	for _, test := range []struct {
		name, file, text string
		want             []Remark // Text: a part of it
	}{
		{
			name: "a model of the user's choice is theirs to choose",
			file: ".config/opencode/opencode.jsonc", text: `{ "model": "local_coder/coder" } // mine`,
			want: []Remark{{Path: "model", Text: "yours to choose (HOME/.config/opencode/opencode.jsonc probably says so)"}},
		}, {
			name: "another address is a failure",
			file: "project/opencode.json", text: `{ "provider": { "local_coder": { "options": { "baseURL": "https://example.org/v1" } } } }`,
			want: []Remark{{Failed: true, Tier: "coder", Path: "provider.local_coder.options.baseURL", Text: "requests to it leave this machine (HOME/project/opencode.json probably says so)"}},
		}, {
			name: "a provider of one's own on this machine is no failure, with the list of providers given anew",
			file: "project/.opencode/opencode.jsonc", text: `{
				"enabled_providers": ["local_orch", "local_coder", "local_reviewer", "local_utility", "mine"],
				"provider": { "mine": { "npm": "@ai-sdk/openai-compatible", "options": { "baseURL": "http://localhost:11434/v1" },
					"models": { "m": {} } } } }`,
			want: []Remark{{Path: "enabled_providers", Text: "yours to choose"}},
		}, {
			name: "hosted models are a failure",
			file: ".config/opencode/opencode.jsonc",
			text: `{ "enabled_providers": ["local_orch", "local_coder", "local_reviewer", "local_utility", "opencode"] }`,
			want: []Remark{{Path: "enabled_providers", Text: "yours to choose"}, {Failed: true, Text: `more of "opencode": with it, requests leave this machine`}},
		}, {
			name: "a list of providers without ours is a failure",
			file: ".config/opencode/opencode.jsonc", text: `{ "enabled_providers": ["local_orch", "local_utility", "local_reviewer"] }`,
			want: []Remark{
				{Failed: true, Path: "enabled_providers", Text: "the models of local_coder are not offered"},
				{Failed: true, Tier: "coder", Text: "OpenCode does not offer local_coder/coder"},
			},
		}, {
			name: "a provider that is disabled is not offered",
			file: ".config/opencode/opencode.jsonc", text: `{ "disabled_providers": ["local_coder"] }`,
			want: []Remark{{Failed: true, Tier: "coder", Text: "OpenCode does not offer local_coder/coder"}},
		}, {
			name: "an agent of the same name in Markdown",
			file: "project/.opencode/agent/coder.md", text: "---\ndescription: mine\nmode: subagent\n---\nYou code.\n",
			want: []Remark{{Path: "agent.coder.description", Text: "yours to choose (HOME/project/.opencode/agent/coder.md probably says so)"}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := realHome(t, map[string]string{ownFile: plan, test.file: test.text})
			got := verifyReal(t, e, filepath.Join(e.Home, ownFile))
			for i := range got {
				got[i].Text = strings.ReplaceAll(got[i].Text, e.Home, "HOME")
			}
			if !slices.EqualFunc(got, test.want, like) {
				t.Errorf("it says %+v,\nand should %+v", got, test.want)
			}
		})
	}
}

// like tells whether a remark is as wanted, whose Text and Hint are parts of its own.
func like(got, want Remark) bool {
	return got.Failed == want.Failed && got.Tier == want.Tier && got.Path == want.Path &&
		strings.Contains(got.Text, want.Text) && strings.Contains(got.Hint, want.Hint)
}

// A key that the client does not know is dropped without a word, and shows here alone.
func TestTheRealClientDropsATypo(t *testing.T) {
	e := realHome(t, map[string]string{ownFile: strings.Replace(strings.Replace(goldenPlan(t), `"limit": {`, `"limt": {`, 1), `"share"`, `"shar"`, 1)})
	got := verifyReal(t, e, filepath.Join(e.Home, ownFile))
	want := []Remark{
		{Failed: true, Tier: "orch", Path: "provider.local_orch.models.orchestrator.limt", Text: "this version does not know the key"},
		{Failed: true, Path: "shar", Text: "this version does not know the key"},
	}
	if !slices.EqualFunc(got, want, like) {
		t.Errorf("it says %+v", got)
	}
}
