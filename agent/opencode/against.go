package opencode

import (
	"path/filepath"
	"strings"
)

// against says why a file that is wanted may not be written; nil when it may.
func (p Place) against(c Change) *Refused {
	if dir := linkAbove(p.baseOf(c.Path), c.Path); dir != "" {
		return p.throughLink(c.Path, dir)
	}
	switch {
	case c.Action == ActionSame, !c.now.Exists:
		return nil
	case c.record != nil && c.record.knows(c.now):
		return nil
	case c.record != nil:
		return edited(c, "`--force` puts the new one in its place, and `tierctl opencode undo` brings yours back")
	case len(p.foreign) > 1:
		return refuse(c.Path, "tierctl opencode apply --to FILE   and then OPENCODE_CONFIG=FILE in OpenCode's environment",
			"%s are both yours, and OpenCode merges no third file beneath opencode.jsonc", strings.Join(p.foreign, " and "))
	}
	r := refuse(c.Path, "`--force` puts it aside, and `tierctl opencode undo` brings it back", "%s is there, and tierctl has not written it", c.Path)
	if c.Path == p.Config && !p.named && p.Scope != ScopeManaged {
		r.Hint = "tierctl opencode apply --to FILE   and then OPENCODE_CONFIG=FILE in OpenCode's environment; or " + r.Hint
	}
	r.Forceable = true
	return r
}

// throughLink refuses to write where a link leads: managers of dotfiles make them, and a generated file would turn up in a
// repository. Who names the file behind it means it.
func (p Place) throughLink(path, dir string) *Refused {
	real, err := followLinks(path)
	if err != nil {
		return refuse(path, "remove the link, or make what it leads to", "%s is a link that leads nowhere", dir)
	}
	hint := "make it a directory of its own"
	if path == p.Config && p.Scope != ScopeManaged {
		command := "tierctl opencode apply"
		if p.Scope == ScopeProject {
			command += " --project"
		}
		hint = command + " --to " + real + "   writes there, and OpenCode finds it through the link"
	}
	return refuse(path, hint, "%s is a link, so the file would be %s, perhaps in a repository of yours", dir, real)
}

func edited(c Change, hint string) *Refused {
	r := refuse(c.Path, hint, "%s has been edited since tierctl wrote it", c.Path)
	r.Forceable = true
	r.Diff = unified(c.Path+" (as written)", c.record.latest(), c.Path+" (as it is)", c.now)
	return r
}

// baseOf is the directory below which links on the way to a file are not followed.
func (p Place) baseOf(path string) string {
	switch {
	case path == p.OMO:
		return p.home
	case p.named:
		return filepath.Dir(path)
	}
	return p.base
}
