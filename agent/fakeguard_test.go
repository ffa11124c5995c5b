package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// fakeGuard is tier-guard as tierd hears it: it notes what it is told, answers, and says what a test has it say.
type fakeGuard struct {
	t    testing.TB
	conn net.Conn

	mu     sync.Mutex
	tables []api.GuardTable
	at     []time.Time // when they came
	asked  []string
	state  api.GuardState
	mute   bool
	gone   chan struct{} // closed when tierd hung up
}

// guarded connects a guard to the agent, over a pipe: what a socket does would stop the bubble's time.
func (b *bed) guarded() *fakeGuard {
	b.t.Helper()
	return b.guardedAs(calm)
}

// calm is a guard that has nothing to do.
var calm = api.GuardState{
	Armed: true, Level: "calm", Available: 40 << 30, Refuse: 10 << 30, Soft: 8 << 30, Hard: 4 << 30, Emergency: 2 << 30,
}

func (b *bed) guardedAs(state api.GuardState) *fakeGuard {
	b.t.Helper()
	here, there := net.Pipe()
	g := newFakeGuard(b.t, here, state)
	agent := b.Agent
	go agent.talk(context.Background(), there)
	synctest.Wait()
	return g
}

func newFakeGuard(t testing.TB, c net.Conn, state api.GuardState) *fakeGuard {
	g := &fakeGuard{t: t, conn: c, gone: make(chan struct{}), state: state}
	go g.listen()
	return g
}

func (g *fakeGuard) listen() {
	defer close(g.gone)
	lines := bufio.NewScanner(g.conn)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var o api.GuardOrder
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			g.t.Errorf("tierd says %q: %v", lines.Bytes(), err)
			return
		}
		g.mu.Lock()
		if o.Table != nil {
			g.tables, g.at = append(g.tables, *o.Table), append(g.at, time.Now())
		}
		word := api.GuardWord{}
		if o.Ask != "" {
			g.asked = append(g.asked, o.Ask)
		}
		state, mute := g.state, g.mute
		g.mu.Unlock()
		switch {
		case mute:
			continue
		case o.Ask == "state":
			word.State = &state
		case o.Ask == "trace":
			word.Trace = []json.RawMessage{json.RawMessage(`{"at":1}`), json.RawMessage(`{"at":2}`)}
		default:
			continue
		}
		g.say(word)
	}
}

func (g *fakeGuard) say(w api.GuardWord) {
	text, err := json.Marshal(w)
	if err != nil {
		g.t.Error(err)
	}
	_, _ = g.conn.Write(append(text, '\n')) // tierd may have gone
}

// tells is an event of now.
func (g *fakeGuard) tells(kind, unit, text string) {
	g.event(api.GuardEvent{Time: time.Now(), Kind: kind, Unit: unit, Text: text, Available: 7 << 30})
}

func (g *fakeGuard) event(e api.GuardEvent) {
	for _, tier := range []string{"orch", "coder", "util"} {
		if e.Unit == "tier-"+tier+".service" {
			e.Tier = tier
		}
	}
	g.say(api.GuardWord{Event: &e})
}

// table is the last one.
func (g *fakeGuard) table() api.GuardTable {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.tables) == 0 {
		return api.GuardTable{}
	}
	return g.tables[len(g.tables)-1]
}

// tier is what the last table says of a unit.
func (g *fakeGuard) tier(unit string) (api.GuardTier, bool) {
	t := g.table()
	i := slices.IndexFunc(t.Tiers, func(x api.GuardTier) bool { return x.Unit == unit })
	if i < 0 {
		return api.GuardTier{}, false
	}
	return t.Tiers[i], true
}

func (g *fakeGuard) set(change func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change()
}

// hangUp ends the guard.
func (g *fakeGuard) hangUp() {
	g.conn.Close()
	<-g.gone
}

// press is a unit whose main process was asked by the guard to end: it says that it is stopping, drains and exits with 0, without
// a job of systemd's.
func (f *fakeSystemd) press(unit string) { f.by(func() { f.halt(unit) }) }

// slay is a unit whose processes were killed: for systemd a failure, after which Restart= holds.
func (f *fakeSystemd) slay(unit string) {
	f.by(func() {
		u := f.units[unit]
		if u == nil || !running(u.UnitStatus) {
			return
		}
		u.die()
		if u.told {
			f.set(u, "failed", "failed", "signal", 9)
		} else {
			f.fall(u, "", 9)
		}
		u.Result, u.ExecCode = "signal", cldKilled
	})
}
