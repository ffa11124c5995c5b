package opencode

import (
	"errors"
	"slices"
)

// LookBack tells what Undo would do. It writes nothing.
func LookBack(p Place) (Changes, error) {
	c := Changes{}
	for _, path := range append(slices.Clone(p.own), p.OMO) {
		if path == "" {
			continue
		}
		r, err := readRecord(p.state, path)
		if err != nil {
			return c, err
		}
		if r == nil {
			continue
		}
		f, err := p.lookBack(r)
		if err != nil {
			return c, err
		}
		c.Files = append(c.Files, f)
	}
	return c, nil
}

// lookBack is the change that brings back what a record has kept.
func (p Place) lookBack(r *Record) (Change, error) {
	c := Change{Kind: r.Kind, Path: r.Path, Action: ActionRemove, record: r, then: r.before()}
	var err error
	c.now, err = snapshotAt(r.Path)
	if err := c.block(err); err != nil {
		return c, err
	}
	c.Action = ActionRemove
	if c.Blocked == nil && !r.knows(c.now) {
		c.Blocked = edited(c, "`--force` takes it back nevertheless, and what was edited is lost")
	}
	if n := len(r.Kept); n > 1 {
		next := *r
		next.Kept = r.Kept[:n-1]
		c.next = &next
	}
	return c, nil
}

// Undo brings back what was there before Apply: bytes, mode, and the absence of files and of the directories that it made, as far
// as these are empty (OpenCode keeps files of its own in them). After a forced apply it brings back what that one replaced, and
// the next undo what was there before. It returns what it did; no files: there was nothing to take back.
func Undo(p Place, force bool) (Changes, error) { return undo(realDisk{}, p, force) }

func undo(d disk, p Place, force bool) (Changes, error) {
	c, err := LookBack(p)
	if err != nil {
		return c, err
	}
	if err := c.Against(force); err != nil {
		return c, err
	}
	s, err := openState(d, p.state, false)
	if err != nil || s == nil {
		return c, err
	}
	return c, errors.Join(s.run(c.Files), s.close())
}
