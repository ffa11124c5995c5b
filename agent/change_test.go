package agent

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

func TestOutcome(t *testing.T) {
	refused := &api.Error{Kind: api.KindBudget, Message: "coder does not fit", Class: api.ClassRefused}
	broken := &api.Error{Kind: api.KindUnit, Message: "util broke", Class: api.ClassEngineDied}
	aborted := &api.Error{Kind: api.KindAborted, Message: "start x: aborted"}
	for _, c := range []struct {
		rule  string
		tasks []*task
		cause error
		state string
		kind  api.ErrorKind
		text  string
	}{
		{rule: "nothing to do is done", state: "done"},
		{rule: "no error is done", tasks: []*task{{}, {}}, state: "done"},
		{rule: "refusals alone are of the budget", tasks: []*task{{err: refused}, {}}, state: "error", kind: api.KindBudget, text: "coder does not fit"},
		{rule: "a worse error than a refusal decides", tasks: []*task{{err: refused}, {err: broken}}, state: "error", kind: api.KindUnit, text: "coder does not fit; util broke"},
		{rule: "whatever the order", tasks: []*task{{err: broken}, {err: refused}}, state: "error", kind: api.KindUnit, text: "util broke; coder does not fit"},
		{rule: "the same is said once", tasks: []*task{{err: broken}, {err: broken}}, state: "error", kind: api.KindUnit, text: "util broke"},
		{rule: "an abort that came too late changes nothing", tasks: []*task{{}}, cause: errAborted, state: "done"},
		{rule: "an abort is told as one", tasks: []*task{{err: aborted}}, cause: errAborted, state: "aborted", kind: api.KindAborted, text: "was aborted: start x: aborted"},
		{rule: "a way back that was not needed is no error", tasks: []*task{{}, {job: job{unit: "old", rescue: []int{0}}, failed: true}}, state: "done"},
		{rule: "a way back that was taken is told", tasks: []*task{{err: broken}, {job: job{unit: "old", rescue: []int{0}}}}, state: "error", kind: api.KindUnit, text: "util broke; old serves again"},
		{rule: "so is one that failed", tasks: []*task{{err: broken}, {job: job{unit: "old", rescue: []int{0}}, err: refused, failed: true}}, state: "error", kind: api.KindUnit,
			text: "util broke; and old could not be started again: coder does not fit"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			state, err := outcome(api.Change{Summary: "up full"}, c.tasks, c.cause)
			if state != c.state || (err == nil) != (c.kind == "") {
				t.Fatalf("got %s, %v", state, err)
			}
			if err != nil && (err.Kind != c.kind || !strings.HasSuffix(err.Message, c.text)) {
				t.Errorf("got %s %q, want %s %q", err.Kind, err.Message, c.kind, c.text)
			}
		})
	}
}

func TestTheLastFiftyChangesAreKept(t *testing.T) {
	inBed(t, func(b *bed) {
		b.systemd.slow[util] = true
		first, err := b.Act(context.Background(), "util", api.TierRequest{Action: "start"})
		if err != nil {
			t.Fatal(err)
		}
		mustDone(t, b.act("coder", "start", ""))
		for range keepChanges + 5 {
			mustDone(t, b.act("coder", "start", ""))
		}
		list, err := b.Changes()
		if err != nil || len(list) != keepChanges || list[0].ID != first {
			t.Errorf("%d changes, the first is %s, %v", len(list), list[0].ID, err)
		}
		if _, err := b.Change("2"); err == nil {
			t.Error("an old change is still known")
		}
	})
}

func TestAWaitEndsWithItsContext(t *testing.T) {
	inBed(t, func(b *bed) {
		b.systemd.slow[util] = true
		id, err := b.Act(context.Background(), "util", api.TierRequest{Action: "start"})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		c, err := b.WaitChange(ctx, id)
		if err != nil || c.Done() || c.Tasks[0].State != "doing" {
			t.Errorf("got %+v, %v", c, err)
		}
	})
}

func TestCompare(t *testing.T) {
	plan := func(list ...units.Unit) *units.Plan { return &units.Plan{Units: list} }
	a, a2 := units.Unit{Name: "a", Tier: "a", Hash: "1", Default: true}, units.Unit{Name: "a", Tier: "a", Hash: "2", Default: true}
	ab := units.Unit{Name: "a-b", Tier: "a", Hash: "1", Variant: "b"}
	c := units.Unit{Name: "c", Tier: "c", Hash: "1", Default: true}
	for _, x := range []struct {
		rule             string
		old, new         *units.Plan
		changed, removed string
	}{
		{"the same", plan(a, c), plan(a, c), "", ""},
		{"another hash", plan(a, c), plan(a2, c), "a", ""},
		{"a new tier", plan(a), plan(a, c), "c", ""},
		{"a tier that is gone", plan(a, c), plan(a), "", "c"},
		{"a variant that is gone changes its tier", plan(a, ab), plan(a), "a", ""},
		{"a new variant changes its tier, told once", plan(a), plan(a2, ab), "a", ""},
	} {
		changed, removed := compare(x.old, x.new)
		if strings.Join(changed, " ") != x.changed || strings.Join(removed, " ") != x.removed {
			t.Errorf("%s: changed %q, removed %q", x.rule, changed, removed)
		}
	}
}
