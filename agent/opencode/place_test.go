package opencode

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestWhereFilesGo by the environment alone: nothing is there yet.
func TestWhereFilesGo(t *testing.T) {
	home := t.TempDir()
	base := Env{Home: home, Dir: filepath.Join(home, "work"), UID: 1000}
	for _, tt := range []struct {
		rule                string
		scope               Scope
		env                 func(*Env)
		config, omo, stored string // below home
	}{
		{"a user's", ScopeUser, func(*Env) {}, ".config/opencode/opencode.json", ".omo/omo.jsonc", ".local/state/tierd/opencode"},
		{"XDG variables move it, and not the plugin's, which knows none of them", ScopeUser,
			func(e *Env) { e.ConfigHome, e.StateHome = home+"/c", home+"/s" }, "c/opencode/opencode.json", ".omo/omo.jsonc", "s/tierd/opencode"},
		{"an XDG_STATE_HOME that is not absolute is ignored", ScopeUser,
			func(e *Env) { e.StateHome = "s" }, ".config/opencode/opencode.json", ".omo/omo.jsonc", ".local/state/tierd/opencode"},
		{"OPENCODE_CONFIG_DIR is the user's own", ScopeUser,
			func(e *Env) { e.ConfigDir = home + "/mine" }, ".config/opencode/opencode.json", ".omo/omo.jsonc", ".local/state/tierd/opencode"},
		{"a project's, remembered with the user", ScopeProject, func(*Env) {},
			"work/.opencode/opencode.json", "work/.omo/omo.jsonc", ".local/state/tierd/opencode"},
		{"the managed one has no plugin, and needs no HOME", ScopeManaged,
			func(e *Env) { e.Root, e.Home = home, "" }, "etc/opencode/opencode.json", "", "var/lib/tierd/opencode"},
		{"root without sudo has a home as well", ScopeUser, func(e *Env) { e.UID = 0 },
			".config/opencode/opencode.json", ".omo/omo.jsonc", ".local/state/tierd/opencode"},
	} {
		env := base
		tt.env(&env)
		p, err := Places(tt.scope, env)
		if err != nil {
			t.Errorf("%s: %v", tt.rule, err)
			continue
		}
		below := func(path string) string {
			if path == "" {
				return ""
			}
			rel, err := filepath.Rel(home, path)
			if err != nil {
				t.Fatal(err)
			}
			return rel
		}
		if below(p.Config) != tt.config || below(p.OMO) != tt.omo || below(p.state) != tt.stored || p.Variable() != "" {
			t.Errorf("%s: %s, %s, %s, %q", tt.rule, p.Config, p.OMO, p.state, p.Variable())
		}
	}
}

func TestWhoMayNotWriteThere(t *testing.T) {
	home := t.TempDir()
	for _, tt := range []struct {
		rule  string
		scope Scope
		env   Env
		says  string
		hint  string
		no    bool // rights
	}{
		{"with sudo the files would be root's", ScopeUser, Env{Home: home, SudoUser: "ann"}, "belong to ann, and with sudo they would be root's", "run it without sudo, as ann", false},
		{"a project's as well", ScopeProject, Env{Home: home, Dir: home + "/p", SudoUser: "ann"}, "belong to ann", "without sudo", false},
		{"a managed one is root's", ScopeManaged, Env{Home: home, UID: 1000}, "/etc/opencode is written by root alone", "use sudo", true},
		{"no home", ScopeUser, Env{UID: 1000}, "HOME is not set", "set HOME", false},
		{"a home that is relative", ScopeUser, Env{Home: "ann", UID: 1000}, `HOME is "ann", which is no absolute path`, "set HOME", false},
		{"OpenCode takes a relative XDG_CONFIG_HOME from where it is started", ScopeUser, Env{Home: home, ConfigHome: "c", UID: 1000},
			`XDG_CONFIG_HOME is "c", which is no absolute path`, "unset it", false},
		{"a home that is not there", ScopeUser, Env{Home: home + "/nobody", UID: 1000}, "nobody, which is not there", "set HOME", false},
		{"a home is no project", ScopeProject, Env{Home: home, Dir: home, UID: 1000}, "your home, which is no project", "leave `--project` out", false},
		{"a directory that is gone", ScopeProject, Env{Home: home, UID: 1000}, "the working directory is not known", "change into", false},
	} {
		_, err := Places(tt.scope, tt.env)
		var no *Refused
		if !errors.As(err, &no) || !strings.Contains(no.Text, tt.says) || !strings.Contains(no.Hint, tt.hint) || no.Forbidden != tt.no {
			t.Errorf("%s: %#v", tt.rule, err)
		}
	}
	if _, err := PlaceAt(ScopeManaged, "/x", Env{Root: home}); err == nil || !strings.Contains(err.Error(), "has its one place") {
		t.Errorf("got %v", err)
	}
}

