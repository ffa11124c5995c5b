package agent

import "time"

// alarm wakes the loop when time alone changes something: a tier has been idle for long enough, a load takes longer than it
// did before. With nothing of that due it is silent.
type alarm struct {
	timer *time.Timer
	at    time.Time // zero: it is off
}

func newAlarm() alarm {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return alarm{timer: t}
}

// set has the alarm go off at a time; the zero one turns it off.
func (a *alarm) set(at time.Time) {
	switch {
	case at.Equal(a.at):
		return
	case at.IsZero():
		a.timer.Stop()
	default:
		a.timer.Reset(time.Until(at))
	}
	a.at = at
}

// sooner is the first of two times, of which the zero one is never.
func sooner(x, y time.Time) time.Time {
	if x.IsZero() || !y.IsZero() && y.Before(x) {
		return y
	}
	return x
}
