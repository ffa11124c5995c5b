package agent

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

func TestNext(t *testing.T) {
	drained := &drain{over: true}
	for _, c := range []struct {
		rule   string
		was    api.State
		facts  facts
		state  api.State
		reason string
		class  string
	}{
		{rule: "a unit that is not loaded is stopped", state: api.Stopped},
		{rule: "inactive is stopped", facts: facts{seen: UnitStatus{ActiveState: "inactive", Result: "success"}}, state: api.Stopped},
		{rule: "activating is starting", facts: facts{seen: UnitStatus{ActiveState: "activating", SubState: "start"}}, state: api.Starting},
		{rule: "waiting for systemd to start it again is starting, with the reason of the end",
			facts: facts{seen: UnitStatus{ActiveState: "activating", SubState: "auto-restart", Result: "exit-code", ExecCode: cldExited, ExecStatus: 69, StatusText: "the GPU was reset"}},
			state: api.Starting, reason: "the GPU was reset", class: api.ClassDeviceLost},
		{rule: "the flicker before systemd starts it again is no failure",
			facts: facts{seen: UnitStatus{ActiveState: "failed", SubState: "failed-before-auto-restart", Result: "exit-code", ExecCode: cldExited, ExecStatus: 70}},
			state: api.Starting, reason: "starts it again", class: api.ClassEngineDied},
		{rule: "active is ready", facts: facts{seen: UnitStatus{ActiveState: "active"}}, state: api.Ready},
		{rule: "reloading is ready", facts: facts{seen: UnitStatus{ActiveState: "reloading"}}, state: api.Ready},
		{rule: "a unit whose shim asked to drain drains before systemd's signal is here",
			facts: facts{seen: UnitStatus{ActiveState: "active"}, drain: &drain{}}, state: api.Draining},
		{rule: "after the drain it is stopping", facts: facts{seen: UnitStatus{ActiveState: "deactivating"}, drain: drained}, was: api.Draining, state: api.Stopping},
		{rule: "a unit that was ready drains before its shim asked, lest the gateway cuts its requests",
			was: api.Ready, facts: facts{seen: UnitStatus{ActiveState: "deactivating"}}, state: api.Draining},
		{rule: "a unit that was loading has nothing to drain", was: api.Starting,
			facts: facts{seen: UnitStatus{ActiveState: "deactivating"}}, state: api.Stopping},
		{rule: "one that a new tierd finds on its way out may have requests in flight",
			facts: facts{seen: UnitStatus{ActiveState: "deactivating"}}, state: api.Draining},
		{rule: "failed is failed, in the shim's words",
			facts: facts{seen: UnitStatus{ActiveState: "failed", SubState: "failed", Result: "exit-code", ExecCode: cldExited, ExecStatus: 66, StatusText: "model.gguf is broken"}},
			state: api.Failed, reason: "model.gguf is broken", class: api.ClassModel},
		{rule: "one that the guard killed is stopped, since it gave way",
			facts: facts{seen: UnitStatus{ActiveState: "failed", SubState: "failed", Result: "signal", ExecCode: cldKilled, ExecStatus: 9}, pressed: true, gave: "gave way"},
			state: api.Stopped, reason: "gave way"},
		{rule: "and is starting as long as systemd is about to start it again",
			facts: facts{seen: UnitStatus{ActiveState: "failed", SubState: "failed-before-auto-restart", Result: "signal", ExecCode: cldKilled, ExecStatus: 9}, pressed: true, gave: "gave way"},
			state: api.Starting, reason: "starts it again", class: api.ClassKilled},
		{rule: "a masked unit is blocked, even with a failure before", facts: facts{seen: UnitStatus{Name: "tier-x.service", Masked: true, ActiveState: "failed"}},
			state: api.Blocked, reason: "tier-x.service is masked by the administrator; `systemctl unmask tier-x.service`", class: api.ClassConfiguration},
		{rule: "a masked unit that runs is ready", facts: facts{seen: UnitStatus{Masked: true, ActiveState: "active"}}, state: api.Ready},
		{rule: "a missing model blocks", facts: facts{unit: units.Unit{Name: "u", Blocked: "no such model", BlockClass: "model"}}, state: api.Blocked, reason: "no such model", class: api.ClassModel},
		{rule: "what could not be defined is blocked", facts: facts{problem: "a file is in the way"}, state: api.Blocked, reason: "a file is in the way", class: api.ClassConfiguration},
	} {
		t.Run(c.rule, func(t *testing.T) {
			v := next(c.was, c.facts)
			if v.State != c.state || !strings.Contains(v.Reason, c.reason) || v.Class != c.class || c.reason == "" && v.Reason != "" {
				t.Errorf("got %+v, want %s, %q, %q", v, c.state, c.reason, c.class)
			}
		})
	}
}

