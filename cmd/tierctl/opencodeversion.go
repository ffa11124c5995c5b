package main

import (
	"fmt"
	"path/filepath"

	"github.com/tierd/tierd/agent/opencode"
)

// otherVersion remarks on a client that is not the one which tierctl was written for.
func otherVersion(c opencode.Client, r *opencode.Record) []opencode.Remark {
	if c.Major == 1 {
		return nil
	}
	if c.Major < 2 {
		return []opencode.Remark{{
			Text: fmt.Sprintf("%s calls itself %q; what tierctl writes was tried with OpenCode 1.18", c.Path, c.Version), Hint: "the other lines tell whether it took it",
		}}
	}
	all := []opencode.Remark{{
		Text: fmt.Sprintf("%s calls itself %q; what tierctl writes was tried with OpenCode 1.18, and with a preview of 2 that read it", c.Path, c.Version),
		Hint: "see whether `/models` in OpenCode lists the tiers, and them alone",
	}}
	if filepath.Base(r.Path) == "opencode.json" && !r.Named && r.Scope != opencode.ScopeManaged {
		return all
	}
	no := opencode.Remark{
		Text: "the preview of OpenCode 2 did not read " + r.Path + ", only opencode.json and opencode.jsonc in their usual places",
		Hint: "where the tiers are not offered: tierctl opencode undo, then apply without --to or --managed",
	}
	if filepath.Base(r.Path) == "config.json" {
		no.Hint = "where the tiers are not offered: tierctl opencode undo, your opencode.json renamed to opencode.jsonc, which wins, and apply"
	}
	return append(all, no)
}

// unasked remarks on a client that does not say what it makes of its files. Version 2 may have other commands for that, which is no
// fault of the set-up.
func unasked(c opencode.Client, err error) opencode.Remark {
	if c.Major >= 2 {
		return opencode.Remark{Text: fmt.Sprintf("OpenCode %d was not asked what it makes of its files: %v", c.Major, err)}
	}
	return opencode.Remark{Failed: true, Text: "OpenCode cannot be asked: " + err.Error()}
}
