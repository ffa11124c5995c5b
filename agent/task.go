package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

// abortLimit bounds the stop of a unit whose start was aborted; systemd's own stop timeout is shorter.
const abortLimit = 5 * time.Minute

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

// startUnit brings a unit up and waits until it is ready. A start that is aborted is undone; one that tierd's own end
// interrupts goes on without it.
func (a *Agent) startUnit(t *task) *api.Error {
	if !t.known {
		if err := a.settle(t.ctx); err != nil {
			return a.taskError(t, err)
		}
	}
	s, err := a.standing(t.ctx, t.unit)
	if err != nil {
		return a.taskError(t, err)
	}
	if s.State == api.Ready {
		t.was = true
		return nil
	}
	if refused := startable(t, s); refused != nil {
		return refused
	}
	if t.evict || t.spare {
		a.post(func() { a.leaves[t.unit] = t.evict })
		defer a.post(func() { delete(a.leaves, t.unit) })
	}
	if t.beside != "" {
		return a.startBeside(t, s)
	}
	a.keepWayOut(t)
	return a.cameTo(t, a.launch(t.ctx, s))
}

// cameTo waits for what a start came to, whose job ended with err.
func (a *Agent) cameTo(t *task, err error) *api.Error {
	if err != nil && t.ctx.Err() == nil && !errors.Is(err, ErrDisconnected) {
		// The unit's own end says more than the failed job, when there was one.
		var job *JobError
		if t.known && !errors.As(err, &job) {
			t.known = false
			return a.startUnit(t)
		}
		switch v, wrong := a.arrived(t); {
		case wrong == nil && v.State == api.Failed:
			return a.unitError(t, v)
		case wrong == nil && v.State == api.Stopped && errors.As(err, &job):
			return stoppedMeanwhile(t)
		}
		return a.taskError(t, err)
	}
	v, wrong := a.arrived(t)
	switch {
	case t.ctx.Err() != nil:
		return a.undo(t)
	case wrong != nil:
		return a.taskError(t, wrong)
	case v.State == api.Ready:
		return nil
	case v.State == api.Stopped:
		return stoppedMeanwhile(t)
	}
	return a.unitError(t, v)
}

func stoppedMeanwhile(t *task) *api.Error {
	t.halted = true
	return &api.Error{Kind: api.KindUnit, Message: t.unit + " was stopped while it was starting"}
}

// startable refuses what cannot come up, with the reason that is known already.
func startable(t *task, s standing) *api.Error {
	switch {
	case s.unit.Name == "":
		return &api.Error{Kind: api.KindConfig, Message: t.unit + " is no longer in tiers.toml"}
	case s.State == api.Blocked && s.unit.Blocked == "" && !s.seen.Masked && s.seen.LoadState != "masked":
		return nil // it could not be defined before; try again
	case s.State == api.Blocked:
		return &api.Error{Kind: api.KindConfig, Class: s.Class, Message: fmt.Sprintf("cannot start %s: %s", t.unit, s.Reason)}
	}
	return nil
}

// launch defines the unit if its definition is not the wanted one, and starts it. It returns when systemd's job ends.
func (a *Agent) launch(ctx context.Context, s standing) error {
	if err := a.prepare(ctx, s); err != nil {
		return err
	}
	return a.opts.Systemd.Start(ctx, s.unit.Name)
}

// prepare makes the definition the wanted one, if the unit does not run.
func (a *Agent) prepare(ctx context.Context, s standing) error {
	if !running(s.seen) {
		switch {
		case s.seen.LoadState != "loaded" || s.seen.Hash != s.unit.Hash:
			if err := a.opts.Systemd.Define(ctx, s.unit); err != nil && !errors.Is(err, ErrRunning) {
				return err
			}
		default: // its limit of starts, which is for crashes, does not hold for one that is asked for
			if err := a.opts.Systemd.Reset(ctx, s.unit.Name); err != nil && s.seen.ActiveState == "failed" {
				return err
			}
		}
	}
	return nil
}

// arrived waits until the unit is neither on its way up nor down, and returns where it came to.
func (a *Agent) arrived(t *task) (verdict, error) {
	if err := a.settled(t.ctx, ReadListed); err != nil && !errors.Is(err, ErrDisconnected) {
		var kind *api.Error
		if !errors.As(err, &kind) {
			return verdict{}, err
		}
	}
	var v verdict
	err := a.await(t.ctx, func() bool {
		v = a.states[t.unit]
		return a.systemdErr == nil && v.State != api.Starting && v.State != api.Stopping && v.State != api.Draining
	})
	return v, err
}

// undo stops a unit whose start was aborted.
func (a *Agent) undo(t *task) *api.Error {
	if errors.Is(context.Cause(t.ctx), errShutdown) {
		return ending(t)
	}
	if err := a.withdraw(t); err != nil {
		return &api.Error{Kind: api.KindUnit, Message: fmt.Sprintf("cannot stop %s, whose start was aborted: %v", t.unit, err)}
	}
	return ending(t)
}

// withdraw stops a unit that did not come up, and waits until that is known.
func (a *Agent) withdraw(t *task) error {
	ctx, cancel := context.WithTimeout(a.ctx, abortLimit)
	defer cancel()
	if err := a.opts.Systemd.Stop(ctx, t.unit); err != nil {
		return err
	}
	if s, err := a.standing(ctx, t.unit); err == nil && s.seen.ActiveState == "failed" {
		_ = a.opts.Systemd.Reset(ctx, t.unit) // a stop that was asked for leaves no failure behind
	}
	_ = a.settle(ctx) // only for those who look next
	return nil
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
