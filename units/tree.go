package units

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// tree is a file system rooted at "/", asked by absolute paths.
type tree struct{ fs fs.FS }

// maxLinks is where a chain of links counts as a loop, as in the kernel.
const maxLinks = 40

// resolve follows every link of an absolute path inside the file system. It does so by itself because an absolute link
// means a path below the root that was handed in, where os.DirFS would follow it out of there.
func (h tree) resolve(at string) (string, error) {
	rest := strings.Split(strings.Trim(path.Clean(at), "/"), "/")
	done := "/"
	for links := 0; len(rest) > 0; {
		next := path.Join(done, rest[0])
		rest = rest[1:]
		if next == "/" { // the root is no link, and ".." stays in it
			done = next
			continue
		}
		info, err := fs.Lstat(h.fs, next[1:])
		if err != nil {
			return "", err
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			done = next
			continue
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("%s: too many links", at)
		}
		target, err := fs.ReadLink(h.fs, next[1:])
		if err != nil {
			return "", err
		}
		if path.IsAbs(target) {
			done = "/"
		}
		rest = append(strings.Split(strings.Trim(path.Clean(target), "/"), "/"), rest...)
	}
	return done, nil
}

// stat looks at what a path means, and tells its path without links.
func (h tree) stat(at string) (fs.FileInfo, string, error) {
	real, err := h.resolve(at)
	if err != nil {
		return nil, "", err
	}
	info, err := fs.Lstat(h.fs, inside(real))
	return info, real, err
}

// list names what is in a folder, sorted; nothing when it cannot be read.
func (h tree) list(dir string) []string {
	real, err := h.resolve(dir)
	if err != nil {
		return nil
	}
	entries, err := fs.ReadDir(h.fs, inside(real))
	if err != nil {
		return nil
	}
	return each(entries, fs.DirEntry.Name)
}

// readFile reads a small file.
func (h tree) readFile(at string) (string, error) {
	real, err := h.resolve(at)
	if err != nil {
		return "", err
	}
	f, err := h.fs.Open(inside(real))
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 4096))
	return string(text), err
}

// inside is an absolute path as io/fs names it.
func inside(real string) string {
	if real == "/" {
		return "."
	}
	return real[1:]
}

// hidden tells that the file may exist where this process may not look.
func hidden(err error) bool { return errors.Is(err, fs.ErrPermission) }
