package opencode

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// state is the directory of the records, locked. It comes with the first apply and goes with the last undo.
type state struct {
	dir  string
	disk disk
	lock *os.File
}

// openState locks the state directory, which it makes if wanted. Without it, nil is returned: there is nothing to take back.
func openState(d disk, dir string, wanted bool) (*state, error) {
	missing := absentDirs(dir)
	if len(missing) > 0 {
		// The directory above is locked while the first of these is made, as it is while the last of them goes.
		above, err := lockDir(filepath.Dir(missing[0]))
		if err != nil {
			return nil, err
		}
		defer above.Close()
		if err := cleanUp(d, newName(missing[0])); err != nil {
			return nil, err
		}
		if !wanted {
			return nil, nil
		}
		if err := makeState(d, missing); err != nil {
			return nil, fmt.Errorf("cannot make %s, where the files as they are now are to be kept: %w", dir, err)
		}
	}
	l, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	s := &state{dir, d, l}
	if err := s.sweep(); err != nil {
		l.Close()
		return nil, err
	}
	return s, nil
}

// lockDir locks a directory; the lock is held until the file is closed, or the process is gone. A directory can be locked itself (flock(2)), so no file is
// left of it.
func lockDir(dir string) (*os.File, error) {
	file, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot lock %s: %w", dir, cause(err))
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if unlockable(err) || err == nil && sameDir(file, dir) {
		return file, nil
	}
	file.Close()
	if err == nil || errors.Is(err, unix.EWOULDBLOCK) { // or an undo has removed what was opened
		return nil, refuse(dir, "try again when it has ended", "another `tierctl opencode` is writing or taking back right now")
	}
	return nil, fmt.Errorf("cannot lock %s: %w", dir, err)
}

// unlockable tells that a file system has no locks for directories: NFS makes a lock on the server of each, which takes a file that
// is open for writing (flock(2)). A home there does without; what one look found is held against the files before each write.
func unlockable(err error) bool {
	return errors.Is(err, unix.EBADF) || errors.Is(err, unix.ENOLCK) || errors.Is(err, unix.EOPNOTSUPP)
}

// sameDir tells whether an open directory still is the one of that name.
func sameDir(file *os.File, dir string) bool {
	opened, err := file.Stat()
	if err != nil {
		return false
	}
	now, err := os.Stat(dir)
	return err == nil && os.SameFile(opened, now)
}

// sweep removes what was being written to the state directory when a run was interrupted.
func (s *state) sweep() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", s.dir, cause(err))
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) == filepath.Ext(newName("/")) {
			if err := cleanUp(s.disk, filepath.Join(s.dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// put writes a record, or has it gone when r is nil.
func (s *state) put(path string, r *Record) error {
	to := Snapshot{}
	if r != nil {
		src, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		to = snapshotOf(append(src, '\n'), 0o600)
	}
	return install(s.disk, filepath.Join(s.dir, recordName(path)), to)
}

// close gives the lock back. When there is no record any more, the directories that were made for them go as well.
func (s *state) close() error {
	defer s.lock.Close()
	dirs, err := s.empty()
	if err != nil || len(dirs) == 0 {
		return err
	}
	above, err := lockDir(filepath.Dir(dirs[0]))
	if err != nil {
		return nil // somebody begins to write there: the directories stay, and the list with them
	}
	defer above.Close()
	gone := newName(dirs[0])
	if err := cleanUp(s.disk, gone); err != nil {
		return err
	}
	if err := s.disk.Rename(dirs[0], gone); err != nil {
		return fmt.Errorf("cannot remove %s: %w", dirs[0], cause(err))
	}
	err = s.removeMade(gone, dirs)
	if errors.Is(err, unix.ENOTEMPTY) {
		err = s.disk.Rename(gone, dirs[0])
	}
	if err != nil {
		return fmt.Errorf("cannot remove %s: %w", gone, cause(err)) // the next run does
	}
	return syncDir(s.disk, dirs[0])
}
