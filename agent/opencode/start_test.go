package opencode

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"golang.org/x/sys/unix"
)

// start is a set-up of testdata/start: files, what is said of them in the comment, and what is to come of it.
type start struct {
	name  string
	files []txtar.File
	lines [][2]string // directives: word, and what follows
	runs  []startRun
}

// startRun is one line SCOPE[+omo][+force]: PATH..., or SCOPE! WHY NOT.
type startRun struct {
	scope      Scope
	to         string
	omo, force bool
	refused    bool
	want       string
}

func starts(t *testing.T) []start {
	t.Helper()
	files, err := filepath.Glob("testdata/start/*.txtar")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d set-ups, %v", len(files), err)
	}
	var all []start
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s := start{name: strings.TrimSuffix(filepath.Base(file), ".txtar"), files: a.Files}
		_, directives, _ := strings.Cut(string(a.Comment), "\n\n")
		for line := range strings.Lines(directives) {
			s.add(t, strings.TrimSpace(line))
		}
		all = append(all, s)
	}
	return all
}

func (s *start) add(t *testing.T, line string) {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "", "env", "link", "mode", "dir":
		s.lines = append(s.lines, [2]string{word, rest})
		return
	}
	r := startRun{scope: ScopeUser}
	head, want, ok := strings.Cut(line, ": ")
	if h, w, refused := strings.Cut(line, "! "); refused && (!ok || len(h) < len(head)) {
		head, want, r.refused, ok = h, w, true, true
	}
	if !ok {
		t.Fatalf("%s: what is %q?", s.name, line)
	}
	head, r.to, _ = strings.Cut(head, " ")
	for i, word := range strings.Split(head, "+") {
		switch {
		case word == "omo":
			r.omo = true
		case word == "force":
			r.force = true
		case i == 0 && word != "to":
			r.scope = Scope(word)
		}
	}
	r.want = want
	s.runs = append(s.runs, r)
}

// lay puts a set-up into an empty home and returns the environment of somebody who works in its project.
func (s *start) lay(t *testing.T, home string) Env {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range s.files {
		path := filepath.Join(home, f.Name)
		must(os.MkdirAll(filepath.Dir(path), 0o755))
		must(os.WriteFile(path, f.Data, 0o644))
	}
	env := Env{Home: home, Dir: filepath.Join(home, "project"), UID: os.Getuid(), Root: home}
	for _, line := range s.lines {
		first, second, _ := strings.Cut(line[1], " ")
		switch line[0] {
		case "env":
			into := map[string]*string{"XDG_CONFIG_HOME": &env.ConfigHome, "XDG_STATE_HOME": &env.StateHome}[first]
			*into = filepath.Join(home, second)
		case "link":
			path := filepath.Join(home, first)
			must(os.MkdirAll(filepath.Dir(path), 0o755))
			must(os.Symlink(second, path))
		case "dir", "mode":
			var mode fs.FileMode
			_, err := fmt.Sscanf(first, "%o", &mode)
			must(err)
			path := filepath.Join(home, second)
			if line[0] == "dir" {
				must(os.MkdirAll(path, 0o755))
			}
			must(os.Chmod(path, mode))
		}
	}
	return env
}

func (r startRun) place(env Env) (Place, error) {
	if r.to != "" {
		return PlaceAt(r.scope, filepath.Join(env.Home, r.to), env)
	}
	return Places(r.scope, env)
}

func (r startRun) String() string {
	text := string(r.scope)
	for word, said := range map[string]bool{"+omo": r.omo, "+force": r.force, " to " + r.to: r.to != ""} {
		if said {
			text += word
		}
	}
	return text
}

// listing is a tree: of each path below dir its mode and its bytes, or where it leads to.
func listing(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		text := info.Mode().String()
		switch {
		case info.Mode().IsRegular():
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += " " + string(data)
		case info.Mode()&fs.ModeSymlink != 0:
			to, err := os.Readlink(path)
			if err != nil {
				return err
			}
			text += " -> " + to
		}
		rel, err := filepath.Rel(dir, path)
		found[rel] = text
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// inodes tells of each path below dir whether it is the same one, and when it was last written to.
func inodes(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		err = unix.Lstat(path, &st)
		found[path] = fmt.Sprint(st.Ino, st.Mtim, st.Mode)
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return found
}

// differences are the paths that differ between two listings.
func differences(a, b map[string]string) []string {
	var out []string
	for path, was := range a {
		if is, ok := b[path]; !ok {
			out = append(out, "- "+path)
		} else if is != was {
			out = append(out, "! "+path+": "+was+" => "+is)
		}
	}
	for path := range b {
		if _, ok := a[path]; !ok {
			out = append(out, "+ "+path)
		}
	}
	slices.Sort(out)
	return out
}

// planOf is a plan from tiers; another one for each n.
func planOf(n int, omo bool) Plan {
	tiers := four()
	tiers[0].Context += n * 8192
	o := here()
	o.OMO = omo
	return MakePlan(tiers, o)
}

// asUser runs f with the rights of a user on files: root may write anywhere. The thread is given up with them.
func asUser(t *testing.T, dir string, f func()) {
	t.Helper()
	if os.Getuid() != 0 {
		f()
		return
	}
	const nobody = 65534
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, nobody, nobody)
	})
	for up := dir; err == nil && up != os.TempDir() && up != "/"; up = filepath.Dir(up) {
		err = os.Chmod(up, 0o755) // TempDir's are closed to others
	}
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err := unix.Setfsuid(nobody); err != nil {
			done <- err
			return
		}
		defer close(done)
		f()
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

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
