package units

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
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
	names, err := h.entries(dir)
	if err != nil {
		return nil
	}
	return names
}

// maxEntries is more than any folder that belongs to a model or an engine holds; a folder of mails or pictures is not read
// to its end.
const maxEntries = 10_000

// entries names what is in a folder, sorted. A folder with more than maxEntries is an error.
func (h tree) entries(dir string) ([]string, error) {
	real, err := h.resolve(dir)
	if err != nil {
		return nil, err
	}
	f, err := h.fs.Open(inside(real))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	d, ok := f.(fs.ReadDirFile)
	if !ok {
		return nil, &fs.PathError{Op: "readdir", Path: real, Err: errors.New("not a folder")}
	}
	list, err := d.ReadDir(maxEntries + 1)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if len(list) > maxEntries {
		return nil, fmt.Errorf("%s holds more than %d files, so it is no model's folder", real, maxEntries)
	}
	names := each(list, fs.DirEntry.Name)
	slices.Sort(names) // a real folder has no order
	return names, nil
}

// open opens a plain file. What is none is an error: opening a FIFO would wait for ever.
func (h tree) open(at string) (fs.File, fs.FileInfo, error) {
	info, real, err := h.stat(at)
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, nil, &fs.PathError{Op: "open", Path: real, Err: errors.New("not a plain file")}
	}
	f, err := h.fs.Open(inside(real))
	if err != nil {
		return nil, nil, err
	}
	return f, info, nil
}

// readFile reads a small file.
func (h tree) readFile(at string) (string, error) {
	f, _, err := h.open(at)
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
