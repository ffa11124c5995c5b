package opencode

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTheWayOutOfALink is one that the same scope takes.
func TestTheWayOutOfALink(t *testing.T) {
	for scope, hint := range map[Scope]string{
		ScopeUser:    "tierctl opencode apply --to $HOME/real/opencode.json ",
		ScopeProject: "tierctl opencode apply --project --to $HOME/real/opencode.json ",
		ScopeManaged: "make it a directory of its own",
	} {
		env := laid(t, "none")
		link := filepath.Join(env.Home, map[Scope]string{ScopeUser: ".config/opencode", ScopeProject: "project/.opencode", ScopeManaged: "etc/opencode"}[scope])
		real := filepath.Join(env.Home, "real")
		if err := errors.Join(os.Mkdir(real, 0o755), os.MkdirAll(filepath.Dir(link), 0o755), os.Symlink(real, link)); err != nil {
			t.Fatal(err)
		}
		p, err := Places(scope, env)
		if err != nil {
			t.Fatal(err)
		}
		c, err := Look(p, planOf(0, false))
		if err != nil {
			t.Fatal(err)
		}
		no := c.Files[0].Blocked
		if no == nil || !strings.HasPrefix(no.Hint, strings.ReplaceAll(hint, "$HOME", env.Home)) {
			t.Errorf("%s: %+v", scope, no)
		}
	}
}

// TestALinkInPlaceOfOurs: somebody has moved what was written elsewhere. It is not replaced, nor taken away, whatever is said.
func TestALinkInPlaceOfOurs(t *testing.T) {
	env := laid(t, "none")
	run(t, env, applying(0, false, false))
	path, moved := filepath.Join(env.Home, ours), filepath.Join(env.Home, "moved.json")
	if err := errors.Join(os.Rename(path, moved), os.Symlink(moved, path)); err != nil {
		t.Fatal(err)
	}
	for what, s := range map[string]step{"apply": applying(1, false, true), "undo": undoing(true)} {
		err := s(realDisk{}, env)
		var no *Refused
		if !errors.As(err, &no) || !strings.Contains(no.Text, "is a symbolic link, not a file") || no.Hint == "" {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := os.Rename(moved, path); err != nil {
		t.Fatal(err)
	}
	run(t, env, undoing(false))
}
