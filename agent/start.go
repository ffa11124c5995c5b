package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// abortLimit bounds the stop of a unit whose start was aborted; systemd's own stop timeout is shorter.
const abortLimit = 5 * time.Minute

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
