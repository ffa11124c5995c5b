package main

import (
	"fmt"
	"slices"

	"github.com/tierd/tierd/agent/opencode"
)

// printVerified writes what was asked as a table, then what was found out.
func (a *app) printVerified(v *verified) {
	with := ""
	if v.Client != nil {
		with = fmt.Sprintf(", with OpenCode %s (%s)", v.Client.Version, v.Client.Path)
	}
	fmt.Fprintf(a.stdout, "%s (%s)%s\n", v.File, v.Scope, with)
	if len(v.Models) > 0 {
		fmt.Fprintln(a.stdout)
		writeTable(a.stdout, []string{"TIER", "MODEL", "ANSWER", "FIRST BYTE", "TOOL CALL"}, askedRows(v.Models))
	}
	notes := len(v.Remarks) - v.failures()
	for i, r := range v.Remarks {
		if i == 0 || v.Remarks[i-1].Failed != r.Failed {
			title := painted("Notes", a.paint(dim))
			if r.Failed {
				title = painted("Failures", a.paint(red))
			}
			fmt.Fprintf(a.stdout, "\n%s\n", title)
		}
		say(a.stdout, 4, "  "+r.Text)
		if r.Hint != "" {
			fmt.Fprintf(a.stdout, "    fix: %s\n", r.Hint)
		}
	}
	unasked := ""
	if !slices.ContainsFunc(v.Models, func(m opencode.Asked) bool { return m.LeftOut == "" }) {
		unasked = "; no model was asked"
	}
	fmt.Fprintf(a.stdout, "\n%s, %s%s.\n", count(v.failures(), "failure"), count(notes, "note"), unasked)
}

func askedRows(models []opencode.Asked) []row {
	rows := make([]row, len(models))
	for i, m := range models {
		answer, first, tool := "failed", "-", dash(string(m.Tools))
		switch {
		case m.LeftOut != "":
			answer = "not asked"
			rows[i].notes = []string{m.LeftOut}
		case m.FirstByte > 0:
			first = fmt.Sprintf("%.2fs", m.Seconds)
			if !slices.ContainsFunc(m.Remarks, func(r opencode.Remark) bool { return r.Failed }) || m.Tools != "" {
				answer = "ok"
			}
		}
		if m.Loaded {
			rows[i].notes = append(rows[i].notes, "was loaded for this")
		}
		rows[i].cells = []cell{{text: m.Tier}, {text: m.Model}, {text: answer}, {text: first}, {text: tool}}
	}
	return rows
}
