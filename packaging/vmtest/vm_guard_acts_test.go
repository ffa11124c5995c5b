//go:build vmtest

package vmtest

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// leastGrace is the shortest time that the guard leaves a victim between a signal and the next, harder one.
const leastGrace = 500 * time.Millisecond

// actsUnlike says what is wrong with what the guard did: "" where it is just what was wanted. A victim that was told to end, and
// does so too slowly on a busy machine, may be killed after its grace where only the first was wanted.
func actsUnlike(events []guardEvent, want []string) string {
	var did []string
	left, told := want, guardEvent{}
	wrong := false
	for _, e := range events {
		act := strings.TrimSpace(e.Kind + " " + e.Tier)
		did = append(did, act)
		switch {
		case len(left) > 0 && act == left[0]:
			left = left[1:]
		case e.Kind == "kill" && told.Kind == "stop" && e.Tier == told.Tier && e.Time.Sub(told.Time) >= leastGrace:
		default:
			wrong = true
		}
		told = e
	}
	if !wrong && len(left) == 0 {
		return ""
	}
	return "the guard did " + strings.Join(did, ", ") + "; and not " + strings.Join(want, ", ")
}

// acts wants the guard to have done just this since then.
func (g *guarded) acts(since time.Time, want ...string) {
	g.t.Helper()
	events := g.guard().about(since, "ask stop kill not-returned alarm")
	for _, e := range events {
		g.t.Logf("%s: %s", e.Kind, e.Text)
	}
	if wrong := actsUnlike(events, want); wrong != "" {
		g.t.Error(wrong)
	}
}

func TestOnlyASlowVictimMayBeKilledUnasked(t *testing.T) {
	at := func(ms int, kind, tier string) guardEvent {
		return guardEvent{Time: time.Time{}.Add(time.Duration(ms) * time.Millisecond), Kind: kind, Tier: tier}
	}
	for _, c := range []struct {
		name   string
		want   string
		events []guardEvent
		right  bool
	}{
		{"what was wanted", "stop a, kill a", []guardEvent{at(0, "stop", "a"), at(600, "kill", "a")}, true},
		{"nothing, where nothing was wanted", "", nil, true},
		{"a slow one is killed after its grace", "stop a", []guardEvent{at(0, "stop", "a"), at(500, "kill", "a")}, true},
		{"a slow one and then the next", "stop a, stop b", []guardEvent{at(0, "stop", "a"), at(500, "kill", "a"), at(900, "stop", "b")}, true},
		{"killed before its grace is over", "stop a", []guardEvent{at(0, "stop", "a"), at(499, "kill", "a")}, false},
		{"killed without being told", "stop a", []guardEvent{at(0, "kill", "a")}, false},
		{"another one is killed", "stop a", []guardEvent{at(0, "stop", "a"), at(600, "kill", "b")}, false},
		{"killed twice", "stop a", []guardEvent{at(0, "stop", "a"), at(600, "kill", "a"), at(1200, "kill", "a")}, false},
		{"a second one is told to go", "stop a", []guardEvent{at(0, "stop", "a"), at(600, "stop", "b")}, false},
		{"one that must be killed is not", "stop a, kill a", []guardEvent{at(0, "stop", "a")}, false},
		{"nothing, where something was wanted", "alarm", nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := slices.DeleteFunc(strings.Split(c.want, ", "), func(s string) bool { return s == "" })
			if wrong := actsUnlike(c.events, want); (wrong == "") != c.right {
				t.Errorf("it says %q", wrong)
			}
		})
	}
}
