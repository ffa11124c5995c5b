package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// keepChanges is how many changes are remembered; those that still run are never forgotten.
const keepChanges = 50

// Why the tasks of a change end early.
var (
	errAborted    = errors.New("aborted")
	errSuperseded = errors.New("a later request stopped it")
)

// change is an api.Change and what drives it. Its fields belong to the loop; the channels may be waited for by anybody.
type change struct {
	api.Change
	key    string // what was asked: a second request that asks the same joins
	why    string // for whom, api.Why*; "": by Kind
	tasks  []*task
	cancel context.CancelCauseFunc
	ended  chan struct{}
	cause  error // errAborted once somebody asked for that
	kept   bool  // of a start for requests: somebody else wants it, too
}

// task is one job at work.
type task struct {
	job
	index  int
	ctx    context.Context
	cancel context.CancelCauseFunc
	done   chan struct{}
	err    *api.Error // set before done is closed
	failed bool       // ended without doing what it should: an error, or skipped
	halted bool       // somebody stopped the unit while it was starting
	was    bool       // the unit was up already
	noRoom string     // of a start beside what is up: why there is no room for that
}

// broke tells that it failed, and not only for want of room beside: then another task stands in for it.
func (t *task) broke() bool { return t.failed && t.noRoom == "" }

// begin makes a change of jobs and runs it. It waits first for the tasks in before.
func (a *Agent) begin(kind, summary, key string, tiers []string, jobs []job, before []*task) string {
	a.changeID++
	ctx, cancel := context.WithCancelCause(a.ctx)
	c := &change{key: key, cancel: cancel, ended: make(chan struct{}), Change: api.Change{
		ID: strconv.Itoa(a.changeID), Kind: kind, Summary: summary, Tiers: tiers, State: "doing", Started: time.Now(),
		Tasks: []api.Task{},
	}}
	for i, j := range jobs {
		t := &task{job: j, index: i, done: make(chan struct{})}
		parent := ctx
		if len(j.rescue) > 0 || j.firm {
			parent = a.ctx // an abort is what the one may have to repair, and too late for the other
		}
		t.ctx, t.cancel = context.WithCancelCause(parent)
		c.tasks = append(c.tasks, t)
		c.Tasks = append(c.Tasks, api.Task{Tier: j.tier, Unit: j.unit, Summary: j.summary(), State: "todo"})
		if !slices.Contains(c.Tiers, j.tier) {
			c.Tiers = append(c.Tiers, j.tier)
		}
	}
	a.changes = append(a.changes, c)
	a.forget()
	a.opts.Log.Info("change begins", "change", c.ID, "what", summary)
	a.events.add(api.Event{Kind: "change", Change: c.ID, Text: summary + ": begun"})
	if len(c.tasks) == 0 {
		a.conclude(c)
		return c.ID
	}
	for _, t := range c.tasks {
		a.spawn(func(context.Context) {
			a.perform(c, t, before)
		})
	}
	a.spawn(func(context.Context) {
		for _, t := range c.tasks {
			<-t.done
		}
		a.post(func() { a.conclude(c) })
	})
	return c.ID
}

// forget drops the oldest changes that have ended.
func (a *Agent) forget() {
	for len(a.changes) > keepChanges {
		i := slices.IndexFunc(a.changes, func(c *change) bool { return c.Done() })
		if i < 0 {
			return
		}
		a.changes = slices.Delete(a.changes, i, i+1)
	}
}

// conclude says what became of a change whose tasks have all ended.
func (a *Agent) conclude(c *change) {
	c.State, c.Err = outcome(c.Change, c.tasks, c.cause)
	c.Finished = time.Now()
	c.cancel(nil)
	for _, t := range c.tasks {
		t.cancel(nil)
		if t.back != "" {
			a.dropWayOut(t.tier)
		}
	}
	text := c.Summary + ": " + c.State
	if c.Err != nil {
		text += ": " + c.Err.Message
		a.opts.Log.Warn("change ended", "change", c.ID, "what", c.Summary, "state", c.State, "err", c.Err)
	} else {
		a.opts.Log.Info("change ended", "change", c.ID, "what", c.Summary, "state", c.State)
	}
	a.events.add(api.Event{Kind: "change", Change: c.ID, Text: text})
	close(c.ended)
	switch c.Kind {
	case "evict":
		a.gaveUp(c)
	case "idle":
		a.idleStopped(c)
	case "pressure":
		a.pressureStopped(c)
	case "return":
		a.returned(c)
	}
}

// Changes lists the changes that are remembered, the newest last.
func (a *Agent) Changes() ([]api.Change, error) {
	return inLoop(context.Background(), a, func() ([]api.Change, error) {
		list := make([]api.Change, len(a.changes))
		for i, c := range a.changes {
			list[i] = a.shown(c)
		}
		return list, nil
	})
}

// Change returns one change as it is now.
func (a *Agent) Change(id string) (api.Change, error) {
	return inLoop(context.Background(), a, func() (api.Change, error) {
		c, err := a.find(id)
		if err != nil {
			return api.Change{}, err
		}
		return a.shown(c), nil
	})
}

func (a *Agent) find(id string) (*change, error) {
	for _, c := range a.changes {
		if c.ID == id {
			return c, nil
		}
	}
	return nil, &api.Error{Kind: api.KindNotFound, Message: fmt.Sprintf("no change %q is known", id),
		Hint: "changes are forgotten when tierd restarts, and after fifty others"}
}

// shown copies a change for somebody outside the loop, with the live words of the units that it works on.
func (a *Agent) shown(c *change) api.Change {
	copied := c.Change
	copied.Tasks = slices.Clone(c.Tasks[:len(c.Tasks)-c.idle()])
	copied.Tiers = slices.Clone(c.Tiers)
	for i, t := range copied.Tasks {
		if t.State == "doing" {
			copied.Tasks[i].Status = cmp.Or(a.waits(t.Unit), a.leavingWords(c.tasks[i]), a.seen[t.Unit].StatusText)
		}
	}
	return copied
}

// idle counts the tasks at the end that only run should another one fail. Until then nobody needs to hear of them.
func (c *change) idle() (n int) {
	for i := len(c.Tasks) - 1; i >= 0 && i < len(c.tasks) && c.tasks[i].conditional(); i-- {
		if state := c.Tasks[i].State; state != "todo" && state != "skipped" {
			break
		}
		n++
	}
	return n
}

// WaitChange returns when the change has ended, or with its state so far when ctx ends.
func (a *Agent) WaitChange(ctx context.Context, id string) (api.Change, error) {
	ended, err := inLoop(ctx, a, func() (chan struct{}, error) {
		c, err := a.find(id)
		if err != nil {
			return nil, err
		}
		return c.ended, nil
	})
	if err != nil {
		return api.Change{}, err
	}
	select {
	case <-ended:
	case <-ctx.Done():
	case <-a.ended:
	}
	return a.Change(id)
}

// AbortChange ends a change early: what has not begun is skipped, what is loading is stopped. It returns at once; an
// aborted change still has to be waited for. To abort one that has ended does nothing.
func (a *Agent) AbortChange(id string) error {
	_, err := inLoop(context.Background(), a, func() (bool, error) {
		c, err := a.find(id)
		if err != nil {
			return false, err
		}
		c.abort()
		return true, nil
	})
	return err
}
