package opencode

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

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
