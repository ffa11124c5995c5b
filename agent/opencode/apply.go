package opencode

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
)

// Apply writes what Look found, all of it or nothing. What was there is kept before the first byte is written. With force, files
// of others that are in the way are replaced; they are kept as well. It is an error when something has changed since the look.
func Apply(p Place, c Changes, force bool) error { return apply(realDisk{}, p, c, force) }

func apply(d disk, p Place, c Changes, force bool) error {
	if err := c.Against(force); err != nil {
		return err
	}
	if !c.Needed() && !c.stale() && !c.unfinished() {
		return nil
	}
	s, err := openState(d, p.state, true)
	if err != nil {
		return err
	}
	return errors.Join(s.run(c.Files), s.close())
}

// unfinished tells whether an interrupted run has left something that is to be cleared up.
func (c Changes) unfinished() bool {
	return slices.ContainsFunc(c.Files, func(f Change) bool { return isThere(newName(f.Path)) || f.record != nil && len(f.record.Wrote) > 1 })
}

// run takes all files from what they are to what they should be, or back to what they were.
func (s *state) run(files []Change) error {
	var back []func() error // what has been done, undone
	err := s.steps(files, func(f func() error) { back = append(back, f) })
	if err == nil {
		return nil
	}
	for _, f := range slices.Backward(back) {
		if e := f(); e != nil {
			return fmt.Errorf("%w; and what was done before it could not be taken back (%v): `tierctl opencode undo` will", err, e)
		}
	}
	return err
}

// steps does it in an order in which a crash at any point leaves files that the records know: records first, with what is there
// and what will be, then files, then directories, then records as they stay.
func (s *state) steps(files []Change, done func(func() error)) error {
	for _, f := range files {
		if err := s.unchanged(f); err != nil {
			return err
		}
	}
	for _, f := range files {
		if r := f.pending(); !reflect.DeepEqual(r, f.record) {
			done(func() error { return s.put(f.Path, f.record) })
			if err := s.put(f.Path, r); err != nil {
				return err
			}
		}
	}
	for _, f := range files {
		if err := s.write(f, done); err != nil {
			return err
		}
	}
	for _, f := range files {
		if f.next == nil && f.record != nil {
			if err := removeDirs(s.disk, f.record.Made); err != nil {
				return err
			}
		}
	}
	for _, f := range files {
		if r := f.pending(); !reflect.DeepEqual(r, f.next) {
			done(func() error { return s.put(f.Path, r) })
			if err := s.put(f.Path, f.next); err != nil {
				return err
			}
		}
	}
	return nil
}

// unchanged holds a file and its record against what was seen when the change was worked out, perhaps a question to the user ago.
func (s *state) unchanged(f Change) error {
	now, err := snapshotAt(f.Path)
	if err != nil {
		return err
	}
	r, err := readRecord(s.dir, f.Path)
	if err != nil {
		return err
	}
	if !now.is(f.now) || now.Mode != f.now.Mode || !reflect.DeepEqual(r, f.record) {
		return refuse(f.Path, "run it again", "%s has changed since it was looked at", f.Path)
	}
	return nil
}

// pending is the record while the file is being written: both what it was and what it will be are known by it.
func (f Change) pending() *Record {
	if f.Action == ActionSame || f.Action == ActionRemove {
		return f.record
	}
	if f.record == nil || !slices.ContainsFunc(f.record.Wrote, f.now.is) {
		return f.next // which has kept what is there now
	}
	both := *f.next
	both.Wrote = []Snapshot{f.now, f.then}
	return &both
}

func (s *state) write(f Change, done func(func() error)) error {
	if f.Action == ActionSame {
		return cleanUp(s.disk, newName(f.Path))
	}
	if f.then.Exists {
		missing := absentDirs(filepath.Dir(f.Path))
		done(func() error { return removeDirs(s.disk, missing) })
		if err := makeDirs(s.disk, missing); err != nil {
			return err
		}
	}
	done(func() error { return s.restore(f) })
	return install(s.disk, f.Path, f.then)
}

// restore makes a file as it was when this run began, and its directories where they went with it.
func (s *state) restore(f Change) error {
	if f.now.Exists {
		if err := makeDirs(s.disk, absentDirs(filepath.Dir(f.Path))); err != nil {
			return err
		}
	}
	return install(s.disk, f.Path, f.now)
}
