package main

import (
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/api"
)

func TestPlainLinesOnePerChangeOfState(t *testing.T) {
	var out strings.Builder
	p := &plainLines{out: &out, said: map[taskKey]string{}}
	task := func(state, status string) api.Task {
		return api.Task{Tier: "coder", Summary: "start tier-coder.service", State: state, Status: status}
	}
	for _, tasks := range [][]api.Task{
		{task("todo", "")},
		{task("doing", "Loading 1 %")},
		{task("doing", "Loading 50 %")}, // words alone are no change of state
		{task("done", "")},
		{task("done", ""), {Tier: "orch", Summary: "start tier-orch.service", State: "skipped"}},
		{task("done", ""), {Tier: "orch", Summary: "start tier-orch.service", State: "skipped"}},
	} {
		p.update(api.Change{ID: "1", Tasks: tasks})
	}
	p.update(api.Change{ID: "2", Tasks: []api.Task{task("doing", "")}}) // another change has tasks of its own
	want := `coder: start tier-coder.service
coder: start tier-coder.service: done
orch: start tier-orch.service: skipped
coder: start tier-coder.service
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

// TestAFailureIsSaidOnce: what ends the command is its error, with the reason; progress has said it only when it was news.
func TestAFailureIsSaidOnce(t *testing.T) {
	failed := api.Task{Tier: "coder", Summary: "start tier-coder.service", State: "error", Err: "no model"}
	other := api.Task{Tier: "orch", Summary: "start tier-orch.service", State: "error", Err: "no engine"}
	over := &api.Error{Message: "start tier-coder.service: no model"}
	for _, tt := range []struct {
		rule  string
		steps []api.Change
		want  string
	}{
		{"a change that ends with the failure leaves the reason to its error", []api.Change{{ID: "1", Tasks: []api.Task{failed}, Err: over}},
			"coder: start tier-coder.service: failed\n"},
		{"while others go on, the reason is news", []api.Change{{ID: "1", Tasks: []api.Task{failed}}, {ID: "1", Tasks: []api.Task{failed}, Err: over}},
			"coder: start tier-coder.service: failed: no model\n"},
		{"a reason that the error lacks is said", []api.Change{{ID: "1", Tasks: []api.Task{other}, Err: over}},
			"orch: start tier-orch.service: failed: no engine\n"},
	} {
		var out strings.Builder
		p := &plainLines{out: &out, said: map[taskKey]string{}}
		for _, ch := range tt.steps {
			p.update(ch)
		}
		if out.String() != tt.want {
			t.Errorf("%s: got %q, want %q", tt.rule, out.String(), tt.want)
		}
	}
}

func TestLiveText(t *testing.T) {
	tests := []struct {
		rule string
		task api.Task
		age  time.Duration
		want string
	}{
		{"what waits has no age", api.Task{Tier: "coder", Summary: "start u", State: "todo"}, 0, "· coder      start u"},
		{"what is done shows its unit's words", api.Task{Tier: "coder", Summary: "start u", State: "doing", Status: "Loading"}, 61 * time.Second, "▸ coder      start u  1m 1s  Loading"},
		{"words end with the work", api.Task{Tier: "coder", Summary: "start u", State: "done", Status: "Ready"}, time.Second, "✓ coder      start u  1s"},
		{"an error says why", api.Task{Tier: "coder", Summary: "start u", State: "error", Err: "no model"}, time.Second, "✗ coder      start u  1s  no model"},
		{"what is left out has no age", api.Task{Tier: "coder", Summary: "start u", State: "skipped"}, time.Second, "- coder      start u"},
	}
	for _, tt := range tests {
		if got := liveText(tt.task, tt.age); got != tt.want {
			t.Errorf("%s:\ngot  %q\nwant %q", tt.rule, got, tt.want)
		}
	}
}
