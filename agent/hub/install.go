package hub

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
)

// gate is the file by which an engine's model is found, and without which it is not: a part of a split GGUF is found by the
// first part, what is in a folder by its config.json. "" for a file that needs no other.
func gate(file string) string {
	if m := splitName.FindStringSubmatch(file); m != nil {
		if m[2] == "00001" {
			return ""
		}
		return fmt.Sprintf("%s-00001-of-%s.gguf", m[1], m[3])
	}
	if file == "config.json" || path.Ext(file) == ".gguf" {
		return ""
	}
	return "config.json"
}

// install brings whole files from the staging folder to their place, each by a rename. The files by which tierd finds a model
// come last, and are taken away before, so that it never finds some files of one revision and some of another, also when
// this ends in the middle. present are files that are in their place already.
func (s *stage) install(files, present []File, all Listing, r record) error {
	files = slices.Clone(files)
	for _, f := range present {
		needs := func(other File) bool { return gate(other.Path) == f.Path }
		if slices.ContainsFunc(files, needs) {
			if err := s.folder.root.Rename(s.final(f), s.whole(f)); err != nil {
				return err
			}
			files = append(files, f)
		}
	}
	for _, f := range files {
		if slices.ContainsFunc(files, func(other File) bool { return gate(other.Path) == f.Path }) {
			if err := s.folder.root.Remove(s.final(f)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		at, err := s.of(s.whole(f), f)
		if err != nil {
			return err
		}
		r[f.Path] = at
	}
	if err := s.prune(all, r); err != nil {
		return err
	}
	// A rename keeps the time, so what the record says is right for each file from the moment it is in its place.
	if err := s.writeRecord(r); err != nil {
		return err
	}
	slices.SortStableFunc(files, func(a, b File) int { return boolOrder(gate(a.Path) == "", gate(b.Path) == "") })
	for i, f := range files {
		if err := s.folder.makeDirs(path.Dir(s.final(f))); err != nil {
			return err
		}
		again := slices.ContainsFunc(files[i+1:], func(other File) bool { return other.Sum == f.Sum })
		if err := s.place(f, again); err != nil {
			return err
		}
	}
	return s.sync(s.repo)
}

// prune removes what an earlier pull put there and the repository does not have any more: an engine may load every file of
// weights that it finds. What somebody has changed since stays.
func (s *stage) prune(all Listing, r record) error {
	for name, was := range r {
		if checkPath(name) != nil || slices.ContainsFunc(all.Files, func(f File) bool { return f.Path == name }) {
			continue
		}
		at := path.Join(s.repo, name)
		info, err := s.folder.root.Lstat(at)
		if err == nil && info.Mode().IsRegular() && info.Size() == was.Size && info.ModTime().UnixNano() == was.ModTime {
			if err := s.folder.root.Remove(at); err != nil {
				return err
			}
		}
		delete(r, name)
	}
	return nil
}

func boolOrder(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// place renames one file; a copy of it, when another file of the repository has the same content.
func (s *stage) place(f File, again bool) error {
	from := s.whole(f)
	if again {
		from += ".copy"
		if err := s.copy(s.whole(f), from); err != nil {
			return err
		}
	}
	if err := s.folder.root.Chmod(from, 0o644); err != nil {
		return err
	}
	return s.folder.root.Rename(from, s.final(f))
}

func (s *stage) copy(from, to string) error {
	in, err := s.folder.root.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := s.folder.root.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Sync(), out.Close()); err != nil {
		return err
	}
	return s.folder.root.Chtimes(to, info.ModTime(), info.ModTime()) // as the record has it
}

// sync makes the names in a folder outlast a power failure.
func (s *stage) sync(dir string) error {
	d, err := s.folder.root.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
