package agent

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

// hearGuard takes in a line from the guard.
func (a *Agent) hearGuard(link *guardLink, w api.GuardWord) {
	if a.guard.link != link || a.ctx.Err() != nil {
		return
	}
	switch {
	case w.Event != nil:
		a.hearEvent(*w.Event)
	case w.State != nil:
		a.hearState(*w.State)
		a.answerGuard("state", w)
	default:
		a.answerGuard("trace", w)
	}
}

func (a *Agent) answerGuard(what string, w api.GuardWord) {
	for _, waits := range a.guard.waiting[what] {
		waits <- w
	}
	delete(a.guard.waiting, what)
}

// hearState notes how the guard is. The first state after it came says whether tiers may load, unless an event did already: a
// tierd that was away has not heard of it.
func (a *Agent) hearState(s api.GuardState) {
	g := &a.guard
	g.state = &s
	if g.said {
		return
	}
	g.said = true
	short := ""
	if s.Level != "" && s.Level != "calm" && !s.DryRun {
		short = fmt.Sprintf("memory is short: %s are available, and no tier loads below %s", units.Bytes(s.Available), units.Bytes(s.Refuse))
	}
	a.setShort(short)
}

// hearEvent acts on what the guard did or found, and tells everybody.
func (a *Agent) hearEvent(e api.GuardEvent) {
	g := &a.guard
	if g.recent = append(g.recent, e); len(g.recent) > keepWords {
		g.recent = append([]api.GuardEvent(nil), g.recent[len(g.recent)-keepWords:]...)
	}
	level := slog.LevelInfo
	switch e.Kind {
	case "ask", "stop", "kill", "not-returned", "alarm", "disarmed":
		level = slog.LevelWarn
	}
	text := e.Told()
	a.opts.Log.Log(a.ctx, level, "tier-guard: "+text, "kind", e.Kind, "tier", e.Tier, "unit", e.Unit, "available", e.Available, "dry_run", e.DryRun)
	a.events.add(api.Event{Kind: "guard", Tier: e.Tier, Unit: e.Unit, Text: text})
	if e.Kind == "armed" || e.Kind == "disarmed" {
		if g.state == nil {
			g.state = &api.GuardState{}
		}
		if g.state.Armed = e.Kind == "armed"; !g.state.Armed {
			g.state.Why = e.Text
		}
	}
	if e.DryRun {
		return
	}
	g.actions[e.Kind]++
	switch e.Kind {
	case "refuse":
		g.said = true
		a.setShort("memory is short: " + strings.TrimPrefix(e.Text, "no tier may load: "))
	case "allow":
		g.said = true
		a.setShort("")
	case "ask", "stop", "kill":
		a.pressed(e)
	}
}

// setShort notes whether tiers may load, and has those that wait judged again.
func (a *Agent) setShort(words string) {
	if words != a.guard.short {
		a.guard.short = words
		a.judge()
	}
}

// pressureError is why the start of a unit ends that the guard has given up.
type pressureError struct{ words string }

func (e *pressureError) Error() string { return "given up: memory pressure: " + e.words }

// pressureEnd is that as the error of what asked for the start.
func pressureEnd(t *task, e *pressureError) *api.Error {
	return &api.Error{Kind: api.KindBudget, Class: api.ClassPressure, Message: fmt.Sprintf("%s: %v", t.summary(), e),
		Hint: "`tierctl guard` shows what is short, and who holds it"}
}

// pressed follows a signal of the guard's to a unit. One that is asked ends by itself, after its requests: its shim takes a second
// word of systemd's for an order to cut them. One that is stopped or killed is stopped by systemd too, since Restart= would have
// it back.
func (a *Agent) pressed(e api.GuardEvent) {
	unit, g := e.Unit, &a.guard
	tier := a.tierOf(unit)
	switch {
	case tier == "":
		return
	case a.admitted[unit].at.After(e.Time) && a.seen[unit].Restarts == 0:
		return // somebody has started it since: this is late news of its life before
	case a.toStop(unit) && !g.pressed[unit]:
		return // it was about to go for another reason, which holds
	}
	words := reasonOf(e)
	if !g.pressed[unit] {
		g.pressed[unit] = true
		a.counts.orders[unit] = order{op: opStop, why: api.WhyPressure}
		a.giveUp(unit, words)
		a.rest(tier, unit, words)
	}
	if e.Kind == "ask" {
		return
	}
	a.stopPressed(unit)
}

// toStop tells whether a stop of a unit is at work.
func (a *Agent) toStop(unit string) bool {
	for _, t := range a.tasksOf(a.tierOf(unit)) {
		if t.op == opStop && t.unit == unit && len(t.needs)+len(t.after)+len(t.rescue) == 0 {
			return true
		}
	}
	return false
}

// reasonOf is the guard's sentence without the words about the tier that tierd has its own for: of "coder gives way at once: 1.9 GiB
// available" what follows the colon.
func reasonOf(e api.GuardEvent) string {
	text := strings.TrimPrefix(e.Text, pressureWords)
	if head, tail, found := strings.Cut(text, ": "); found && strings.HasPrefix(head, e.Tier+" ") {
		text = tail
	}
	return strings.TrimSuffix(text, ".")
}

// giveUp ends what starts a unit.
func (a *Agent) giveUp(unit, words string) {
	if a.states[unit].State == api.Ready {
		return // a start of it is about to end well
	}
	for _, t := range a.tasksOf(a.tierOf(unit)) {
		if t.op == opStart && t.unit == unit && len(t.rescue) == 0 {
			t.cancel(&pressureError{words})
		}
	}
}

// stopPressed has systemd stop a unit, and forget that its end was a failure.
func (a *Agent) stopPressed(unit string) {
	tier := a.tierOf(unit)
	if a.toStop(unit) {
		return
	}
	var before []*task
	for _, t := range a.tasksOf(tier) {
		if t.unit == unit && t.ctx.Err() != nil {
			before = append(before, t)
		}
	}
	a.begin("pressure", "stop "+unit+" under memory pressure", "pressure "+unit, []string{tier}, []job{{op: opStop, tier: tier, unit: unit}}, before)
}

// pressureStopped notes the end of such a stop. One that failed is tried again, but not at once.
func (a *Agent) pressureStopped(c *change) {
	if c.Err != nil {
		a.guard.stopAgain = time.Now().Add(listRetry)
	}
}

// settlePressed stops what has failed, or is about to be started again, after the guard had told it to go. A start that was about
// to end well by then waits for nothing else than that restart. One that was ordered since has ended the rest, and stays.
func (a *Agent) settlePressed() {
	if a.systemdErr != nil || a.observations == 0 || a.ctx.Err() != nil {
		return
	}
	for unit := range a.guard.pressed {
		s := a.seen[unit]
		if s.ActiveState != "failed" && !strings.HasPrefix(s.SubState, "auto-restart") {
			continue
		}
		if tier := a.tierOf(unit); a.rests(tier) {
			a.giveUp(unit, a.guard.rests[tier].Text)
		}
		if !a.locks[unit] && !time.Now().Before(a.guard.stopAgain) && a.conflict(a.tierOf(unit)) == nil {
			a.stopPressed(unit)
		}
	}
}
