package opencode

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestWhatChangesBetweenLookAndApply is not overwritten: a question to the user may have been in between.
func TestWhatChangesBetweenLookAndApply(t *testing.T) {
	env := laid(t, "none")
	p, err := Places(ScopeUser, env)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Look(p, planOf(0, false))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(env.Home, ".config/opencode"), 0o755); err != nil {
		t.Fatal(err)
	}
	run(t, env, editing(ours, "{}"))
	before := listing(t, env.Home)
	if err := Apply(p, c, true); err == nil || !strings.Contains(err.Error(), "has changed since it was looked at") {
		t.Errorf("got %v", err)
	}
	if d := differences(before, listing(t, env.Home)); len(d) > 0 {
		t.Errorf("and it has changed %q", d)
	}
}

// TestOneAtATime: while one writes, another one is told so.
func TestOneAtATime(t *testing.T) {
	env := laid(t, "none")
	run(t, env, applying(0, false, false))
	held, err := lockDir(env.stateDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]step{"apply": applying(1, false, false), "undo": undoing(false)} {
		if err := s(realDisk{}, env); err == nil || !strings.Contains(err.Error(), "another `tierctl opencode` is writing") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := applying(0, false, false)(realDisk{}, env); err != nil {
		t.Errorf("there is nothing to write, and still: %v", err)
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	run(t, env, undoing(false))
}

// TestManyAtOnce: whoever comes while another one writes is refused, and nothing is lost.
func TestManyAtOnce(t *testing.T) {
	env := laid(t, "omo")
	start := listing(t, env.Home)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 5 {
				_ = applying(n%3, n%2 == 0, true)(realDisk{}, env)
				if i%2 == 0 {
					_ = undoing(true)(realDisk{}, env)
				}
			}
		})
	}
	all.Wait()
	takeAllBack(t, realDisk{}, env)
	if d := differences(start, listing(t, env.Home)); len(d) > 0 {
		t.Errorf("left: %q", d)
	}
}

// takeAllBack undoes until there is nothing more.
func takeAllBack(t errorer, d disk, env Env) {
	for range 100 {
		p, err := Places(ScopeUser, env)
		if err != nil {
			t.Fatalf("%v", err)
		}
		c, err := undo(d, p, true)
		if err != nil {
			t.Fatalf("%v", err)
		}
		if len(c.Files) == 0 {
			return
		}
	}
	t.Fatalf("undo has no end")
}

type errorer interface{ Fatalf(string, ...any) }

// TestTwoPlacesShareDirectories: the last one to be taken back takes along what the first one made.
func TestTwoPlacesShareDirectories(t *testing.T) {
	env := laid(t, "none")
	start := listing(t, env.Home)
	run(t, env, applying(0, false, false))
	named, err := PlaceAt(ScopeUser, filepath.Join(env.Home, ".config/opencode/other/tiers.json"), env)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Look(named, planOf(1, false))
	if err != nil {
		t.Fatal(err)
	}
	if err := Apply(named, c, false); err != nil {
		t.Fatal(err)
	}
	run(t, env, undoing(false))
	left, err := Applied(named)
	if err != nil || len(left) != 1 || !left[0].Named || left[0].Path != named.Config {
		t.Fatalf("%v, %v", left, err)
	}
	if _, err := Undo(named, false); err != nil {
		t.Fatal(err)
	}
	if d := differences(start, listing(t, env.Home)); len(d) > 0 {
		t.Errorf("left: %q", d)
	}
}
