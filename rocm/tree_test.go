package rocm

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// host reads a tree with all the time in the world, for tests in which nothing hangs.
func host(root string) *Host {
	h := Open(root)
	h.Limit = time.Minute
	return h
}

// write makes a file and the folders above it.
func write(t testing.TB, root, name, text string) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
