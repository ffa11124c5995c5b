package opencode

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var errBroken = errors.New("the disk is broken")

// brokenDisk is the real one, but its operation number at fails: alone, or with all that come after it, as when the machine has
// crashed there; none when at is 0. A file that could not be written whole is there in part. Nothing waits for the disk: what a loss
// of power takes is not to be seen here, and thousands of these take their time.
type brokenDisk struct {
	realDisk
	at    int
	crash bool
	done  int
}

func (d *brokenDisk) fails() bool {
	d.done++
	return d.done == d.at || d.crash && d.done > d.at
}

func (d *brokenDisk) Mkdir(path string, mode fs.FileMode) error {
	if d.fails() {
		return errBroken
	}
	return d.realDisk.Mkdir(path, mode)
}

func (d *brokenDisk) Create(path string, data []byte, mode fs.FileMode) error {
	if d.fails() {
		if d.done == d.at {
			_ = os.WriteFile(path, data[:len(data)/2], 0o600)
		}
		return errBroken
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Chmod(mode), file.Close())
}

func (d *brokenDisk) Rename(from, to string) error {
	if d.fails() {
		return errBroken
	}
	return d.realDisk.Rename(from, to)
}

func (d *brokenDisk) Remove(path string) error {
	if d.fails() {
		return errBroken
	}
	return d.realDisk.Remove(path)
}

func (d *brokenDisk) RemoveAll(path string) error {
	if d.fails() {
		return errBroken
	}
	return d.realDisk.RemoveAll(path)
}

func (d *brokenDisk) Sync(string) error {
	if d.fails() {
		return errBroken
	}
	return nil
}

// step is one call of apply or undo on a disk; it looks anew, as a new process does.
type step func(d disk, env Env) error

func applying(n int, omo, force bool) step {
	return func(d disk, env Env) error {
		p, err := Places(ScopeUser, env)
		if err != nil {
			return err
		}
		c, err := Look(p, planOf(n, omo))
		if err != nil {
			return err
		}
		return apply(d, p, c, force)
	}
}

func undoing(force bool) step {
	return func(d disk, env Env) error {
		p, err := Places(ScopeUser, env)
		if err != nil {
			return err
		}
		_, err = undo(d, p, force)
		return err
	}
}

func editing(file, text string) step {
	return func(_ disk, env Env) error { return os.WriteFile(filepath.Join(env.Home, file), []byte(text), 0o600) }
}

const ours = ".config/opencode/opencode.json"

// crashCases are steps of which the last one fails at each of its operations in turn.
var crashCases = []struct {
	rule  string
	start string
	steps []step
	undos int // that bring back the start
}{
	{"the first apply", "none", []step{applying(0, true, false)}, 1},
	{"the first apply beside files of the user", "own", []step{applying(0, true, false)}, 1},
	{"an apply of other sizes, and of the plugin", "jsonc", []step{applying(0, false, false), applying(1, true, false)}, 1},
	{"an apply that takes the plugin's file away", "none", []step{applying(0, true, false), applying(1, false, false)}, 1},
	{"a forced apply over the user's plugin file", "omo", []step{applying(0, true, true)}, 1},
	{"a forced apply over an edited file", "none", []step{applying(0, true, false), editing(ours, "{}"), applying(1, true, true)}, 2},
	{"an undo", "none", []step{applying(0, true, false), undoing(false)}, 1},
	{"an undo that brings a file back", "omo", []step{applying(0, true, true), undoing(false)}, 1},
	{"an undo of a forced apply", "none", []step{applying(0, false, false), editing(ours, "{}"), applying(1, false, true), undoing(false)}, 2},
}

// memory is a file system that waits for no disk: ext4 begins to write at each rename over a file, of which there are thousands here.
const memory = "/dev/shm"

