package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// errRetries says that systemd is about to start a unit again that did not come up.
var errRetries = errors.New("systemd would start it again")

// startBeside starts a unit while its sibling serves. It is given up at its first end: systemd would start it again in a
// transaction of its own, and with Conflicts= that ends the one that serves (seen on systemd 262, RestartUSec= after the end).
func (a *Agent) startBeside(t *task, s standing) *api.Error {
	a.post(func() { a.beside[t.unit] = true })
	defer a.post(func() { delete(a.beside, t.unit) })
	ctx, cancel := context.WithCancelCause(t.ctx)
	defer cancel(nil)
	failed := make(chan verdict, 1)
	go func() {
		defer close(failed)
		var v verdict
		if a.await(ctx, func() bool { return a.retries(t.unit, &v) }) == nil {
			failed <- v
			cancel(errRetries)
		}
	}()
	err := a.prepare(ctx, s)
	if err == nil {
		err = a.opts.Systemd.StartBeside(ctx, t.unit)
	}
	cancel(nil)
	v, again := <-failed
	if !again || t.ctx.Err() != nil {
		return a.cameTo(t, err)
	}
	if err := a.withdraw(t); err != nil {
		return &api.Error{Kind: api.KindUnit, Message: fmt.Sprintf("cannot stop %s, which did not come up: %v", t.unit, err)}
	}
	return a.unitError(t, v)
}

// retries tells whether a unit has ended and waits to be started again, and why it ended.
func (a *Agent) retries(unit string, v *verdict) bool {
	s := a.seen[unit]
	if a.systemdErr != nil || a.states[unit].State != api.Starting || a.states[unit].Reason == "" {
		return false
	}
	*v = verdict{State: api.Failed, Reason: endReason(s), Class: class(s)}
	return true
}

// comesBeside tells whether a unit that asks for admission comes up while another variant of its tier is up: a change
// starts it so, or a reading that began after it asked still shows the other one, which systemd would have ended first.
func (a *Agent) comesBeside(x *asker) bool {
	return a.beside[x.unit] || a.sibling(x.unit) != "" && a.observations > x.asked
}

// unsureOf is a sibling that may or may not have ended when a unit asked: no reading is as young as that.
func (a *Agent) unsureOf(x *asker) string {
	if a.beside[x.unit] || a.observations > x.asked {
		return ""
	}
	if name := a.sibling(x.unit); name != "" {
		a.observe(ReadChanged)
		return name
	}
	return ""
}

// sibling is another variant of a unit's tier that is up and not on its way out, as far as is known.
func (a *Agent) sibling(unit string) string {
	for _, r := range a.runningOf(a.tierOf(unit)) {
		if r.unit != unit && stays(r) {
			return r.unit
		}
	}
	return ""
}

func stays(r runningUnit) bool { return r.state == api.Ready || r.state == api.Starting }

// noRoom tells whether a start was refused by admission. One that the guard gave up is no reason to end what serves, too.
func noRoom(err *api.Error) bool {
	return err != nil && err.Kind == api.KindBudget && err.Class != api.ClassPressure
}

// twin is a tier of which two variants are up although no change is at work on it.
type twin struct {
	from  uint64    // observations begun when that was first seen
	tried time.Time // when it was last settled; zero: not yet
}

// settleTwins ends what must not last: a tierd that ended in the middle of a switch leaves two variants up. The wish that was
// last expressed holds: one that still loads may finish, and then the other goes; of two that are ready the younger one stays.
func (a *Agent) settleTwins() {
	if !a.configured || a.systemdErr != nil || a.observations == 0 || a.ctx.Err() != nil {
		return
	}
	for _, tier := range a.tierNames() {
		both := slices.DeleteFunc(a.runningOf(tier), func(r runningUnit) bool { return !stays(r) })
		known, is := a.twins[tier]
		switch {
		case len(both) < 2:
			delete(a.twins, tier)
		case a.conflict(tier) != nil, is && !known.tried.IsZero() && time.Since(known.tried) < resync:
		case !is: // two units are read one after the other, so look again
			a.twins[tier] = twin{from: a.asked}
			a.observe(ReadAll)
		case a.observations > known.from:
			a.twins[tier] = twin{from: known.from, tried: time.Now()}
			a.settleTwin(tier, both)
		}
	}
}

func (a *Agent) settleTwin(tier string, both []runningUnit) {
	keep := both[0]
	for _, r := range both[1:] {
		if a.outranks(r.unit, keep.unit) {
			keep = r
		}
	}
	others := slices.DeleteFunc(slices.Clone(both), func(r runningUnit) bool { return r == keep })
	jobs := planDown(others)
	if a.wish(keep.unit) {
		jobs = []job{{op: opStart, tier: tier, unit: keep.unit, beside: others[0].unit, spare: true}}
		for _, r := range others {
			jobs = append(jobs, job{op: opStop, tier: tier, unit: r.unit, needs: []int{0}, firm: true})
		}
		jobs = append(jobs, wayBack(tier, others[0].unit, 0)...)
	}
	a.opts.Log.Warn("two variants of a tier are up, and only one may stay", "tier", tier, "stays", keep.unit)
	a.begin("switch", "settle "+tier+" on "+strings.TrimSuffix(keep.unit, ".service"), "settle "+tier, []string{tier}, jobs, nil)
}

// outranks tells whether a unit stays rather than another one.
func (a *Agent) outranks(unit, other string) bool {
	rank := func(name string) int {
		switch {
		case a.wish(name):
			return 2
		case a.states[name].State == api.Ready:
			return 1
		}
		return 0
	}
	if x, y := rank(unit), rank(other); x != y {
		return x > y
	}
	return a.seen[unit].Since.After(a.seen[other].Since)
}

// wish tells whether a unit is about to come up because somebody wanted it, and not because it ended by itself.
func (a *Agent) wish(unit string) bool {
	v := a.states[unit]
	return v.State == api.Starting && v.Reason == "" && a.unit(unit).Name != ""
}
