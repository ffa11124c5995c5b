package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/packaging/guardbench/trial"
)

// standIn stands for tierd on the guard's socket: it tells the table once, and keeps what the guard tells.
type standIn struct {
	listener net.Listener
	table    api.GuardTable
	armed    chan api.GuardState // the first state that the guard tells

	mu     sync.Mutex
	events []api.GuardEvent
	last   string // why it was not armed
}

// tableOf is what tierd would tell of the tiers.
func tableOf(s trial.Scenario, units []*unit, now time.Time) api.GuardTable {
	t := api.GuardTable{
		Seq: 1, Refuse: trial.Soft * 5 / 4, Soft: trial.Soft, Hard: trial.Hard, Emergency: trial.Emergency, FillRate: 4 << 30,
	}
	for i, one := range tiers {
		g := api.GuardTier{
			Tier: one.name, Unit: one.name + ".service", Cgroup: units[i].cgroup(), MainPID: units[i].pid,
			Priority: one.priority, Demand: one.demand, Charge: one.charge(), GPU: s.Hidden && one.hidden > 0,
			Busy: one.busy || s.Busy && one.name == "reviewer",
		}
		if !g.Busy {
			g.IdleSince = now.Add(-time.Duration(10-i) * time.Minute) // reviewer for ten minutes, the next one less
		}
		t.Tiers = append(t.Tiers, g)
	}
	return t
}

func newStandIn(path string, table api.GuardTable) (*standIn, error) {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	s := &standIn{listener: l, table: table, armed: make(chan api.GuardState, 1)}
	go s.serve()
	return s, nil
}

func (s *standIn) path() string { return s.listener.Addr().String() }

// serve speaks with one guard after the other, until the listener is closed.
func (s *standIn) serve() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.speak(conn)
		conn.Close()
	}
}

func (s *standIn) speak(conn net.Conn) {
	out := json.NewEncoder(conn)
	for _, order := range []api.GuardOrder{{Table: &s.table}, {Ask: "state"}} {
		if out.Encode(order) != nil {
			return
		}
	}
	in := bufio.NewScanner(conn)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var w api.GuardWord
		if err := json.Unmarshal(in.Bytes(), &w); err != nil {
			s.keep(api.GuardEvent{Time: time.Now(), Kind: "nonsense", Text: err.Error()})
			return
		}
		switch {
		case w.Event != nil:
			s.keep(*w.Event)
		case w.State != nil && w.State.Armed:
			select {
			case s.armed <- *w.State:
			default:
			}
		case w.State != nil: // not yet: asked again
			s.why(w.State.Why)
			time.Sleep(50 * time.Millisecond)
			if out.Encode(api.GuardOrder{Ask: "state"}) != nil {
				return
			}
		}
	}
}

func (s *standIn) keep(e api.GuardEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
}

func (s *standIn) why(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = text
}

// said is all that the guard has told, with its own times since then.
func (s *standIn) said(since time.Time) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var words []string
	for _, e := range s.events {
		words = append(words, fmt.Sprintf("%d ms, %s %s: %s", e.Time.Sub(since).Milliseconds(), e.Kind, e.Tier, e.Text))
	}
	return words
}

// awaitArmed waits until the guard has the table and says that it is armed.
func (s *standIn) awaitArmed() error {
	select {
	case st := <-s.armed:
		if st.Soft != trial.Soft || st.Hard != trial.Hard {
			return fmt.Errorf("tier-guard's lines are %d and %d", st.Soft, st.Hard)
		}
		return nil
	case <-time.After(15 * time.Second):
		words := s.said(time.Now())
		s.mu.Lock()
		defer s.mu.Unlock()
		return fmt.Errorf("tier-guard did not say within 15 s that it is armed, but %q; and %q", s.last, words)
	}
}
