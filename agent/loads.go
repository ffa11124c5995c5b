package agent

import (
	"time"

	"github.com/tierd/tierd/agent/api"
)

// loadKey is under what a unit's load is remembered: a definition that differs in anything may load differently.
func loadKey(unit, hash string) string { return "load " + unit + " " + hash }

// loaded takes in how long a load took, and tells whether that is news: a tenth more or less is none. The page cache makes
// loads of the same unit differ by a lot, so each one counts for half.
func (m *measured) loaded(key string, took time.Duration, now time.Time) bool {
	old, known := m.peaks[key]
	figure := took.Seconds()
	if known {
		figure = (old.Load + figure) / 2
	}
	m.peaks[key] = peak{Load: figure, Seen: now}
	m.forget()
	return !known || figure > old.Load*1.1 || figure < old.Load*0.9
}

// load is how long a load is expected to take, 0 when none was seen.
func (m *measured) load(key string) time.Duration {
	return time.Duration(m.peaks[key].Load * float64(time.Second))
}

// noteLoad learns from a unit that became ready how long it took since it was let in.
func (a *Agent) noteLoad(unit string) {
	at := a.admitted[unit].at
	if at.IsZero() {
		return // by an earlier tierd
	}
	if a.measured.loaded(loadKey(unit, a.seen[unit].Hash), time.Since(at), time.Now()) {
		a.save()
	}
}

// readyBy is when a unit that is starting will be ready, as far as earlier loads tell; zero when they do not. changes is
// when that figure will be another one.
func (a *Agent) readyBy(unit string) (at, changes time.Time) {
	takes := a.measured.load(loadKey(unit, a.seen[unit].Hash))
	if a.states[unit].State != api.Starting || takes == 0 {
		return time.Time{}, time.Time{}
	}
	now := time.Now()
	for _, x := range a.line {
		if x.unit == unit {
			at = afterTheLine(x.since, takes, now)
			return at, at.Add(-takes)
		}
	}
	if a.states[unit].Reason != "" { // its process has ended, and systemd begins anew
		at = afterTheLine(a.seen[unit].Since, takes, now)
		return at, at.Add(-takes)
	}
	began := a.admitted[unit].at
	if began.IsZero() {
		began = a.seen[unit].Since
	}
	at = pushedOut(began, takes, now)
	return at, at
}

// comesBy is when a tier will be ready of which a change is about to start a unit, once what serves it now has ended; like
// readyBy.
func (a *Agent) comesBy(tier string) (at, changes time.Time) {
	for _, c := range a.changes {
		if c.Done() {
			continue
		}
		for i, t := range c.Tasks {
			due := t.State == "doing" || t.State == "todo" && !c.tasks[i].conditional()
			if !due || t.Tier != tier || c.tasks[i].op != opStart {
				continue
			}
			takes := a.measured.load(loadKey(t.Unit, a.unit(t.Unit).Hash))
			if state := a.states[t.Unit].State; takes > 0 && state != api.Starting && state != api.Ready {
				at = afterTheLine(c.Started, takes, time.Now())
				return at, at.Add(-takes)
			}
		}
	}
	return time.Time{}, time.Time{}
}

// pushedOut is the end of a load that began then and takes so long. Once that has passed it is put off by a quarter of the
// time that went by, again and again: the longer a load is overdue, the less is known of its end.
func pushedOut(began time.Time, takes time.Duration, now time.Time) time.Time {
	at := began.Add(takes)
	for !at.After(now) {
		at = at.Add(max(at.Sub(began)/4, time.Second))
	}
	return at
}

// afterTheLine is the earliest end of a load that waits to begin: a whole load is left, whatever time went by. It moves on
// in steps, so that the gateway's table does not change all the time.
func afterTheLine(since time.Time, takes time.Duration, now time.Time) time.Time {
	step := max(takes/4, time.Second)
	return since.Add(now.Sub(since)/step*step + step).Add(takes)
}

// forecast says when the next figure of a load that is under way will be another one.
func (a *Agent) forecast() (next time.Time) {
	for unit, v := range a.states {
		if v.State == api.Starting {
			_, changes := a.readyBy(unit)
			next = sooner(next, changes)
		}
	}
	for _, c := range a.changes {
		if c.Done() {
			continue
		}
		for _, tier := range c.Tiers {
			_, changes := a.comesBy(tier)
			next = sooner(next, changes)
		}
	}
	return next
}
