package opencode

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"
)

// TestWhateverHappensTheStartComesBack: after any order of applies, undos, edits and deletions, undoing all leaves the start, and
// on the way what is refused changes nothing, and the user's own files stay as they are.
func TestWhateverHappensTheStartComesBack(t *testing.T) {
	setups := []string{"none", "empty", "jsonc", "own", "omo", "linked-file"}
	rapid.Check(t, func(rt *rapid.T) {
		env := laid(t, rapid.SampledFrom(setups).Draw(rt, "start"))
		start := listing(t, env.Home)
		for range rapid.IntRange(1, 10).Draw(rt, "steps") {
			before := listing(t, env.Home)
			err := drawStep(rt)(&brokenDisk{}, env)
			now := listing(t, env.Home)
			var no *Refused
			if err != nil && !errors.As(err, &no) {
				rt.Fatal(err)
			}
			if d := differences(before, now); err != nil && len(d) > 0 {
				rt.Fatalf("refused (%v), and has changed %q", err, d)
			}
		}
		takeAllBack(rt, &brokenDisk{}, env)
		if d := differences(start, listing(t, env.Home)); len(d) > 0 {
			rt.Fatalf("left: %q", d)
		}
		if err := os.RemoveAll(env.Home); err != nil {
			rt.Fatal(err)
		}
	})
}

func drawStep(rt *rapid.T) step {
	force := rapid.Bool().Draw(rt, "force")
	switch rapid.SampledFrom([]string{"apply", "apply", "undo", "edit", "delete", "mode"}).Draw(rt, "step") {
	case "apply":
		return applying(rapid.IntRange(0, 2).Draw(rt, "plan"), rapid.Bool().Draw(rt, "omo"), force)
	case "undo":
		return undoing(force)
	case "edit":
		text := rapid.SampledFrom([]string{"", "{}", "{\"model\": \"mine\"}\n", "no JSON"}).Draw(rt, "text")
		return toOurs(rt, func(path string) error { return os.WriteFile(path, []byte(text), 0o600) })
	case "mode":
		return toOurs(rt, func(path string) error { return os.Chmod(path, 0o600) })
	}
	return toOurs(rt, os.Remove)
}

// toOurs does something to one of the files that Apply has written, if there is one.
func toOurs(rt *rapid.T, f func(path string) error) step {
	which := rapid.IntRange(0, 1).Draw(rt, "which")
	return func(_ disk, env Env) error {
		p, err := Places(ScopeUser, env)
		if err != nil {
			return err
		}
		path := []string{p.Config, p.OMO}[which]
		r, err := readRecord(p.state, path)
		if err != nil || r == nil || !isThere(path) {
			return err
		}
		return f(path)
	}
}

// TestPathsAreFound: a name of a record fits any file system, and no two paths share one.
func TestPathsAreFound(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a, b := rapid.String().Draw(rt, "a"), rapid.String().Draw(rt, "b")
		name := recordName(a)
		if len(name) > 64 || filepath.Base(name) != name {
			rt.Fatalf("%q", name)
		}
		if (a == b) != (name == recordName(b)) {
			rt.Fatalf("%q and %q", a, b)
		}
	})
}
