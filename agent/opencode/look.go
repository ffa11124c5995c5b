package opencode

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"

	"github.com/rogpeppe/go-internal/diff"
)

// Action is what is to happen to a file.
type Action string

// The actions.
const (
	ActionCreate Action = "create"
	ActionChange Action = "change"
	ActionSame   Action = "same"   // it is as it should be
	ActionRemove Action = "remove" // what was there before comes back, if anything
)

// Change is what is to happen to one file.
type Change struct {
	Kind    Kind
	Path    string
	Action  Action
	Blocked *Refused // why it may not; nil when it may

	now, then Snapshot
	record    *Record // nil: Apply has not written it
	next      *Record // what is to be remembered; nil: nothing
}

// Changes are what is to happen, to all files or to none.
type Changes struct {
	Files   []Change
	Refused []*Refused // what stands against all of it
}

// Look compares a plan with what is there. It writes nothing.
func Look(p Place, plan Plan) (Changes, error) {
	c := Changes{}
	for _, f := range plan.Findings {
		if f.Refuse && p.Concerns(f) {
			c.Refused = append(c.Refused, refuse("", f.Hint, "%s", f.Text))
		}
	}
	wanted := map[string]File{}
	for _, f := range plan.Files {
		if path := p.path(f.Kind); path != "" {
			wanted[path] = f
		}
	}
	if _, ok := wanted[p.Config]; !ok && len(c.Refused) == 0 {
		return c, fmt.Errorf("the plan has no file for the %s configuration", p.Scope)
	}
	for _, path := range []string{p.Config, p.OMO} {
		f, ok := wanted[path]
		if path == "" || !ok && path == p.Config {
			continue
		}
		change, err := p.look(path, f, ok)
		if err != nil {
			return c, err
		}
		if ok && change.next != nil && f.Kind == KindConfig {
			change.next.Cut = plan.Cut
		}
		if ok || change.record != nil {
			c.Files = append(c.Files, change)
		}
	}
	if _, ok := wanted[p.OMO]; ok && p.OMO != "" {
		c.Refused = append(c.Refused, p.oldPlugin()...)
	}
	broken, err := p.broken(c)
	c.Refused = append(c.Refused, broken...)
	return c, err
}

// look compares one file with what is there.
func (p Place) look(path string, f File, wanted bool) (Change, error) {
	c := Change{Kind: f.Kind, Path: path}
	var err error
	if c.record, err = readRecord(p.state, path); err != nil {
		return c, err
	}
	if !wanted {
		if c.record != nil {
			return p.lookBack(c.record)
		}
		return c, nil
	}
	c.now, err = snapshotAt(path)
	if err := c.block(err); err != nil {
		return c, err
	}
	mode := fs.FileMode(0o644)
	if f.Key {
		mode = 0o600
	}
	c.then = snapshotOf(f.Data, mode)
	switch {
	case !c.now.Exists:
		c.Action = ActionCreate
	case c.now.is(c.then) && c.now.Mode&^c.then.Mode == 0: // narrower than needed is what somebody wanted
		c.Action = ActionSame
	default:
		c.Action = ActionChange
	}
	if c.Blocked == nil {
		c.Blocked = p.against(c)
	}
	return c, c.remember(p)
}

// block takes the error of a look at what is in the way. A refusal is about this file; any other error ends the look.
func (c *Change) block(err error) error {
	var r *Refused
	if errors.As(err, &r) {
		c.Action, c.Blocked = ActionChange, r
		return nil
	}
	if errors.Is(err, syscall.ENOTDIR) {
		c.Action = ActionCreate
		c.Blocked = refuse(c.Path, "move it away", "%s is a file, and has to be a directory for %s", fileAbove(c.Path), c.Path)
		return nil
	}
	return err
}

// fileAbove is the innermost thing that there is on the way to a path.
func fileAbove(path string) string {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return dir
		}
	}
}

// remember makes the record of a file that is to be written: as it was, and what was kept of it.
func (c *Change) remember(p Place) error {
	if c.record == nil && c.Action == ActionSame {
		return nil
	}
	next := &Record{Path: c.Path, Kind: c.Kind, Scope: p.Scope, Named: p.named && c.Path == p.Config, Kept: []Snapshot{c.now}, Wrote: []Snapshot{c.then}}
	if c.record != nil {
		next.Kept, next.Made = slices.Clone(c.record.Kept), c.record.Made
		if c.Action != ActionSame && !c.record.knows(c.now) {
			next.Kept = append(next.Kept, c.now)
		}
	}
	if c.Action != ActionSame {
		made, err := p.made(c.Path)
		if err != nil {
			return err
		}
		next.Made = append(made, next.Made...)
	}
	slices.Sort(next.Made) // a directory before those in it
	next.Made = slices.Compact(next.Made)
	c.next = next
	return nil
}

// made are the directories on the way to a file that are to be made, or were for another file of ours: the last one to be taken
// back takes them along.
func (p Place) made(path string) ([]string, error) {
	made := absentDirs(filepath.Dir(path))
	others, err := Applied(p)
	for _, r := range others {
		for _, dir := range r.Made {
			if strings.HasPrefix(path, dir+string(filepath.Separator)) {
				made = append(made, dir)
			}
		}
	}
	return made, err
}

// Needed tells whether anything is to be written.
func (c Changes) Needed() bool {
	return slices.ContainsFunc(c.Files, func(f Change) bool { return f.Action != ActionSame })
}

// stale tells whether a record says something else than it would now, of a file whose bytes stay: an engine may serve less than it
// did when they were written.
func (c Changes) stale() bool {
	return slices.ContainsFunc(c.Files, func(f Change) bool { return !reflect.DeepEqual(f.record, f.next) })
}

// Against is why nothing may be written, each reason one error; nil when it may. With force what can be put aside is no reason.
func (c Changes) Against(force bool) error {
	var errs []error
	for _, r := range c.Refused {
		errs = append(errs, r)
	}
	for _, f := range c.Files {
		if r := f.Blocked; r != nil && !(force && r.Forceable) {
			errs = append(errs, r)
		}
	}
	return errors.Join(errs...)
}

// Diff is the unified diff of all files that are to be written.
func (c Changes) Diff() string {
	var b strings.Builder
	for _, f := range c.Files {
		b.WriteString(f.Diff())
	}
	return b.String()
}

// Diff is the unified diff of one file; "" when its bytes stay.
func (f Change) Diff() string { return unified(f.Path, f.now, f.Path, f.then) }

// Mode is that of the file as it will be; 0 when there will be none.
func (f Change) Mode() fs.FileMode { return f.then.Mode }

func unified(from string, old Snapshot, to string, now Snapshot) string {
	if !old.Exists {
		from = "/dev/null"
	}
	if !now.Exists {
		to = "/dev/null"
	}
	text := string(diff.Diff(from, old.Data, to, now.Data))
	_, text, _ = strings.Cut(text, "\n") // "diff OLD NEW", which the next two lines say as well
	return text
}
