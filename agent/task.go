package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

// perform runs one task once those before it have ended.
func (a *Agent) perform(c *change, t *task, before []*task) {
	defer close(t.done)
	if t.left != "" {
		a.note(c, t, "skipped")
		return
	}
	run := a.waitTurn(c, t, before)
	if run {
		a.note(c, t, "doing")
		t.err = a.run(t)
		t.failed = t.err != nil
	}
	switch {
	case t.beside != "" && noRoom(t.err): // no fault: the one that stands in for it goes the other way
		t.noRoom, t.err = "there is no room beside what is up: "+t.err.Message, nil
		a.note(c, t, "skipped")
	case t.err != nil:
		a.note(c, t, "error")
	case !run, t.was && len(t.rescue) > 0: // what serves on needed no rescue
		a.note(c, t, "skipped")
	default:
		a.note(c, t, "done")
	}
}

// waitTurn waits for the tasks before this one and says whether it is to run at all.
func (a *Agent) waitTurn(c *change, t *task, before []*task) bool {
	if t.instead != nil { // that one ends early too when the change is aborted
		other := c.tasks[*t.instead]
		if <-other.done; other.noRoom == "" {
			return false
		}
	}
	wait := append([]*task(nil), before...)
	for _, list := range [][]int{t.needs, t.after, t.rescue} {
		for _, i := range list {
			wait = append(wait, c.tasks[i])
		}
	}
	for _, w := range wait {
		select {
		case <-w.done:
		case <-t.ctx.Done():
			t.failed, t.err = true, ending(t)
			return false
		}
	}
	if len(t.rescue) > 0 && !slices.ContainsFunc(t.rescue, func(i int) bool { return c.tasks[i].broke() }) {
		return false
	}
	for _, i := range t.needs {
		if c.tasks[i].failed {
			t.failed = true // the one that it needs carries the error
			return false
		}
	}
	if t.ctx.Err() != nil {
		t.failed, t.err = true, ending(t)
		return false
	}
	return true
}

// ending is the error of a task that was told to end early.
func ending(t *task) *api.Error {
	cause := context.Cause(t.ctx)
	if gaveUp, ok := errors.AsType[*pressureError](cause); ok {
		return pressureEnd(t, gaveUp)
	}
	if errors.Is(cause, errAborted) || errors.Is(cause, errSuperseded) {
		return &api.Error{Kind: api.KindAborted, Message: fmt.Sprintf("%s: %v", t.summary(), cause)}
	}
	return &api.Error{Kind: api.KindUnavailable, Message: fmt.Sprintf("%s: %v", t.summary(), cause)}
}

// note tells the loop, and through it whoever watches, how far a task is.
func (a *Agent) note(c *change, t *task, state string) {
	a.post(func() {
		c.Tasks[t.index].State = state
		a.noteOrder(c, t, state)
		if state == "error" {
			a.startEnded(t)
		}
		text, why := t.summary()+": "+state, cmp.Or(t.left, t.noRoom)
		if t.err != nil {
			why = strings.TrimPrefix(t.err.Message, t.summary()+": ")
		}
		if why != "" {
			c.Tasks[t.index].Err = why
			text += ": " + why
		}
		a.events.add(api.Event{Kind: "change", Change: c.ID, Tier: t.tier, Unit: t.unit, Text: text})
	})
}

// run does what the task is for.
func (a *Agent) run(t *task) *api.Error {
	if err := a.lock(t.ctx, t.unit); err != nil {
		return ending(t)
	}
	defer a.post(func() { a.unlock(t.unit) })
	if t.op == opStop {
		return a.stopUnit(t)
	}
	return a.startUnit(t)
}

// standing is what the loop knows of a unit at one moment.
type standing struct {
	unit units.Unit
	seen UnitStatus
	verdict
}

func (a *Agent) standing(ctx context.Context, name string) (standing, error) {
	return inLoop(ctx, a, func() (standing, error) {
		return standing{a.unit(name), a.seen[name], a.states[name]}, a.unavailable()
	})
}

// stopUnit stops a unit and clears a failure away: one that was asked to stop is stopped.
func (a *Agent) stopUnit(t *task) *api.Error {
	// Once begun a stop is not taken back: half of its requests are refused by then.
	ctx := a.ctx
	if err := a.settle(ctx); err != nil {
		return a.taskError(t, err)
	}
	s, err := a.standing(ctx, t.unit)
	if err != nil {
		return a.taskError(t, err)
	}
	if running(s.seen) {
		if err := a.opts.Systemd.Stop(ctx, t.unit); err != nil && !errors.Is(err, ErrDisconnected) {
			return a.taskError(t, err)
		}
		if _, err := a.arrived(&task{job: t.job, ctx: ctx}); err != nil {
			return a.taskError(t, err)
		}
		if s, err = a.standing(ctx, t.unit); err != nil {
			return a.taskError(t, err)
		}
	}
	failed := s.seen.ActiveState == "failed"
	if failed || s.State == api.Stopped && s.seen.LoadState == "loaded" {
		// Also of one that has ended well: what was started and stopped by order counts for no limit of starts.
		if err := a.opts.Systemd.Reset(ctx, t.unit); err != nil && failed {
			return a.taskError(t, err)
		}
	}
	if failed {
		if err := a.settle(ctx); err != nil {
			return a.taskError(t, err)
		}
	}
	if s.State == api.Ready {
		return &api.Error{Kind: api.KindUnit, Message: t.unit + " was started again while it was being stopped"}
	}
	return nil
}

// unitError is a unit's end as the error of what asked for its start.
func (a *Agent) unitError(t *task, v verdict) *api.Error {
	var sum *api.Budget
	if v.Class == api.ClassRefused {
		sum, _ = inLoop(context.WithoutCancel(a.ctx), a, func() (*api.Budget, error) { return a.refusal(t.unit), nil })
	}
	return endError(t.tier, t.unit, v, sum)
}

// endError is unitError once the sum is known that a unit was refused for.
func endError(tier, unit string, v verdict, sum *api.Budget) *api.Error {
	e := &api.Error{Kind: api.KindUnit, Class: v.Class, Message: fmt.Sprintf("%s did not come up: %s", unit, v.Reason),
		Hint: fmt.Sprintf("tierctl logs %s, or journalctl -u %s", tier, unit)}
	if v.Class == api.ClassRefused {
		e.Kind, e.Hint, e.Budget = api.KindBudget, "`tierctl budget` shows who holds what", sum
		if e.Budget != nil && len(e.Budget.GiveWay) > 0 {
			e.Hint = fmt.Sprintf("`tierctl start %s --evict` has it give way, once it is idle; `tierctl budget` shows who holds what", e.Budget.Tiers[0].Tier)
		}
	}
	if v.Class == api.ClassConfiguration || v.Class == api.ClassModel {
		e.Kind = api.KindConfig
	}
	return e
}

// taskError gives an error of systemd's or the loop's its kind.
func (a *Agent) taskError(t *task, err error) *api.Error {
	var known *api.Error
	switch {
	case errors.As(err, &known):
		return known
	case t.ctx.Err() != nil && t.op == opStart:
		return a.undo(t)
	case errors.Is(err, ErrDisconnected):
		return &api.Error{Kind: api.KindUnavailable, Message: fmt.Sprintf("cannot %s: %v", t.summary(), err)}
	}
	return &api.Error{Kind: api.KindUnit, Message: fmt.Sprintf("cannot %s: %v", t.summary(), err)}
}
