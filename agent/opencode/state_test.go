package opencode

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestWhatOthersPutBesideTheStateStays: the directories that were made for the records may be others' as well by now.
func TestWhatOthersPutBesideTheStateStays(t *testing.T) {
	for _, tt := range []struct {
		rule, file string
		left       []string
	}{
		{"beside ~/.local/state", ".local/share", []string{".local", ".local/share"}},
		{"beside tierd's", ".local/state/other", []string{".local", ".local/state", ".local/state/other"}},
		{"tierd's, of another part", ".local/state/tierd/bench", []string{".local", ".local/state", ".local/state/tierd", ".local/state/tierd/bench"}},
		{"among the records", ".local/state/tierd/opencode/note",
			[]string{".local", ".local/state", ".local/state/tierd", ".local/state/tierd/opencode", ".local/state/tierd/opencode/made.json", ".local/state/tierd/opencode/note"}},
	} {
		env := laid(t, "none")
		run(t, env, applying(0, false, false))
		if err := os.WriteFile(filepath.Join(env.Home, tt.file), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		run(t, env, undoing(false))
		var left []string
		for path := range listing(t, env.Home) {
			if strings.HasPrefix(path, ".local") {
				left = append(left, path)
			}
		}
		slices.Sort(left)
		if !slices.Equal(left, tt.left) {
			t.Errorf("%s: left %q, want %q", tt.rule, left, tt.left)
		}
		// And all of it goes when the other one has gone.
		if err := os.Remove(filepath.Join(env.Home, tt.file)); err != nil {
			t.Fatal(err)
		}
		run(t, env, applying(0, false, false), undoing(false))
		for path := range listing(t, env.Home) {
			if strings.Contains(path, "opencode") || strings.Contains(path, "tierd-new") {
				t.Errorf("%s: left %s", tt.rule, path)
			}
		}
	}
}

// lateDisk puts a file into a directory that is being removed, in the last moment.
type lateDisk struct {
	realDisk
	file string // below the directory that gets another name
}

func (d lateDisk) Rename(from, to string) error {
	if strings.HasSuffix(to, newName("/.local")[1:]) {
		if err := os.WriteFile(filepath.Join(from, d.file), []byte("mine"), 0o600); err != nil {
			return err
		}
	}
	return d.realDisk.Rename(from, to)
}

// TestAFileThatComesInTheLastMoment is not removed with the directory.
func TestAFileThatComesInTheLastMoment(t *testing.T) {
	env := laid(t, "none")
	run(t, env, applying(0, false, false))
	if err := undoing(false)(lateDisk{file: "state/late"}, env); err != nil {
		t.Fatal(err)
	}
	if got := file(t, env, ".local/state/late"); got != "mine" {
		t.Errorf("it has %q", got)
	}
	for path := range listing(t, env.Home) {
		if strings.Contains(path, "tierd") {
			t.Errorf("left %s", path)
		}
	}
}

// TestAStateThatWasThere is not ours to remove: somebody has made the directory before.
func TestAStateThatWasThere(t *testing.T) {
	env := laid(t, "none")
	if err := os.MkdirAll(env.stateDir(), 0o750); err != nil {
		t.Fatal(err)
	}
	start := listing(t, env.Home)
	run(t, env, applying(0, true, false), undoing(false))
	if d := differences(start, listing(t, env.Home)); len(d) > 0 {
		t.Errorf("left: %q", d)
	}
}

// TestTheStateMayBeALink: it is no place of OpenCode's, and nothing in it is anybody else's.
func TestTheStateMayBeALink(t *testing.T) {
	env := laid(t, "none")
	elsewhere := filepath.Join(env.Home, "elsewhere")
	if err := os.Mkdir(elsewhere, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, filepath.Join(env.Home, ".local")); err != nil {
		t.Fatal(err)
	}
	start := listing(t, env.Home)
	run(t, env, applying(0, true, false))
	if _, err := os.Stat(filepath.Join(elsewhere, "state/tierd/opencode")); err != nil {
		t.Error(err)
	}
	run(t, env, undoing(false))
	if d := differences(start, listing(t, env.Home)); len(d) > 0 {
		t.Errorf("left: %q", d)
	}
}

// TestWithoutLocksItGoesOn, and a lock that another one has is none of these.
func TestWithoutLocksItGoesOn(t *testing.T) {
	for err, want := range map[error]bool{unix.EBADF: true, unix.ENOLCK: true, unix.EOPNOTSUPP: true, unix.EWOULDBLOCK: false, unix.EINTR: false} {
		if got := unlockable(err); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
	if unlockable(nil) {
		t.Error("a lock that was given is one")
	}
}

// TestWhatHasGoneIsNoLock: an undo may remove a directory between its opening and its locking.
func TestWhatHasGoneIsNoLock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	opened, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	if !sameDir(opened, dir) {
		t.Error("it is there")
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if sameDir(opened, dir) {
		t.Error("it has gone")
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if sameDir(opened, dir) {
		t.Error("it is another one")
	}
}
