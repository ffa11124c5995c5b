package opencode

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// TestApplyAndUndoLeaveEverySetUpAsItWas goes through the set-ups of testdata/start: whatever is applied, undo brings back each byte
// and each mode, and what is refused has changed nothing.
func TestApplyAndUndoLeaveEverySetUpAsItWas(t *testing.T) {
	for _, s := range starts(t) {
		for _, r := range s.runs {
			t.Run(s.name+"/"+strings.ReplaceAll(r.String(), "/", "|"), func(t *testing.T) {
				home := filepath.Join(t.TempDir(), "home")
				if err := os.Mkdir(home, 0o755); err != nil {
					t.Fatal(err)
				}
				env := s.lay(t, home)
				asUser(t, home, func() { r.check(t, env) })
			})
		}
	}
}

func (r startRun) check(t *testing.T, env Env) {
	before := listing(t, env.Home)
	wrote, err := r.apply(env)
	after := listing(t, env.Home)
	if r.refused {
		if err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), env.Home+"/", ""), r.want) {
			t.Errorf("want it to be refused with %q, got %v", r.want, err)
		}
		if d := differences(before, after); len(d) > 0 {
			t.Errorf("it was refused, and has changed %q", d)
		}
		return
	}
	if err != nil {
		t.Error(err)
		return
	}
	if got := strings.Join(wrote, " "); got != r.want {
		t.Errorf("wrote %q, want %q", got, r.want)
	}
	for _, path := range wrote {
		if !strings.HasPrefix(after[path], "-rw-r--r-- //") {
			t.Errorf("%s is %.40q", path, after[path])
		}
	}
	first := inodes(t, env.Home)
	if again, err := r.apply(env); err != nil || len(again) > 0 || !reflect.DeepEqual(inodes(t, env.Home), first) {
		t.Errorf("the second apply wrote %q, %v", again, err)
	}
	r.checkUndo(t, env, before)
}

func (r startRun) checkUndo(t *testing.T, env Env, before map[string]string) {
	for i := range 2 {
		p, err := r.place(env)
		if err != nil {
			t.Error(err)
			return
		}
		c, err := Undo(p, false)
		if err != nil || (len(c.Files) == 0) != (i == 1) {
			t.Errorf("undo %d: %d files, %v", i+1, len(c.Files), err)
		}
		if d := differences(before, listing(t, env.Home)); len(d) > 0 {
			t.Errorf("undo %d has left %q", i+1, d)
		}
	}
}

// apply looks and applies, and returns what was written, as paths in the home.
func (r startRun) apply(env Env) ([]string, error) {
	p, err := r.place(env)
	if err != nil {
		return nil, err
	}
	c, err := Look(p, planOf(0, r.omo))
	if err != nil {
		return nil, err
	}
	if err := Apply(p, c, r.force); err != nil {
		return nil, err
	}
	var wrote []string
	for _, f := range c.Files {
		if f.Action != ActionSame {
			real, err := followLinks(f.Path)
			if err != nil {
				return nil, err
			}
			rel, err := filepath.Rel(env.Home, real)
			if err != nil {
				return nil, err
			}
			wrote = append(wrote, rel)
		}
	}
	return wrote, nil
}
