package opencode

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// file reads one of a home.
func file(t *testing.T, env Env, path string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(env.Home, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func run(t *testing.T, env Env, steps ...step) {
	t.Helper()
	for i, s := range steps {
		if err := s(realDisk{}, env); err != nil {
			t.Fatalf("step %d: %v", i+1, err)
		}
	}
}

func modeOf(t *testing.T, env Env, path string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(filepath.Join(env.Home, path))
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode()
}

// keyPlan names a key's file.
func keyPlan() Plan {
	o := here()
	o.Keys, o.KeyFile = true, "/home/ann/key"
	return MakePlan(four(), o)
}

// TestModes: nobody else may read where the key is; who has narrowed a mode is left with it; undo brings back the old one.
func TestModes(t *testing.T) {
	env := laid(t, "omo")
	apply := func(plan Plan, force bool) Changes {
		t.Helper()
		p, err := Places(ScopeUser, env)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Look(p, plan)
		if err != nil {
			t.Fatal(err)
		}
		if err := Apply(p, c, force); err != nil {
			t.Fatal(err)
		}
		return c
	}
	apply(planOf(0, true), true)
	if m := modeOf(t, env, ours); m != 0o644 {
		t.Errorf("without a key the mode is %o", m)
	}
	if m := modeOf(t, env, ".omo/omo.jsonc"); m != 0o644 {
		t.Errorf("the plugin's file has mode %o", m)
	}
	if err := os.Chmod(filepath.Join(env.Home, ours), 0o600); err != nil {
		t.Fatal(err)
	}
	if c := apply(planOf(0, true), false); c.Needed() || modeOf(t, env, ours) != 0o600 {
		t.Errorf("a narrower mode was made wide again: %v", c.Files)
	}
	apply(keyPlan(), false)
	if err := os.Chmod(filepath.Join(env.Home, ours), 0o604); err != nil {
		t.Fatal(err)
	}
	if c := apply(keyPlan(), false); !c.Needed() || c.Diff() != "" || modeOf(t, env, ours) != 0o600 {
		t.Errorf("others may read where the key is: %o", modeOf(t, env, ours))
	}
	run(t, env, undoing(false))
	if m := modeOf(t, env, ".omo/omo.jsonc"); m != 0o600 {
		t.Errorf("the file that was there had mode 600, and has %o", m)
	}
}

// TestAnEditedFile is shown, and replaced and taken back with force alone; what was edited comes back then.
func TestAnEditedFile(t *testing.T) {
	env := laid(t, "none")
	start := listing(t, env.Home)
	run(t, env, applying(0, false, false), editing(ours, "{\"model\": \"mine\"}\n"))
	edited := listing(t, env.Home)
	for name, s := range map[string]step{"apply": applying(1, false, false), "undo": undoing(false)} {
		err := s(realDisk{}, env)
		var no *Refused
		if !errors.As(err, &no) || !no.Forceable || !strings.Contains(no.Text, "has been edited since tierctl wrote it") {
			t.Fatalf("%s: %v", name, err)
		}
		for _, want := range []string{"opencode.json (as written)\n", "opencode.json (as it is)\n", "-  \"share\": \"disabled\",\n", "+{\"model\": \"mine\"}\n"} {
			if !strings.Contains(no.Diff, want) {
				t.Errorf("%s: the diff does not say %q:\n%s", name, want, no.Diff)
			}
		}
		if d := differences(edited, listing(t, env.Home)); len(d) > 0 {
			t.Errorf("%s was refused, and has changed %q", name, d)
		}
	}
	run(t, env, applying(1, false, true), undoing(false))
	if got := file(t, env, ours); got != "{\"model\": \"mine\"}\n" {
		t.Errorf("what was edited came back as %q", got)
	}
	if err := undoing(false)(realDisk{}, env); err == nil {
		t.Error("what was edited was taken away without force")
	}
	run(t, env, undoing(true))
	if d := differences(start, listing(t, env.Home)); len(d) > 0 {
		t.Errorf("left: %q", d)
	}
}

// TestWhatIsBesideOursStays: OpenCode writes files of its own into its directory at its first start, which undo leaves there.
func TestWhatIsBesideOursStays(t *testing.T) {
	env := laid(t, "none")
	run(t, env, applying(0, true, false))
	own := filepath.Join(env.Home, ".config/opencode/opencode.jsonc")
	if err := os.WriteFile(own, []byte(`{"$schema": "https://opencode.ai/config.json"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, env, applying(1, true, false), undoing(false))
	now := listing(t, env.Home)
	if _, ok := now[".config/opencode/opencode.jsonc"]; !ok || len(now) != 6 { // ., project, main.go, .config, opencode
		t.Errorf("there is %q", now)
	}
}

// TestAFileThatIsGone is written again by apply, and is no trouble for undo.
func TestAFileThatIsGone(t *testing.T) {
	env := laid(t, "own")
	start := listing(t, env.Home)
	gone := func(_ disk, env Env) error {
		return os.RemoveAll(filepath.Join(env.Home, ".config/opencode/config.json"))
	}
	run(t, env, applying(0, false, false), gone, applying(0, false, false))
	if !strings.Contains(file(t, env, ".config/opencode/config.json"), "local_orch") {
		t.Error("it was not written again")
	}
	run(t, env, gone, undoing(false))
	if d := differences(start, listing(t, env.Home)); len(d) > 0 {
		t.Errorf("left: %q", d)
	}
}

// TestOursKeepsItsPlace when the file above it goes: moving it would be one more change that nobody has asked for.
func TestOursKeepsItsPlace(t *testing.T) {
	env := laid(t, "own")
	run(t, env, applying(0, false, false))
	if err := os.Remove(filepath.Join(env.Home, ours)); err != nil {
		t.Fatal(err)
	}
	p, err := Places(ScopeUser, env)
	if err != nil || filepath.Base(p.Config) != "config.json" {
		t.Errorf("it is at %s, %v", p.Config, err)
	}
}

// TestAPlanThatIsRefused writes nothing, with force neither.
func TestAPlanThatIsRefused(t *testing.T) {
	env := laid(t, "none")
	before := listing(t, env.Home)
	p, err := Places(ScopeUser, env)
	if err != nil {
		t.Fatal(err)
	}
	for _, plan := range []Plan{MakePlan(nil, here()), {Files: planOf(0, false).Files, Findings: []Finding{{Refuse: true, Text: "too small", Hint: "more"}}}} {
		c, err := Look(p, plan)
		if err != nil {
			t.Fatal(err)
		}
		err = Apply(p, c, true)
		var no *Refused
		if !errors.As(err, &no) || no.Hint == "" {
			t.Errorf("got %v", err)
		}
	}
	if d := differences(before, listing(t, env.Home)); len(d) > 0 {
		t.Errorf("and it has changed %q", d)
	}
}

// TestSizesAreNoConcernOfTheManagedFile, which has none: a tier that is too small for an agent keeps nobody from naming providers.
func TestSizesAreNoConcernOfTheManagedFile(t *testing.T) {
	env := laid(t, "none")
	plan := MakePlan(change("orch", func(t *Tier) { t.Context, t.Wish = 2048, 2048 }), here())
	if !plan.Refused() {
		t.Fatal("it is not refused for anybody")
	}
	for scope, want := range map[Scope]bool{ScopeUser: true, ScopeManaged: false} {
		p, err := Places(scope, env)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Look(p, plan)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Against(false); (err != nil) != want {
			t.Errorf("%s: %v", scope, err)
		}
	}
	p, err := Places(ScopeManaged, env)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := Look(p, MakePlan(nil, here())); err != nil || c.Against(true) == nil {
		t.Errorf("without a tier there is nothing to name: %v", err)
	}
}

// A larger wish that the engine does not serve leaves the bytes as they are. It has to be remembered all the same, or the file
// would be out of date as soon as the tier is down.
func TestAnApplyOfTheSameBytesRemembersWhatTheEngineServes(t *testing.T) {
	env := laid(t, "none")
	write := func(tiers []Tier) Record {
		t.Helper()
		p, err := Places(ScopeUser, env)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Look(p, MakePlan(tiers, here()))
		if err != nil {
			t.Fatal(err)
		}
		if err := Apply(p, c, false); err != nil {
			t.Fatal(err)
		}
		r, err := Written(p)
		if err != nil || r == nil {
			t.Fatalf("%v, %v", r, err)
		}
		return *r
	}
	wish := func(tokens int, live bool) []Tier {
		return change("orch", func(t *Tier) {
			t.Wish, t.Context, t.Live = tokens, tokens, live
			if live {
				t.Context = 32 << 10
			}
		})
	}
	start := listing(t, env.Home)
	write(wish(32<<10, false))
	before := inodes(t, filepath.Dir(filepath.Join(env.Home, ours)))
	r := write(wish(64<<10, true))
	if d := drift(t, r, wish(64<<10, false)); d.Needed() {
		t.Errorf("with the tier down %s", d.Words())
	}
	r = write(wish(32<<10, true))
	if d := drift(t, r, wish(64<<10, false)); !d.Needed() {
		t.Error("what was seen with an earlier wish is still remembered")
	}
	if after := inodes(t, filepath.Dir(filepath.Join(env.Home, ours))); !reflect.DeepEqual(before, after) {
		t.Errorf("the file was written again: %v, %v", before, after)
	}
	run(t, env, undoing(false))
	if d := differences(start, listing(t, env.Home)); len(d) > 0 {
		t.Errorf("left: %q", d)
	}
}
