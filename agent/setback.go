package agent

import (
	"time"

	"github.com/tierd/tierd/agent/api"
)

// How long a tier whose load has failed is left alone by requests; doubled with each further failure, up to the last.
const (
	firstSetback = 5 * time.Second
	lastSetback  = 2 * time.Minute
)

// setback is the pause after the loads of a unit that failed.
type setback struct {
	pause time.Duration // the last one
	until time.Time
	err   *api.Error // why the last load failed
}

// again is the setback after one more failure. A refusal costs no load, and the room may be there a moment later: its pause
// does not grow.
func (s setback) again(err *api.Error, now time.Time) setback {
	switch {
	case err.Class == api.ClassRefused:
		s.pause = firstSetback
	default:
		s.pause = min(max(2*s.pause, firstSetback), lastSetback)
	}
	s.err, s.until = err, now.Add(s.pause)
	return s
}

// told is the failure for somebody who asks within the pause, nil after it.
func (s setback) told(now time.Time) *api.Error {
	left := s.until.Sub(now)
	if s.err == nil || left <= 0 {
		return nil
	}
	e := *s.err
	e.RetryAfter = left.Seconds()
	return &e
}

// setBack notes a load that failed by itself.
func (a *Agent) setBack(unit string, err *api.Error) {
	s := a.setbacks[unit].again(err, time.Now())
	a.setbacks[unit] = s
	a.opts.Log.Info("requests do not start it for a while", "tier", a.tierOf(unit), "unit", unit, "pause", s.pause)
}

// setbackOf is why requests do not start a unit just now, nil when they do.
func (a *Agent) setbackOf(unit string) *api.Error { return a.setbacks[unit].told(time.Now()) }

// withPause is an error of a start with the time after which requests may try it again.
func (a *Agent) withPause(err *api.Error, unit string) *api.Error {
	if err == nil {
		return nil
	}
	e := *err
	if s := a.setbackOf(unit); s != nil {
		e.RetryAfter = s.RetryAfter
	}
	return &e
}

// forgive lets a tier's units be tried at once: somebody has done something about it.
func (a *Agent) forgive(tiers ...string) {
	for unit := range a.setbacks {
		for _, tier := range tiers {
			if a.tierOf(unit) == tier {
				delete(a.setbacks, unit)
			}
		}
	}
}

// startEnded notes in the loop how a start came out.
func (a *Agent) startEnded(t *task) {
	if t.op != opStart || t.err == nil || t.halted || t.err.Class == api.ClassPressure { // the last has a rest of its own
		return
	}
	switch t.err.Kind {
	case api.KindUnit, api.KindConfig, api.KindBudget:
		a.setBack(t.unit, t.err)
	}
}
