package opencode

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// disk is all that Apply and Undo do to a file system, in steps that a crash may come between.
type disk interface {
	Mkdir(path string, mode fs.FileMode) error
	Create(path string, data []byte, mode fs.FileMode) error // a new file, whole and on the disk
	Rename(from, to string) error
	Remove(path string) error
	RemoveAll(path string) error
	Sync(dir string) error // what was made, renamed and removed in it is on the disk
}

// realDisk is the host's. Modes are as asked for, whatever the umask: a shared machine's /etc/opencode has to be readable, and a
// file that was there comes back as it was.
type realDisk struct{}

func (realDisk) Mkdir(path string, mode fs.FileMode) error {
	if err := os.Mkdir(path, mode); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

func (realDisk) Create(path string, data []byte, mode fs.FileMode) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	return errors.Join(err, file.Chmod(mode), file.Sync(), file.Close())
}

func (realDisk) Rename(from, to string) error { return os.Rename(from, to) }
func (realDisk) Remove(path string) error     { return os.Remove(path) }
func (realDisk) RemoveAll(path string) error  { return os.RemoveAll(path) }

func (realDisk) Sync(dir string) error {
	file, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = file.Sync()
	if errors.Is(err, syscall.EINVAL) { // fsync(2): this file system does without
		err = nil
	}
	return errors.Join(err, file.Close())
}

// newName is the name under which a file or directory is made before it takes its place. It is always the same one, so what a
// crash leaves is found by the next run, which has the lock.
func newName(path string) string {
	return filepath.Join(filepath.Dir(path), "."+strings.TrimPrefix(filepath.Base(path), ".")+".tierd-new")
}

// install makes a file as a snapshot says, or has it gone, in one step that others can see.
func install(d disk, path string, s Snapshot) error {
	fresh := newName(path)
	if err := cleanUp(d, fresh); err != nil {
		return err
	}
	if !s.Exists {
		if !isThere(path) {
			return nil // a read-only file system refuses to remove even that
		}
		if err := d.Remove(path); err != nil {
			return fmt.Errorf("cannot remove %s: %w", path, cause(err))
		}
		return syncDir(d, path)
	}
	err := d.Create(fresh, s.Data, s.Mode)
	if err == nil {
		err = d.Rename(fresh, path)
	}
	if err != nil {
		_ = d.Remove(fresh) // when that fails as well, the next run finds it
		return fmt.Errorf("cannot write %s: %w", path, cause(err))
	}
	return syncDir(d, path)
}

// cleanUp removes what an interrupted run left under such a name.
func cleanUp(d disk, fresh string) error {
	if !isThere(fresh) {
		return nil
	}
	if err := d.RemoveAll(fresh); err != nil {
		return fmt.Errorf("cannot remove %s, which an interrupted run left: %w", fresh, cause(err))
	}
	return nil
}

// makeDirs makes directories, outermost first.
func makeDirs(d disk, dirs []string) error {
	for _, dir := range dirs {
		if err := d.Mkdir(dir, 0o755); err != nil {
			return fmt.Errorf("cannot make %s: %w", dir, cause(err))
		}
		if err := syncDir(d, dir); err != nil {
			return err
		}
	}
	return nil
}

// removeDirs removes directories, innermost first. One that is not empty stays, with those around it.
func removeDirs(d disk, dirs []string) error {
	for _, dir := range slices.Backward(dirs) {
		if !isThere(dir) {
			continue
		}
		err := d.Remove(dir)
		if errors.Is(err, syscall.ENOTEMPTY) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cannot remove %s: %w", dir, cause(err))
		}
		if err := syncDir(d, dir); err != nil {
			return err
		}
	}
	return nil
}

func syncDir(d disk, path string) error {
	if err := d.Sync(filepath.Dir(path)); err != nil {
		return fmt.Errorf("cannot have %s written to the disk: %w", filepath.Dir(path), cause(err))
	}
	return nil
}

func isThere(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// cause takes the path out of an error whose sentence has it already.
func cause(err error) error {
	var p *fs.PathError
	var l *os.LinkError
	switch {
	case errors.As(err, &p):
		return p.Err
	case errors.As(err, &l):
		return l.Err
	}
	return err
}
