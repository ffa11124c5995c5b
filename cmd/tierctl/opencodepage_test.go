package main

import (
	"strings"
	"testing"

	"github.com/tierd/tierd/agent/opencode"
)

// TestNoFailureIsNoPraise: where nothing was asked, the last line says so.
func TestNoFailureIsNoPraise(t *testing.T) {
	for _, tt := range []struct {
		rule   string
		models []opencode.Asked
		last   string
	}{
		{"nobody was up", []opencode.Asked{{Tier: "orch", LeftOut: "it is stopped"}}, "0 failures, 0 notes; no model was asked."},
		{"there was none to ask", nil, "0 failures, 0 notes; no model was asked."},
		{"one was", []opencode.Asked{{Tier: "orch"}, {Tier: "coder", LeftOut: "it is stopped"}}, "0 failures, 0 notes."},
	} {
		var out strings.Builder
		a := newApp()
		a.stdout = &out
		a.printVerified(&verified{File: "f", Scope: opencode.ScopeUser, Models: tt.models})
		if !strings.HasSuffix(out.String(), "\n"+tt.last+"\n") {
			t.Errorf("%s:\n%s", tt.rule, out.String())
		}
	}
}
