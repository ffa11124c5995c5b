package opencode

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
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
