package rocm

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// trees are the recorded hosts in testdata. They are archives, since a Go module holds no file with a colon in its name,
// which every PCI address has.
var trees = []string{
	"carve96", "carve96-stale-ttm", "dgpu-gfx1100-plus-gfx1151", "gtt120", "gtt120-idle", "gtt120-leaked", "gtt120-orphan",
	"gttsize-only", "nonamd",
}

// unpack writes one of the trees into a temporary folder.
func unpack(t testing.TB, name string) (root string) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	root = t.TempDir()
	for name, text := range txtar(data) {
		write(t, root, name, strings.ReplaceAll(text, `\0`, "\x00"))
	}
	return root
}

// host reads a tree with all the time in the world, for tests in which nothing hangs.
func host(root string) *Host {
	h := Open(root)
	h.Limit = time.Minute
	return h
}

// txtar splits an archive at its lines of "-- NAME --".
func txtar(data []byte) map[string]string {
	files := map[string]string{}
	name := ""
	for line := range bytes.Lines(data) {
		if n, ok := bytes.CutPrefix(line, []byte("-- ")); ok {
			if n, ok := bytes.CutSuffix(n, []byte(" --\n")); ok {
				name = string(n)
				files[name] = ""
				continue
			}
		}
		if name != "" {
			files[name] += string(line)
		}
	}
	return files
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
