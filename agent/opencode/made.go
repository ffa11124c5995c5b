package opencode

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// madeName is the file in the state directory that lists which of the directories on the way to it were not there before, so
// that the last undo leaves none of them.
const madeName = "made.json"

// absentDirs are the directories on the way to dir that are not there, outermost first.
func absentDirs(dir string) []string {
	var missing []string
	for !isThere(dir) {
		missing = append(missing, dir)
		dir = filepath.Dir(dir)
	}
	slices.Reverse(missing)
	return missing
}

// makeState makes the directories under another name and gives them theirs in one step, so that none is ever there without the
// list that says so. The mode is what the specification of the base directories wants.
func makeState(d disk, missing []string) error {
	fresh := newName(missing[0])
	err := layState(d, fresh, missing)
	if err == nil {
		err = d.Rename(fresh, missing[0])
	}
	if err == nil {
		if err = syncDir(d, missing[0]); err != nil {
			_ = d.Rename(missing[0], fresh)
		}
	}
	if err != nil {
		_ = d.RemoveAll(fresh) // when that fails as well, the next run finds it
	}
	return cause(err)
}

func layState(d disk, fresh string, missing []string) error {
	inside := func(dir string) string { return filepath.Join(fresh, strings.TrimPrefix(dir, missing[0])) }
	for _, dir := range missing {
		if err := d.Mkdir(inside(dir), 0o700); err != nil {
			return err
		}
	}
	list, err := json.Marshal(missing)
	if err != nil {
		return err
	}
	last := missing[len(missing)-1]
	if err := d.Create(filepath.Join(inside(last), madeName), append(list, '\n'), 0o600); err != nil {
		return err
	}
	for _, dir := range slices.Backward(missing) {
		if err := d.Sync(inside(dir)); err != nil {
			return err
		}
	}
	return nil
}

// removeMade removes directories that have been renamed, innermost first and only as long as they are empty: somebody may have
// put something there in between.
func (s *state) removeMade(gone string, dirs []string) error {
	inside := func(dir string) string { return filepath.Join(gone, strings.TrimPrefix(dir, dirs[0])) }
	if err := s.disk.Remove(filepath.Join(inside(s.dir), madeName)); err != nil {
		return err
	}
	for _, dir := range slices.Backward(dirs) {
		if err := s.disk.Remove(inside(dir)); err != nil {
			return err
		}
	}
	return nil
}

// empty are the directories, outermost first, that were made and hold nothing but the list of them.
func (s *state) empty() ([]string, error) {
	src, err := os.ReadFile(filepath.Join(s.dir, madeName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read which directories were made: %w", err)
	}
	made, err := parseMade(s.dir, src)
	if err != nil {
		return nil, badRecord(filepath.Join(s.dir, madeName), err)
	}
	for i, dir := range slices.Backward(made) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, fmt.Errorf("cannot read %s: %w", dir, cause(err))
		}
		if len(entries) > 1 { // one of them is the next directory, or the list
			return made[i+1:], nil
		}
	}
	return made, nil
}

// parseMade reads the list of directories, each the parent of the next, the last of them the state directory.
func parseMade(state string, src []byte) ([]string, error) {
	var made []string
	if err := json.Unmarshal(src, &made); err != nil {
		return nil, err
	}
	dir := state
	for _, d := range slices.Backward(made) {
		if d != dir || d == filepath.Dir(d) {
			return nil, fmt.Errorf("%q is not on the way to %s", d, state)
		}
		dir = filepath.Dir(dir)
	}
	return made, nil
}