// TestANamedFile is found by OpenCode by itself in the places that it reads, and by its variable elsewhere.
func TestANamedFile(t *testing.T) {
	env := laid(t, "dotfiles")
	for _, tt := range []struct{ rule, to, config, variable string }{
		{"through the link that OpenCode goes through", ".config/opencode/opencode.json", "dotfiles/opencode/opencode.json", ""},
		{"where the link leads to", "dotfiles/opencode/config.json", "dotfiles/opencode/config.json", ""},
		{"another name in the same place", "dotfiles/opencode/tiers.json", "dotfiles/opencode/tiers.json", "OPENCODE_CONFIG=$HOME/dotfiles/opencode/tiers.json"},
		{"a directory that is not there yet", "new/dir/tiers.json", "new/dir/tiers.json", "OPENCODE_CONFIG=$HOME/new/dir/tiers.json"},
	} {
		p, err := PlaceAt(ScopeUser, filepath.Join(env.Home, tt.to), env)
		if err != nil {
			t.Fatal(err)
		}
		if p.Config != filepath.Join(env.Home, tt.config) || p.Variable() != strings.ReplaceAll(tt.variable, "$HOME", env.Home) {
			t.Errorf("%s: %s, %q", tt.rule, p.Config, p.Variable())
		}
	}
	var no *Refused
	if _, err := PlaceAt(ScopeUser, env.Home, env); !errors.As(err, &no) || no.Hint != "name a file in it: --to "+Quote(env.Home+"/opencode.json") {
		t.Errorf("a directory: %#v", err)
	}
	env.Config = filepath.Join(env.Home, "mine.json")
	p, err := PlaceAt(ScopeUser, "../mine.json", env)
	if err != nil || p.Config != env.Config || p.Variable() != "" {
		t.Errorf("the variable is set already: %s, %q, %v", p.Config, p.Variable(), err)
	}
}

// TestWhatWasNamedOnceIsFoundAgain behind the link that it was named for, by every command.
func TestWhatWasNamedOnceIsFoundAgain(t *testing.T) {
	env := laid(t, "dotfiles")
	start := listing(t, env.Home)
	named, err := PlaceAt(ScopeUser, filepath.Join(env.Home, ours), env)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Look(named, planOf(0, false))
	if err != nil {
		t.Fatal(err)
	}
	if err := Apply(named, c, false); err != nil {
		t.Fatal(err)
	}
	run(t, env, applying(1, false, false))
	if got := file(t, env, "dotfiles/opencode/opencode.json"); !strings.Contains(got, "73728") {
		t.Errorf("it was not written again:\n%s", got)
	}
	run(t, env, undoing(false))
	if d := differences(start, listing(t, env.Home)); len(d) > 0 {
		t.Errorf("left: %q", d)
	}
}

// TestShowTellsWhatIsInForce, and whether it still is as written.
func TestShowTellsWhatIsInForce(t *testing.T) {
	env := laid(t, "none")
	show := func() []InForce {
		t.Helper()
		p, err := Places(ScopeUser, env)
		if err != nil {
			t.Fatal(err)
		}
		all, err := Show(p)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	if all := show(); len(all) != 0 {
		t.Errorf("nothing was written, and it shows %v", all)
	}
	run(t, env, applying(0, false, false))
	f := show()[0]
	if f.State != "as written" || f.Model != "local_orch/orchestrator" || f.Small != "local_utility/utility" || len(f.Models) != 4 {
		t.Errorf("%+v", f)
	}
	for _, a := range f.Agents {
		m, ok := f.ModelOf(a)
		want := map[string]string{"primary": "local_orch/orchestrator", "coder": "local_coder/coder", "reviewer": "local_reviewer/reviewer"}[a.Name]
		if want != "" && (!ok || m.Ref != want || m.Context == 0 || m.BaseURL == "") {
			t.Errorf("%s works with %+v", a.Name, m)
		}
	}
	var order []string
	for _, m := range f.Models {
		order = append(order, m.Tier)
	}
	if want := []string{"orch", "coder", "reviewer", "utility"}; !slices.Equal(order, want) || f.Agents[0].Name != "primary" {
		t.Errorf("models are in the order %v, of the file it is %v; the first agent is %s", order, want, f.Agents[0].Name)
	}
	run(t, env, editing(ours, "{\"agent\": {\"mine\": {\"model\": \"acme/large\"}}}"))
	f = show()[0]
	if _, ok := f.ModelOf(f.Agents[0]); f.State != "edited since" || f.Agents[0].Name != "mine" || ok {
		t.Errorf("%+v", f)
	}
	if err := os.Remove(filepath.Join(env.Home, ours)); err != nil {
		t.Fatal(err)
	}
	if f := show()[0]; f.State != "gone" || len(f.Agents) != 0 {
		t.Errorf("%+v", f)
	}
	if err := os.WriteFile(filepath.Join(env.Home, ours), []byte("{\n\"a\" 1}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if f := show()[0]; f.State != "edited since" || f.Fault == nil || !strings.Contains(f.Fault.Error(), "opencode.json:2:5: ") {
		t.Errorf("%+v", f)
	}
}

// TestWhatSomebodyMadeOfAFile is told with its place, in words that are not Go's.
func TestWhatSomebodyMadeOfAFile(t *testing.T) {
	for text, want := range map[string]string{
		`{"provider": 3}`: ": provider has a value of the wrong kind (number)", `{"agent": {"a": 1}}`: ": agent has a value of the wrong kind (number)",
		`{"provider": {"a": {"models": []}}}`: ": provider.models has a value of the wrong kind (array)", `{"model": 1}`: ": model has a value of the wrong kind (number)",
		`{"provider": {"a": {"models": {"m": {"limit": {"context": "x"}}}}}}`: ": provider.models.limit.context has a value of the wrong kind (string)",
		`[]`: ":1:1: it is not an object", "": "", "{}": "",
	} {
		var f InForce
		got := ""
		if err := f.read([]byte(text)); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
