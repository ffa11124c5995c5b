package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

const (
	// guardGrace is how long the guard may be away before somebody hears of it: it dials once a second, and starts with tierd.
	guardGrace = 10 * time.Second
	// guardAnswer is how long the guard may take to answer, and scrapeAnswer for one of many figures.
	guardAnswer  = 2 * time.Second
	scrapeAnswer = 500 * time.Millisecond
	// keepWords is how many of the guard's events are remembered for whoever asks.
	keepWords = 20
)

// guardState is what is known of tier-guard and of what it did. It belongs to the loop.
type guardState struct {
	link    *guardLink     // nil: it is not connected
	since   time.Time      // when it came, or went; zero: it never came
	table   api.GuardTable // as it was told last, or is about to be
	news    chan struct{}  // closed and replaced when there is something to tell it
	state   *api.GuardState
	waiting map[string][]chan api.GuardWord // by what it was asked: who waits for the answer
	recent  []api.GuardEvent
	actions map[string]uint64 // by kind

	short   string          // why nobody may load; "" when they may
	said    bool            // the one that is connected has said whether they may
	pressed map[string]bool // units that it has told to go, since they began
	// stopAgain is when one of those may be stopped again, after that has failed.
	stopAgain time.Time

	rests     map[string]rest // by tier
	restsFile keeper
	looking   bool      // at the memory, for a tier that may come back
	looked    time.Time // when that was last found out
	available units.Bytes
}

func newGuardState() guardState {
	return guardState{
		news: make(chan struct{}), waiting: map[string][]chan api.GuardWord{}, pressed: map[string]bool{}, rests: map[string]rest{},
		actions: map[string]uint64{},
	}
}

// wake has the connection look what there is to tell.
func (g *guardState) wake() {
	close(g.news)
	g.news = make(chan struct{})
}

// guardCame takes a new connection. An earlier one ends: there is one guard, and the old one may hang.
func (a *Agent) guardCame(link *guardLink) {
	g := &a.guard
	if g.link != nil {
		g.link.conn.Close()
	} else {
		a.opts.Log.Info("tier-guard is connected")
		a.events.add(api.Event{Kind: "guard", Text: "tier-guard is connected"})
	}
	g.link, g.since, g.state, g.said = link, time.Now(), nil, false
	link.asks = []string{"state"}
	for what := range g.waiting {
		if what != "state" {
			link.asks = append(link.asks, what)
		}
	}
	g.wake()
}

// guardWent notes the end of a connection.
func (a *Agent) guardWent(link *guardLink, err error) {
	g := &a.guard
	if g.link != link {
		return // another one has come since
	}
	g.link, g.since, g.state = nil, time.Now(), nil
	a.opts.Log.Warn("tier-guard is gone", "err", err)
	a.events.add(api.Event{Kind: "guard", Text: "tier-guard is gone"})
	if g.short != "" {
		a.spawn(func(ctx context.Context) {
			select {
			case <-time.After(guardGrace):
				a.post(a.forgetShortage)
			case <-ctx.Done():
			}
		})
	}
}

// forgetShortage lets tiers load again when the guard that said that they may not has been away for long: its word is old, and
// admission knows the memory itself.
func (a *Agent) forgetShortage() {
	if g := &a.guard; g.link == nil && g.short != "" && time.Since(g.since) >= guardGrace {
		a.opts.Log.Warn("tiers may load again: the guard that said that memory is short is gone")
		g.short = ""
		a.judge()
	}
}

// askGuard asks the guard and waits for its answer, which comes as the field of that name; ok is false when none came.
func (a *Agent) askGuard(ctx context.Context, what string, limit time.Duration) (w api.GuardWord, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	answer, err := inLoop(ctx, a, func() (chan api.GuardWord, error) {
		g := &a.guard
		if g.link == nil {
			return nil, nil
		}
		answer := make(chan api.GuardWord, 1)
		if len(g.waiting[what]) == 0 {
			g.link.asks = append(g.link.asks, what)
			g.wake()
		}
		g.waiting[what] = append(g.waiting[what], answer)
		return answer, nil
	})
	if err != nil || answer == nil {
		return w, false
	}
	select {
	case w = <-answer:
		return w, true
	case <-ctx.Done():
	case <-a.ended:
	}
	a.post(func() {
		a.guard.waiting[what] = slices.DeleteFunc(a.guard.waiting[what], func(c chan api.GuardWord) bool { return c == answer })
	})
	return w, false
}

// Guard tells what is known of the guard, which is asked for it.
func (a *Agent) Guard(ctx context.Context) (api.Guard, error) {
	w, answered := a.askGuard(ctx, "state", guardAnswer)
	return inLoop(ctx, a, func() (api.Guard, error) {
		g := &a.guard
		out := api.Guard{Connected: g.link != nil, Enabled: a.guardWanted(), Text: a.guardFault(), Recent: slices.Clone(g.recent), Resting: a.resting()}
		switch {
		case answered:
			out.State = w.State
		case out.Connected && out.Text == "":
			out.Text = fmt.Sprintf("tier-guard is connected and did not answer within %s; `journalctl -u tier-guard` may say why", guardAnswer)
		}
		return out, nil
	})
}

// GuardTrace is what the guard saw and decided last, each a line of a trace file.
func (a *Agent) GuardTrace(ctx context.Context) ([]json.RawMessage, error) {
	w, ok := a.askGuard(ctx, "trace", guardAnswer)
	if !ok {
		return nil, &api.Error{Kind: api.KindUnavailable, Message: "tier-guard does not answer, so there is no trace", Hint: "systemctl status tier-guard"}
	}
	return w.Trace, nil
}

func (a *Agent) guardWanted() bool { return a.plan != nil && a.plan.Config.Guard.Enabled }

// guardFault is what is wrong with the guard, and what that means; "" when nothing is, or when nobody wants one.
func (a *Agent) guardFault() string {
	g := &a.guard
	since := g.since
	if since.IsZero() {
		since = a.started
	}
	switch {
	case !a.guardWanted():
		return ""
	case g.link == nil && time.Since(since) >= guardGrace:
		return "tier-guard is not connected: when memory runs short, nobody acts before the kernel's OOM killer does; " +
			"`systemctl enable --now tier-guard` starts it, and enabled = false in [guard] does without"
	case g.state != nil && !g.state.Armed:
		return "tier-guard is not armed, and acts only as far as it can: " + g.state.Why
	}
	return ""
}

// The kinds that are told from the beginning, as with starts and stops.
var usualActions = []string{"refuse", "allow", "ask", "stop", "kill", "not-returned", "alarm"}

// guardMetrics are for Metrics; w is the guard's answer, if it gave one.
func (a *Agent) guardMetrics(w api.GuardWord) *api.GuardMetrics {
	g := &a.guard
	m := &api.GuardMetrics{
		Connected: g.link != nil, Armed: g.state != nil && g.state.Armed, Resting: len(a.resting()), Actions: withUsual(g.actions, usualActions),
	}
	if s := w.State; s != nil {
		m.Available = &s.Available
		m.Lines = map[string]uint64{"refuse": s.Refuse, "soft": s.Soft, "hard": s.Hard, "emergency": s.Emergency}
	}
	return m
}
