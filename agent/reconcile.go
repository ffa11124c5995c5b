package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tierd/tierd/units"
)

// verb is what reconciling may do to a unit. None of them starts or stops a process.
type verb string

const (
	define  verb = "define"  // load it, or load it anew; it does not run
	adopt   verb = "adopt"   // hold a reference to what is loaded already
	release verb = "release" // let systemd forget it; it does not run
	limit   verb = "limit"   // set what it may take at its next start; it has failed
)

// step is one thing to do to one unit.
type step struct {
	verb verb
	unit string
	def  units.Unit // for define and limit
}

// key is what makes a step the same as an earlier one.
func (s step) key() string {
	return fmt.Sprintf("%s %s %d %d", s.verb, s.def.Hash, s.def.Memory, s.def.MemoryMax())
}

// steps says what makes the loaded units those of the plan. Without a plan (tiers.toml could not be used since tierd
// began) everything that is there is kept.
func steps(plan *units.Plan, seen map[string]UnitStatus) []step {
	var list []step
	add := func(v verb, u units.Unit) { list = append(list, step{v, u.Name, u}) }
	planned := map[string]bool{}
	if plan != nil {
		for _, u := range plan.Units {
			planned[u.Name] = true
			if v := stepOf(u, seen[u.Name]); v != "" {
				add(v, u)
			}
		}
	}
	var others []string
	for name, s := range seen {
		if !planned[name] && s.Tier != "" {
			others = append(others, name)
		}
	}
	slices.Sort(others)
	for _, name := range others {
		switch s := seen[name]; {
		case !s.Held && (plan == nil || running(s)):
			add(adopt, units.Unit{Name: name})
		case plan != nil && !running(s):
			add(release, units.Unit{Name: name})
		}
	}
	return list
}

// stepOf is what a planned unit needs, "" for nothing.
func stepOf(u units.Unit, s UnitStatus) verb {
	loaded := s.LoadState == "loaded"
	switch {
	case running(s) && s.Held, running(s) && s.Tier == "":
		return "" // changed configuration waits for a stop; a stranger's unit of that name is none of ours
	case running(s):
		return adopt
	case s.Masked && s.Held:
		return release // so that `systemctl start` says that it is masked
	case s.Masked || s.LoadState == "masked":
		return ""
	case !loaded || s.Hash != u.Hash:
		return define
	case !s.Held:
		return adopt // a failed unit keeps its reason that way
	case s.Memory != u.Memory && s.ActiveState != "failed":
		return define // with the figure that was learned
	case outgrown(u, s):
		return limit
	}
	return ""
}

// outgrown tells that a unit is loaded with another limit than it is to have: it broke the one that it had, and what it takes
// was learned from that. To define it anew would forget that it failed, and why. A limit of the administrator's stays.
func outgrown(u units.Unit, s UnitStatus) bool {
	return u.MemoryMax() > 0 && s.MemoryMax != u.MemoryMax() && len(s.DropIns) == 0
}

// running tells whether a unit has processes, or waits to be started again by systemd. Such a unit is never defined.
func running(s UnitStatus) bool {
	switch s.ActiveState {
	case "active", "reloading", "refreshing", "activating", "deactivating", "maintenance":
		return true
	}
	return s.SubState == "failed-before-auto-restart"
}

// converge starts what reconciling needs, one batch at a time, in a goroutine. It leaves tiers alone that a change works
// on, and does not repeat a step that was tried since everything was last read again: it failed, or had no effect.
func (a *Agent) converge() {
	if a.stepping || !a.configured || a.observations == 0 || a.systemdErr != nil || a.ctx.Err() != nil {
		return
	}
	list := steps(a.plan, a.seen)
	for unit := range a.problems {
		if !slices.ContainsFunc(list, func(s step) bool { return s.unit == unit }) {
			delete(a.problems, unit)
		}
	}
	list = slices.DeleteFunc(list, func(s step) bool {
		return a.locks[s.unit] || a.tried[s.unit] == s.key() || a.conflict(a.tierOf(s.unit)) != nil
	})
	if len(list) == 0 {
		return
	}
	a.stepping = true
	for _, s := range list {
		a.locks[s.unit] = true
	}
	a.spawn(func(ctx context.Context) {
		results := make([]error, len(list))
		for i, s := range list {
			results[i] = a.take(ctx, s)
		}
		a.post(func() { a.stepped(list, results) })
	})
}

func (a *Agent) take(ctx context.Context, s step) error {
	switch s.verb {
	case define:
		return a.opts.Systemd.Define(ctx, s.def)
	case adopt:
		return a.opts.Systemd.Adopt(ctx, s.unit)
	case limit:
		return a.opts.Systemd.Set(ctx, s.unit, []units.Property{{Name: "MemoryMax", Value: uint64(s.def.MemoryMax())}})
	}
	return a.opts.Systemd.Release(ctx, s.unit)
}

// stepped notes what a batch of steps came to.
func (a *Agent) stepped(list []step, results []error) {
	a.stepping = false
	for i, s := range list {
		a.unlock(s.unit)
		err := results[i]
		switch {
		case err == nil:
			a.tried[s.unit] = s.key()
			delete(a.problems, s.unit)
			continue
		case errors.Is(err, ErrRunning), errors.Is(err, ErrDisconnected), errors.Is(err, context.Canceled):
			continue // what is true now is read below
		}
		text := fmt.Sprintf("cannot %s %s: %v", s.verb, s.unit, err)
		if a.problems[s.unit] != text { // tried again every minute, told once
			a.opts.Log.Error("cannot "+string(s.verb)+" a unit", "unit", s.unit, "err", err)
		}
		a.tried[s.unit], a.problems[s.unit] = s.key(), text
	}
	a.observe(ReadAll)
}

// lock keeps reconciling away from a unit while a change works on it, and waits for a step that is at it.
func (a *Agent) lock(ctx context.Context, unit string) error {
	for {
		var freed chan struct{}
		got, err := inLoop(ctx, a, func() (bool, error) {
			freed = a.freed
			if a.locks[unit] {
				return false, nil
			}
			a.locks[unit] = true
			return true, nil
		})
		if err != nil || got {
			return err
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return ctx.Err()
		case <-a.ended:
			return errEnded
		}
	}
}

// unlock is called in the loop.
func (a *Agent) unlock(unit string) {
	delete(a.locks, unit)
	close(a.freed)
	a.freed = make(chan struct{})
}
