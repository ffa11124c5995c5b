// Package rocmtest gives tests the recorded hosts of package rocm.
package rocmtest

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// Trees are the names of the recorded hosts.
var Trees = []string{
	"carve96", "carve96-stale-ttm", "dgpu-gfx1100-plus-gfx1151", "gtt120", "gtt120-idle", "gtt120-leaked", "gtt120-orphan",
	"gttsize-only", "nonamd",
}

// Unpack writes one of the trees into a temporary folder, which is a root for rocm.Open. They are archives, since a Go
// module holds no file with a colon in its name, which every PCI address has.
func Unpack(t testing.TB, name string) (root string) {
	t.Helper()
	_, here, _, _ := runtime.Caller(0)
	archive, err := txtar.ParseFile(filepath.Join(filepath.Dir(here), "../testdata", name+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	root = t.TempDir()
	for _, f := range archive.Files {
		path := filepath.Join(root, f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(f.Data), `\0`, "\x00") // as /proc/PID/cmdline has it
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}
