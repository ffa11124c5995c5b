package agent

import (
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

func TestTurnsBetweenTwoReadings(t *testing.T) {
	at := func(active, sub string, restarts int, invocation string) UnitStatus {
		return UnitStatus{ActiveState: active, SubState: sub, Restarts: restarts, Invocation: invocation}
	}
	down, loads, runs := at("inactive", "dead", 0, ""), at("activating", "start", 0, "a"), at("active", "running", 0, "a")
	for _, c := range []struct {
		rule    string
		was, is UnitStatus
		want    turns
	}{
		{"nothing", runs, runs, turns{}},
		{"a unit that is defined", UnitStatus{}, down, turns{}},
		{"a start", down, loads, turns{started: true}},
		{"loading and serving are one process", loads, runs, turns{}},
		{"a start that is ready at once", down, runs, turns{started: true}},
		{"stopping is not the end", runs, at("deactivating", "stop-sigterm", 0, "a"), turns{}},
		{"the end", at("deactivating", "stop-sigterm", 0, "a"), at("inactive", "dead", 0, "a"), turns{ended: true}},
		{"a failure", runs, at("failed", "failed", 0, "a"), turns{ended: true}},
		{"a failure that is forgotten", at("failed", "failed", 2, "a"), at("inactive", "dead", 0, "a"), turns{}},
		{"a start that failed between two readings", down, at("failed", "failed", 0, "a"), turns{started: true, ended: true}},
		{"a crash that systemd mends later", runs, at("activating", "auto-restart", 0, "a"), turns{ended: true}},
		{"and does", at("activating", "auto-restart", 0, "a"), at("activating", "start", 1, "b"), turns{restarts: 1}},
		{"or is stopped meanwhile", at("activating", "auto-restart", 0, "a"), at("inactive", "dead", 0, "a"), turns{}},
		{"a restart that waits for its turn", at("activating", "auto-restart", 0, "a"), at("activating", "auto-restart-queued", 1, "a"), turns{}},
		{"and then begins", at("activating", "auto-restart-queued", 1, "a"), at("activating", "start", 1, "b"), turns{restarts: 1}},
		{"a crash and its restart between two readings", runs, at("activating", "start", 1, "b"), turns{restarts: 1, missed: 1}},
		{"three of them", runs, at("active", "running", 3, "d"), turns{restarts: 3, missed: 3}},
		{"the last of three is not mended", runs, at("failed", "failed", 2, "c"), turns{restarts: 2, missed: 2, ended: true}},
		{"systemctl restart between two readings", runs, at("active", "running", 0, "b"), turns{stopped: true, started: true}},
		{"the same after restarts", at("active", "running", 3, "a"), at("activating", "start", 0, "b"), turns{stopped: true, started: true}},
		{"an end together with the reset of its count", at("active", "running", 3, "a"), at("inactive", "dead", 0, "a"), turns{ended: true}},
		{"a unit that is gone has ended", runs, UnitStatus{}, turns{ended: true}},
	} {
		if got := lifeOf(c.is).since(lifeOf(c.was)); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.rule, got, c.want)
		}
	}
}

// Whatever readings are left out, what began and did not end is there, and with every reading nothing is missed.
func TestCountsAddUpWhateverIsRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := UnitStatus{ActiveState: "inactive", SubState: "dead"}
		was := lifeOf(s)
		begun, ended, invocations := 0, 0, 0
		start := func(restarts int) {
			invocations++
			s = UnitStatus{ActiveState: "activating", SubState: "start", Restarts: restarts, Invocation: strconv.Itoa(invocations)}
			begun++
		}
		sawAll := true
		counted := turns{}
		starts, stops := 0, 0
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			switch alive := running(s) && s.SubState != "auto-restart"; {
			case alive && rapid.Bool().Draw(t, "crashes"):
				s.ActiveState, s.SubState = "activating", "auto-restart"
				ended++
			case alive && rapid.Bool().Draw(t, "is stopped"):
				s.ActiveState, s.SubState = "inactive", "dead"
				ended++
			case alive:
				s.ActiveState, s.SubState = "active", "running"
			case s.SubState == "auto-restart":
				start(s.Restarts + 1)
			default:
				start(0)
			}
			if !rapid.Bool().Draw(t, "is read") {
				sawAll = false
				continue
			}
			is := lifeOf(s)
			counted = is.since(was)
			was = is
			starts += counted.restarts
			stops += counted.missed
			for _, began := range []bool{counted.started} {
				if began {
					starts++
				}
			}
			for _, over := range []bool{counted.stopped, counted.ended} {
				if over {
					stops++
				}
			}
			alive := 0
			if is.begun > is.ended && is.up {
				alive = 1
			}
			if starts-stops != alive {
				t.Fatalf("%d began and %d ended, and %d is there: %+v", starts, stops, alive, s)
			}
			if sawAll && (starts != begun || stops != ended || counted.missed > 0) {
				t.Fatalf("counted %d and %d of %d and %d, %+v", starts, stops, begun, ended, counted)
			}
		}
	})
}
