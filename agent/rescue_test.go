package agent

import (
	"slices"
	"testing"

	"github.com/tierd/tierd/agent/api"
)

func TestATaskForTheWayBackIsToldOfOnlyWhenItRuns(t *testing.T) {
	way := &task{job: job{op: opStart, rescue: []int{0}}}
	start := &task{job: job{op: opStart}}
	for name, c := range map[string]struct {
		states []string
		want   int
	}{
		"while the first still may do well": {[]string{"doing", "todo"}, 1},
		"once it did well":                  {[]string{"done", "skipped"}, 1},
		"once it failed":                    {[]string{"error", "doing"}, 2},
		"and when the way back is over":     {[]string{"error", "done"}, 2},
	} {
		ch := &change{tasks: []*task{start, way}}
		for _, s := range c.states {
			ch.Tasks = append(ch.Tasks, api.Task{State: s})
		}
		if got := len(ch.Tasks) - ch.idle(); got != c.want {
			t.Errorf("%s: %d tasks are shown, want %d", name, got, c.want)
		}
	}
	plain := &change{tasks: []*task{start}, Change: api.Change{Tasks: []api.Task{{State: "skipped"}}}}
	if n := plain.idle(); n != 0 {
		t.Errorf("a task that was skipped for another reason is hidden (%d of %v)", n, slices.Collect(slices.Values(plain.Tasks)))
	}
}
