package agent

import "strings"

// life is what counts of a unit at one moment: how many of its processes began and ended since somebody started it. Signals
// are hints and may be late, so that a reading may show the third process of a unit whose first was seen the last time:
// systemd's own count of restarts (NRestarts, zero with each start that is no restart) tells of those in between.
type life struct {
	up           bool // it has a process, or systemd will start it again
	begun, ended int
	invocation   string // systemd gives each start another one, restarts included
}

func lifeOf(s UnitStatus) life {
	l := life{up: running(s), begun: s.Restarts + 1, ended: s.Restarts + 1, invocation: s.Invocation}
	switch {
	case s.SubState == "auto-restart-queued": // counted as a restart already, and not begun
		l.begun, l.ended = s.Restarts, s.Restarts
	case strings.HasPrefix(s.SubState, "auto-restart"), s.SubState == "failed-before-auto-restart":
	case l.up:
		l.ended--
	}
	return l
}

// turns is what happened to a unit between two readings.
type turns struct {
	stopped  bool // its former process ended, and another one was started by somebody since
	started  bool // by somebody, and not by Restart=
	restarts int
	missed   int  // processes that ended without that their end was seen
	ended    bool // the last one has ended, and how is known
}

// since compares two readings.
func (l life) since(was life) turns {
	var t turns
	if was.up && !l.up && l.begun < was.begun { // its count was reset together with its failure
		l.begun, l.ended = was.begun, was.begun
	}
	anew := l.invocation != was.invocation && l.invocation != ""
	switch {
	case !was.up && !l.up && !anew:
		return t // it was defined, or a failure of it was forgotten
	case !was.up:
		was.begun, was.ended, t.started = 0, 0, true
	case l.begun < was.begun, l.begun == was.begun && l.ended <= was.ended && anew && was.invocation != "":
		t.stopped = was.begun > was.ended
		was.begun, was.ended, t.started = 0, 0, true
	}
	t.restarts = max(l.begun-was.begun, 0)
	if t.started && t.restarts > 0 {
		t.restarts--
	} else {
		t.started = false
	}
	t.missed = max(l.ended-was.ended, 0)
	if l.begun == l.ended && t.missed > 0 {
		t.missed--
		t.ended = true
	}
	return t
}
