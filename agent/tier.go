package agent

import (
	"fmt"
	"strings"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

// facts are all that the state of one unit is derived from.
type facts struct {
	unit    units.Unit // as planned; its Name is empty when it is not in tiers.toml
	seen    UnitStatus // as systemd has it; its Name is empty when it is not loaded
	problem string     // why it could not be defined, one sentence
	drain   *drain     // its shim was told to end and asked for its requests to finish
	gave    string     // that it gave way, and to which tier
	pressed bool       // tier-guard has told it to go
}

// verdict is a unit's state, and why.
type verdict struct {
	State  api.State
	Reason string
	Class  string
}

// next derives the state of a unit from the facts and from the state before. Only the end of a unit looks at the state
// before: a unit that was ready drains first, one that was loading has nothing in flight. A tierd that has just begun does not
// know which it was, and what is in flight must not be cut for that.
func next(was api.State, f facts) verdict {
	switch f.seen.ActiveState {
	case "active", "reloading", "refreshing":
		if f.drain != nil {
			return verdict{State: f.drain.state()}
		}
		return verdict{State: api.Ready}
	case "activating":
		v := verdict{State: api.Starting}
		if f.seen.SubState == "auto-restart" || f.seen.SubState == "auto-restart-queued" {
			v.Reason = "systemd starts it again after: " + endReason(f.seen)
			v.Class = class(f.seen)
		}
		return v
	case "deactivating":
		if f.drain != nil {
			return verdict{State: f.drain.state()}
		}
		if was == api.Ready || was == api.Draining || was == "" {
			return verdict{State: api.Draining}
		}
		return verdict{State: api.Stopping}
	}
	return ended(f)
}

// ended is the state of a unit that does not run.
func ended(f facts) verdict {
	switch {
	case f.seen.Masked || f.seen.LoadState == "masked":
		return verdict{State: api.Blocked, Reason: maskedReason(f.seen.Name), Class: api.ClassConfiguration}
	case f.unit.Blocked != "":
		return verdict{State: api.Blocked, Reason: f.unit.Blocked, Class: f.unit.BlockClass}
	case f.problem != "":
		return verdict{State: api.Blocked, Reason: f.problem, Class: api.ClassConfiguration}
	case f.pressed && f.seen.ActiveState == "failed" && f.seen.SubState != "failed-before-auto-restart": // by the guard's signal, and about to be cleared away
		return verdict{State: api.Stopped, Reason: f.gave}
	case f.seen.ActiveState == "failed" && f.seen.SubState != "failed-before-auto-restart":
		return verdict{State: api.Failed, Reason: endReason(f.seen), Class: class(f.seen)}
	case f.seen.ActiveState == "failed":
		return verdict{State: api.Starting, Reason: "systemd starts it again after: " + endReason(f.seen), Class: class(f.seen)}
	}
	return verdict{State: api.Stopped, Reason: f.gave}
}

// maskedReason is the sentence for a unit that its administrator masked, with the way back.
func maskedReason(unit string) string {
	return fmt.Sprintf("%s is masked by the administrator; `systemctl unmask %s` allows it again", unit, unit)
}

// up tells whether a unit in this state has processes, or will have without anybody asking again.
func up(s api.State) bool {
	return s == api.Starting || s == api.Ready || s == api.Draining || s == api.Stopping
}

// exitClasses says what the shim means by its exit statuses. The contract with cmd/tier-shim is this table and the one
// there.
var exitClasses = map[int]string{
	66: api.ClassModel,
	69: api.ClassDeviceLost,
	70: api.ClassEngineDied,
	71: api.ClassBudget,
	73: api.ClassPort,
	74: api.ClassTimeout,
	75: api.ClassRefused,
	78: api.ClassConfiguration,
}

// Values of ExecMainCode (CLD_* of sigaction(2)).
const (
	cldExited = 1
	cldKilled = 2
	cldDumped = 3
)

// class says what kind of end it was. "start-limit-hit" hides the cause in Result, so that the exit status decides then.
func class(s UnitStatus) string {
	switch s.Result {
	case "timeout", "watchdog":
		return api.ClassTimeout
	case "oom-kill", "signal", "core-dump":
		return api.ClassKilled
	case "resources", "exec-condition":
		return api.ClassConfiguration
	case "protocol":
		return api.ClassEngineDied
	}
	if s.ExecCode == cldKilled || s.ExecCode == cldDumped {
		return api.ClassKilled
	}
	if c, ok := exitClasses[s.ExecStatus]; ok {
		return c
	}
	switch {
	case s.ExecStatus >= 200 && s.ExecStatus <= 245: // systemd's own, systemd.exec(5) "Process Exit Codes"
		return api.ClassConfiguration
	case s.ExecStatus > 128 && s.ExecStatus < 128+65:
		return api.ClassKilled
	}
	return api.ClassEngineDied
}

// endReason is why a unit ended, in the shim's words where it had time for them, else in systemd's.
func endReason(s UnitStatus) string {
	systemd := systemdReason(s)
	if s.Result == "start-limit-hit" && s.ExecStatus == 0 { // the last words are of an end that was in order
		return fmt.Sprintf("it was started too often within a short time (StartLimitBurst=); `systemctl reset-failed %s` or a start by tierctl takes it up again", s.Name)
	}
	if s.Result == "exit-code" || s.Result == "start-limit-hit" {
		if text := strings.TrimSpace(s.StatusText); text != "" && (s.ExecStatus < 200 || s.ExecStatus > 245) {
			return text
		}
		return systemd
	}
	if text := strings.TrimSpace(s.StatusText); text != "" {
		return fmt.Sprintf("%s; its last status was: %s", systemd, text)
	}
	return systemd
}

func systemdReason(s UnitStatus) string {
	switch s.Result {
	case "timeout":
		return "it did not start or stop in time"
	case "watchdog":
		return "it stopped answering (watchdog)"
	case "oom-kill":
		return "the kernel killed it for lack of memory"
	case "resources":
		return "systemd could not set its resources up; see journalctl -u " + s.Name
	case "protocol":
		return "its main process ended before it was ready"
	}
	switch {
	case s.ExecCode == cldKilled || s.ExecCode == cldDumped:
		return fmt.Sprintf("its main process was killed by signal %d", s.ExecStatus)
	case s.ExecStatus >= 200 && s.ExecStatus <= 245:
		return fmt.Sprintf("systemd could not run it (status %d, see systemd.exec(5)); see journalctl -u %s", s.ExecStatus, s.Name)
	case s.ExecCode == cldExited:
		return fmt.Sprintf("its main process ended with status %d", s.ExecStatus)
	}
	return "systemd reports the result " + s.Result
}
