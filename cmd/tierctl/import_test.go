package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tierd/tierd/units"
)

// TestWriteConfigNeverReplaces: of many at the same time without force one writes its file whole, and the others say that it is there.
func TestWriteConfigNeverReplaces(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tiers.toml")
	var wrote atomic.Int32
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			err := writeConfig(file, []byte(strings.Repeat(string(rune('a'+i)), 1<<16)), false)
			var f *failure
			switch {
			case err == nil:
				wrote.Add(1)
			case !errors.As(err, &f) || !strings.Contains(f.message, "is there already"):
				t.Error(err)
			}
		})
	}
	all.Wait()
	text, err := os.ReadFile(file)
	if err != nil || wrote.Load() != 1 || len(text) != 1<<16 || strings.Trim(string(text), string(text[:1])) != "" {
		t.Errorf("%d wrote, the file has %d bytes, %v", wrote.Load(), len(text), err)
	}
	checkAlone(t, file)
}

// TestWriteConfigIsWhole: whoever reads while it is replaced sees the old file or the new one.
func TestWriteConfigIsWhole(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tiers.toml")
	old, next := strings.Repeat("o", 1<<16), strings.Repeat("n", 1<<17)
	if err := os.WriteFile(file, []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 50 {
			if err := writeConfig(file, []byte(next), true); err != nil {
				t.Error(err)
			}
			if err := writeConfig(file, []byte(old), true); err != nil {
				t.Error(err)
			}
		}
	}()
	for reading := true; reading; {
		select {
		case <-done:
			reading = false
		default:
		}
		if text, err := os.ReadFile(file); err != nil || string(text) != old && string(text) != next {
			t.Fatalf("%d bytes, %v", len(text), err)
		}
	}
	checkAlone(t, file)
}

// checkAlone: nothing is left beside the file, which other users can read.
func checkAlone(t *testing.T, file string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(file))
	if err != nil || len(entries) != 1 {
		t.Errorf("%v beside it, %v", entries, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

// TestImportLeavesNothingOnAFailure: a folder in the way of the file.
func TestImportLeavesNothingOnAFailure(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "tiers.toml", "full"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, force := range []bool{false, true} {
		if err := writeConfig(filepath.Join(dir, "tiers.toml"), []byte("x"), force); err == nil {
			t.Error("a folder is replaced")
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left %v", entries)
	}
}

// TestImportedFilesPlan: what comes out can be planned by `tierctl plan`, on a host without the models.
func TestImportedFilesPlan(t *testing.T) {
	dir := t.TempDir()
	env := filepath.Join(dir, ".env")
	text := "THOR_PORT=8001\nTHOR_MODEL=Qwen/Qwen2.5-14B-Instruct\nTHOR_MAX_LEN=65536\nODIN_PORT=8011\nODIN_GGUF=m.gguf\nODIN_CTX=32768\n" +
		"CLOUD_PLANNER_MODEL=gpt-5\n"
	if err := os.WriteFile(env, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs strings.Builder
	a := newApp()
	a.stdout, a.stderr = &out, &errs
	if status := a.run([]string{"import", env, "-o", filepath.Join(dir, "tiers.toml")}); status != 0 {
		t.Fatalf("status %d: %s", status, errs.String())
	}
	plan, faults, err := planFile(filepath.Join(dir, "tiers.toml"), units.Host{})
	if err != nil || plan == nil || len(plan.Units) != 3 {
		t.Errorf("%v %v", faults, err)
	}
}