func TestClass(t *testing.T) {
	for _, c := range []struct {
		rule   string
		seen   UnitStatus
		class  string
		reason string
	}{
		{"75 is a refusal", UnitStatus{Result: "exit-code", ExecCode: 1, ExecStatus: 75, StatusText: "does not fit"}, api.ClassRefused, "does not fit"},
		{"78 is configuration", UnitStatus{Result: "exit-code", ExecCode: 1, ExecStatus: 78}, api.ClassConfiguration, "status 78"},
		{"73 is the socket", UnitStatus{Result: "exit-code", ExecCode: 1, ExecStatus: 73}, api.ClassPort, "status 73"},
		{"71 is the budget", UnitStatus{Result: "exit-code", ExecCode: 1, ExecStatus: 71}, api.ClassBudget, "status 71"},
		{"74 is a timeout", UnitStatus{Result: "exit-code", ExecCode: 1, ExecStatus: 74}, api.ClassTimeout, "status 74"},
		{"137 is a kill", UnitStatus{Result: "exit-code", ExecCode: 1, ExecStatus: 137}, api.ClassKilled, "status 137"},
		{"203 is systemd's, whatever the status text of before says", UnitStatus{Name: "tier-x.service", Result: "exit-code", ExecCode: 1, ExecStatus: 203, StatusText: "Serving"}, api.ClassConfiguration, "systemd.exec(5)"},
		{"any other status is the engine's", UnitStatus{Result: "exit-code", ExecCode: 1, ExecStatus: 1}, api.ClassEngineDied, "status 1"},
		{"a signal is a kill", UnitStatus{Result: "signal", ExecCode: 2, ExecStatus: 9, StatusText: "Serving"}, api.ClassKilled, "killed by signal 9; its last status was: Serving"},
		{"the OOM killer is a kill", UnitStatus{Result: "oom-kill"}, api.ClassKilled, "lack of memory"},
		{"systemd's timeout", UnitStatus{Result: "timeout", StatusText: "Loading 3 %"}, api.ClassTimeout, "in time; its last status was: Loading 3 %"},
		{"the watchdog", UnitStatus{Result: "watchdog"}, api.ClassTimeout, "watchdog"},
		{"an end before READY", UnitStatus{Result: "protocol"}, api.ClassEngineDied, "before it was ready"},
		{"resources", UnitStatus{Result: "resources"}, api.ClassConfiguration, "resources"},
		{"the limit of starts hides the result, not the status", UnitStatus{Result: "start-limit-hit", ExecCode: 1, ExecStatus: 69, StatusText: "the GPU was reset"}, api.ClassDeviceLost, "the GPU was reset"},
		{"the limit of starts after a kill", UnitStatus{Result: "start-limit-hit", ExecCode: 3, ExecStatus: 11}, api.ClassKilled, "signal 11"},
		{"an unknown result is told", UnitStatus{Result: "new-in-300"}, api.ClassEngineDied, "new-in-300"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			if got := class(c.seen); got != c.class {
				t.Errorf("class %q, want %q", got, c.class)
			}
			if got := endReason(c.seen); !strings.Contains(got, c.reason) {
				t.Errorf("reason %q, want %q in it", got, c.reason)
			}
		})
	}
}

var (
	anyActive = rapid.SampledFrom([]string{"", "active", "reloading", "activating", "deactivating", "inactive", "failed", "maintenance", "new-in-300"})
	anySub    = rapid.SampledFrom([]string{"dead", "running", "auto-restart", "failed", "failed-before-auto-restart", "stop-sigterm"})
	anyResult = rapid.SampledFrom([]string{"success", "exit-code", "signal", "timeout", "start-limit-hit", "new-in-300"})
)

func anyStatus(t *rapid.T, name string) UnitStatus {
	s := UnitStatus{
		Name: name, LoadState: rapid.SampledFrom([]string{"loaded", "masked", "not-found"}).Draw(t, "load"),
		ActiveState: anyActive.Draw(t, "active"), SubState: anySub.Draw(t, "sub"), Result: anyResult.Draw(t, "result"),
		ExecStatus: rapid.IntRange(0, 255).Draw(t, "status"), ExecCode: rapid.IntRange(0, 3).Draw(t, "code"),
		Held: rapid.Bool().Draw(t, "held"), Masked: rapid.Bool().Draw(t, "masked"), Hash: rapid.SampledFrom([]string{"", "1", "2"}).Draw(t, "hash"),
	}
	if s.Hash != "" {
		s.Tier = "t"
	}
	return s
}

func TestAStateThatIsNoSuccessHasAReason(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := next(api.Stopped, facts{seen: anyStatus(t, "tier-t.service")})
		if (v.State == api.Failed || v.State == api.Blocked) && (v.Reason == "" || v.Class == "") {
			t.Fatalf("no reason or class: %+v", v)
		}
	})
}
