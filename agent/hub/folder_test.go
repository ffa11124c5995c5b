package hub

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/tierd/tierd/agent/hub/hubtest"
)

func TestOnePullAtATime(t *testing.T) {
	r := newRig(t, map[string]*hubtest.Repo{"a/g": ggufRepo(), "a/h": ggufRepo()})
	folder, err := OpenFolder(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	wants, err := r.hub("").Look(t.Context(), []Name{{"a/g", "m-q4.gguf"}}, "", nil, &r.seen)
	if err != nil {
		t.Fatal(err)
	}
	p, err := folder.Begin(t.Context(), wants[0], &r.seen)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := folder.Begin(t.Context(), wants[0], &r.seen); !errors.Is(err, ErrBusy) {
		t.Error(err)
	}
	r.must("a/h/m-q4.gguf") // another repository is free
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	r.must("a/g/m-q4.gguf")
}

func TestLinksDoNotLeadOut(t *testing.T) {
	outside := t.TempDir()
	victim := filepath.Join(outside, "victim")
	if err := os.WriteFile(victim, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, lay := range map[string]func(dir string) error{
		"the staging folder": func(dir string) error { return os.Symlink(outside, filepath.Join(dir, staging)) },
		"the organisation":   func(dir string) error { return os.Symlink(outside, filepath.Join(dir, "a")) },
		"a part": func(dir string) error {
			at := filepath.Join(dir, staging, "a--g")
			sum := Sum{gitBlob, hubtest.GitSum([]byte("# m"))}
			return errors.Join(os.MkdirAll(at, 0o755), os.Symlink(victim, filepath.Join(at, sum.key()+".part")))
		},
		"the lock": func(dir string) error {
			at := filepath.Join(dir, staging, "a--g")
			return errors.Join(os.MkdirAll(at, 0o755), os.Symlink(victim, filepath.Join(at, "lock")))
		},
	} {
		r := newRig(t, map[string]*hubtest.Repo{"a/g": ggufRepo()})
		if err := lay(r.dir); err != nil {
			t.Fatal(err)
		}
		h := r.hub("")
		if _, err := r.pull(t.Context(), h, h, "a/g/m-q4.gguf", "", "README.md"); err == nil {
			t.Errorf("%s is a link out of the folder, and was followed", name)
		}
		entries, _ := os.ReadDir(outside)
		if text, _ := os.ReadFile(victim); string(text) != "mine" || len(entries) != 1 {
			t.Fatalf("%s: wrote outside: %q, %v", name, text, entries)
		}
	}
}

func TestRoom(t *testing.T) {
	folder, err := OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	free, reserve, err := folder.Room()
	if err != nil || free < 0 || reserve <= 0 || reserve > 5<<30 {
		t.Error(free, reserve, err)
	}
}
