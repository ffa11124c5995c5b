package main

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"

	"github.com/tierd/tierd/agent/api"
)

func TestExitStatus(t *testing.T) {
	tests := []struct {
		rule string
		err  error
		want int
	}{
		{"no error is done", nil, 0},
		{"an error without a kind is a failure", errors.New("x"), 1},
		{"an unknown kind from a newer tierd is a failure", &api.Error{Kind: "new"}, 1},
		{"a bad request is wrong usage", &api.Error{Kind: api.KindBadRequest}, 2},
		{"an unknown name is wrong usage", &api.Error{Kind: api.KindNotFound}, 2},
		{"no rights", &api.Error{Kind: api.KindForbidden}, 4},
		{"no daemon", &api.Error{Kind: api.KindUnavailable}, 5},
		{"the budget", &api.Error{Kind: api.KindBudget}, 6},
		{"admission refused the unit", &api.Error{Kind: api.KindUnit, Class: api.ClassRefused}, 6},
		{"the engine ran out of memory by itself", &api.Error{Kind: api.KindUnit, Class: api.ClassBudget}, 1},
		{"a wrapped error keeps its kind", fmt.Errorf("x: %w", &api.Error{Kind: api.KindForbidden}), 4},
		{"of several, the first", errors.Join(&api.Error{Kind: api.KindForbidden}, &api.Error{Kind: api.KindBudget}), 4},
		{"Ctrl-C", context.Canceled, 130},
		{"tierctl's own", &failure{status: exitNotReady}, 3},
	}
	for _, tt := range tests {
		if got := exitStatus(tt.err); got != tt.want {
			t.Errorf("%s: status %d, want %d", tt.rule, got, tt.want)
		}
	}
}

// TestEveryKindHasAStatus reads the kinds from their source, so that a new one cannot be forgotten here.
func TestEveryKindHasAStatus(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../agent/api/errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || !strings.HasPrefix(spec.Names[0].Name, "Kind") {
			return true
		}
		kind, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		found++
		if _, ok := kindStatus[api.ErrorKind(kind)]; !ok {
			t.Errorf("%s (%q) has no exit status", spec.Names[0].Name, kind)
		}
		return true
	})
	if found == 0 {
		t.Error("found no kinds")
	}
}

func TestEveryStatusIsExplained(t *testing.T) {
	explained := map[int]bool{}
	for _, m := range meanings {
		explained[m.status] = true
	}
	for kind, status := range kindStatus {
		if !explained[status] {
			t.Errorf("status %d of %q is not in the table of help and manual page", status, kind)
		}
	}
}

func TestReport(t *testing.T) {
	same := &api.Error{Kind: api.KindForbidden, Message: "cannot start tiers: you may not"}
	tests := []struct {
		rule string
		err  error
		want string
	}{
		{"nothing without an error", nil, ""},
		{"the hint has a line of its own", &api.Error{Message: "cannot start x", Hint: "tierctl logs x"},
			"tierctl: cannot start x\nhint: tierctl logs x\n"},
		{"no hint is made up", &api.Error{Kind: api.KindUnavailable, Message: "systemd does not answer"},
			"tierctl: systemd does not answer\n"},
		{"what went wrong twice is said once", errors.Join(same, same),
			"tierctl: cannot start tiers: you may not\nhint: use sudo, or join the group tierd: sudo usermod -aG tierd $USER, then log in again\n"},
	}
	for _, tt := range tests {
		var out strings.Builder
		(&app{stderr: &out}).report(tt.err)
		if out.String() != tt.want {
			t.Errorf("%s:\ngot  %q\nwant %q", tt.rule, out.String(), tt.want)
		}
	}
}
