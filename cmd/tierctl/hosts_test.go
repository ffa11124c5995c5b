package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/tierd/tierd/rocm/rocmtest"
)

// hostTree unpacks a recorded host with the four tiers on it, and what testdata/hosts has for it besides.
func hostTree(t testing.TB, tree string) (root string) {
	t.Helper()
	root = rocmtest.Unpack(t, tree)
	for _, name := range []string{"stack", tree} {
		archive, err := txtar.ParseFile(filepath.Join("testdata/hosts", name+".txtar"))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range archive.Files {
			writeHostFile(t, filepath.Join(root, f.Name), f.Data)
		}
	}
	return root
}

// writeHostFile writes a file of a host. Programs can be run; everything else cannot.
func writeHostFile(t testing.TB, path string, data []byte) {
	t.Helper()
	mode := os.FileMode(0o644)
	if filepath.Base(filepath.Dir(path)) == "bin" {
		mode = 0o755
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, mode); err != nil {
		t.Fatal(err)
	}
}

// tierctl runs a command within this process.
func tierctl(args ...string) (stdout, stderr string, status int) {
	var out, errs strings.Builder
	a := newApp()
	a.stdout, a.stderr = &out, &errs
	status = a.run(args)
	return out.String(), errs.String(), status
}

// TestRecordedHosts holds what the commands say of every recorded host to files, which are read in the diff.
func TestRecordedHosts(t *testing.T) {
	for _, tree := range rocmtest.Trees {
		t.Run(tree, func(t *testing.T) {
			root := hostTree(t, tree)
			for _, command := range [][]string{{"doctor"}, {"budget"}, {"budget", "--mode", "small"}, {"host"}} {
				out, errs, status := tierctl(append(command, "--root", root)...)
				got := fmt.Sprintf("%s\n%s\nexit %d\n", out, errs, status)
				name := strings.ReplaceAll(strings.Join(command, "-"), "---", "-")
				golden(t, filepath.Join("testdata/hosts", tree+"."+name+".golden"), strings.ReplaceAll(got, root, ""))
			}
		})
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("differs from %s (-update rewrites it):\n%s", file, got)
	}
}