// laid is a home with a set-up, in memory where there is room for it.
func laid(t *testing.T, name string) Env {
	t.Helper()
	dir, err := os.MkdirTemp(memory, "tierd-opencode-")
	if err != nil {
		dir = t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	home := filepath.Join(dir, "home")
	if err := os.MkdirAll(filepath.Join(home, "project"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, s := range starts(t) {
		if s.name == name {
			return s.lay(t, home)
		}
	}
	t.Fatalf("no set-up %q", name)
	return Env{}
}

// eachFault runs the case with the last step's operation 1, 2, 3, ... failing, until it does not come to that operation.
func eachFault(t *testing.T, c int, crash bool, check func(t *testing.T, env Env, at int, start, before map[string]string, err error)) {
	for at := 1; ; at++ {
		env := laid(t, crashCases[c].start)
		start := listing(t, env.Home)
		steps := crashCases[c].steps
		for _, s := range steps[:len(steps)-1] {
			if err := s(&brokenDisk{}, env); err != nil {
				t.Fatal(err)
			}
		}
		before := listing(t, env.Home)
		d := &brokenDisk{at: at, crash: crash}
		err := steps[len(steps)-1](d, env)
		if d.done < at {
			if err != nil {
				t.Fatalf("without a fault: %v", err)
			}
			t.Logf("%d operations", d.done)
			return
		}
		check(t, env, at, start, before, err)
	}
}

// TestAnOperationThatFailsLeavesAllAsItWas: all files or none. After the last file of an undo the directories of the records go;
// a fault there is told, and the next run sees to it.
func TestAnOperationThatFailsLeavesAllAsItWas(t *testing.T) {
	for i, c := range crashCases {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			eachFault(t, i, false, func(t *testing.T, env Env, at int, start, before map[string]string, err error) {
				if err == nil {
					return // the fault was in taking away what a fault before had left
				}
				if !strings.Contains(err.Error(), errBroken.Error()) {
					t.Errorf("operation %d: %v", at, err)
				}
				now := listing(t, env.Home)
				if len(differences(start, withoutState(now))) == 0 && len(differences(start, before)) > 0 {
					if err := undoing(false)(&brokenDisk{}, env); err != nil {
						t.Error(err)
					}
					now, before = listing(t, env.Home), start
				}
				if d := differences(before, now); len(d) > 0 {
					t.Errorf("operation %d failed (%v), and has changed %q", at, err, d)
				}
			})
		})
	}
}

// withoutState is a listing without what is there for the records.
func withoutState(l map[string]string) map[string]string {
	l = maps.Clone(l)
	maps.DeleteFunc(l, func(path, _ string) bool { return strings.HasPrefix(path, ".local") })
	return l
}

// TestAfterACrashUndoBringsBackTheStart, wherever it came.
func TestAfterACrashUndoBringsBackTheStart(t *testing.T) {
	for i, c := range crashCases {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			eachFault(t, i, true, func(t *testing.T, env Env, at int, start, _ map[string]string, _ error) {
				for range c.undos {
					if err := undoing(true)(&brokenDisk{}, env); err != nil {
						t.Errorf("operation %d: %v", at, err)
					}
				}
				if d := differences(start, listing(t, env.Home)); len(d) > 0 {
					t.Errorf("crashed at operation %d, and undo has left %q", at, d)
				}
			})
		})
	}
}

// TestAfterACrashApplyGoesOn, and undo knows the start still.
func TestAfterACrashApplyGoesOn(t *testing.T) {
	for i, c := range crashCases {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			eachFault(t, i, true, func(t *testing.T, env Env, at int, start, _ map[string]string, _ error) {
				if err := applying(2, false, true)(&brokenDisk{}, env); err != nil {
					t.Errorf("operation %d: %v", at, err)
				}
				now := listing(t, env.Home)
				for path := range now {
					if strings.Contains(path, "tierd-new") {
						t.Errorf("operation %d has left %s", at, path)
					}
				}
				for range 1 + c.undos {
					if err := undoing(true)(&brokenDisk{}, env); err != nil {
						t.Errorf("operation %d: %v", at, err)
					}
				}
				if d := differences(start, listing(t, env.Home)); len(d) > 0 {
					t.Errorf("crashed at operation %d, applied, and undo has left %q", at, d)
				}
			})
		})
	}
}
