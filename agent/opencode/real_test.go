//go:build opencode

package opencode

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// realClient is the OpenCode that $TIERD_OPENCODE names; packaging/vmtest/mkopencode.sh fetches one.
func realClient(t *testing.T) string {
	t.Helper()
	path := os.Getenv("TIERD_OPENCODE")
	if path == "" {
		t.Fatal("TIERD_OPENCODE names no OpenCode")
	}
	return path
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
			c := Client{Path: e.Program(), env: e}
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
	c := Client{Path: e.Program(), env: e}
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

// stderrOf runs the client by itself and returns all that it complains.
func stderrOf(t *testing.T, c Client, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(c.Path, args...)
	cmd.Dir, cmd.Env = c.env.Dir, slices.Concat(c.env.Environ, Variables(false))
	var words strings.Builder
	cmd.Stderr = &words
	if err := cmd.Run(); err == nil {
		t.Errorf("%v did not fail", args)
	}
	return []byte(words.String())
}
