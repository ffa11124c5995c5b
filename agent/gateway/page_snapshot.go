package gateway

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/gateway/queue"
)

// snapshot is all that the page shows. Sizes are bytes; ages are told as times, so that nothing changes while nothing
// happens.
type snapshot struct {
	Build    string       `json:"build"` // of the page's assets: another one means that the page is of an older version
	Tierd    shownTierd   `json:"tierd"`
	Tiers    []shownTier  `json:"tiers"`
	Budget   *shownBudget `json:"budget,omitempty"`
	Events   []api.Event  `json:"events"` // the oldest first
	Warnings []string     `json:"warnings"`
}

// shownTierd is how things are with tierd.
type shownTierd struct {
	State   string    `json:"state"`           // "asked", "there" or "away"
	Error   string    `json:"error,omitempty"` // why it is away
	Version string    `json:"version,omitempty"`
	Heard   time.Time `json:"heard,omitzero"` // away: what it said last is of then
}

// shownTier is a tier. Its state is that of the gateway's table, by which requests are forwarded.
type shownTier struct {
	Name          string    `json:"name"`
	Role          string    `json:"role"`
	Port          int       `json:"port"`
	State         api.State `json:"state"`
	Since         time.Time `json:"since,omitzero"`
	Status        string    `json:"status,omitempty"`  // the shim's words while it is starting, or what it waits for
	Percent       *int      `json:"percent,omitempty"` // of the load, where the words tell one
	ReadyBy       time.Time `json:"ready_by,omitzero"` // when it will be ready, by earlier loads
	Reason        string    `json:"reason,omitempty"`
	Notes         []string  `json:"notes,omitempty"`
	Variant       string    `json:"variant"`
	Engine        string    `json:"engine"`
	Model         string    `json:"model"`
	Context       int       `json:"context,omitempty"` // tokens
	Memory        uint64    `json:"memory,omitempty"`  // charge
	LeavesMachine bool      `json:"leaves_machine,omitempty"`

	InFlight     int       `json:"in_flight"`
	Concurrency  int       `json:"concurrency,omitempty"` // requests let through at one time; 0: no limit
	Waiting      int       `json:"waiting"`
	WaitingSince time.Time `json:"waiting_since,omitzero"` // of the one that waits longest
	IdleSince    time.Time `json:"idle_since,omitzero"`
}

// load is what goes on at the tiers, by their names.
type load struct {
	inFlight map[string]int
	idle     map[string]float64 // seconds
	queues   map[string]queue.Stats
}

func newSnapshot(v *view, l load, n *told, now time.Time) snapshot {
	s := snapshot{Tiers: []shownTier{}, Events: n.events, Warnings: []string{}}
	if s.Events == nil {
		s.Events = []api.Event{}
	}
	s.Tierd.State = "asked"
	switch {
	case n.silent != "":
		s.Tierd = shownTierd{State: "away", Error: n.silent, Heard: n.heard}
	case n.status != nil:
		s.Tierd = shownTierd{State: "there", Version: n.status.Version}
		s.Warnings = append(s.Warnings, daemonWarnings(n.status)...)
	}
	for _, r := range v.table.Routes {
		t := routed(r)
		t.InFlight = l.inFlight[r.Tier]
		if q := l.queues[r.Tier]; q.Waiting > 0 {
			t.Waiting, t.WaitingSince = q.Waiting, second(now.Add(-q.Longest))
		}
		if idle, known := l.idle[r.Tier]; known {
			t.IdleSince = second(now.Add(-time.Duration(idle * float64(time.Second))))
		}
		if said := n.tier(r.Tier); said != nil {
			t.add(said)
		}
		s.Tiers = append(s.Tiers, t)
	}
	if n.budget != nil {
		s.Budget = newShownBudget(n.budget)
	}
	return s
}

// routed is a tier as the gateway's table has it.
func routed(r api.Route) shownTier {
	t := shownTier{
		Name: r.Tier, Role: r.Role, Port: r.Port, State: r.State, Status: r.Status, Reason: r.Reason, Variant: r.Variant,
		Engine: r.Engine, Model: r.Model, Context: r.Context, Concurrency: r.Concurrency, LeavesMachine: r.Engine == "remote",
	}
	if r.State == api.Starting {
		t.Percent, t.ReadyBy = percentIn(r.Status), second(r.ReadyBy)
	}
	return t
}

// add puts in what only tierd's status tells. Where that is of another state it is older or newer than the table, and its
// words would not fit.
func (t *shownTier) add(said *api.Tier) {
	t.Memory = said.Memory
	t.Notes = tierNotes(said)
	if said.State != t.State {
		return
	}
	t.Since = second(said.Since)
	if t.Status == "" && said.Status != said.Reason && t.State != api.Ready {
		t.Status = said.Status
	}
}

// tier is what tierd said of a tier; nil: nothing.
func (n *told) tier(name string) *api.Tier {
	if n.status == nil {
		return nil
	}
	for i := range n.status.Tiers {
		if n.status.Tiers[i].Name == name {
			return &n.status.Tiers[i]
		}
	}
	return nil
}

// tierNotes are what a person should know of a tier beside its state, in the words of `tierctl status`.
func tierNotes(t *api.Tier) []string {
	var notes []string
	for _, words := range []string{t.Warning, t.PortError} {
		if words != "" {
			notes = append(notes, words)
		}
	}
	if t.Removed {
		notes = append(notes, "no longer in tiers.toml: it goes when it is stopped")
	}
	if t.RestartPending {
		notes = append(notes, "restart pending: tiers.toml has changed since it was started (tierctl restart "+t.Name+")")
	}
	if len(t.DropIns) > 0 {
		notes = append(notes, "changed by drop-in "+strings.Join(t.DropIns, ", "))
	}
	return notes
}

// daemonWarnings are what is not as it should be with tierd itself. Those about lines of the file are for `tierctl check`,
// and what only repeats why a tier is blocked stands with the tier.
func daemonWarnings(s *api.Status) []string {
	var list []string
	if s.ConfigError != "" {
		list = append(list, fmt.Sprintf("%s cannot be used as it is now; what tierd read before stays in force: %s", s.ConfigPath, s.ConfigError))
	}
	ofFile := 0
	for _, w := range s.Warnings {
		switch {
		case saidOfTier(s.Tiers, w):
		case s.ConfigPath != "" && strings.HasPrefix(w, s.ConfigPath+":"):
			ofFile++
		default:
			list = append(list, w)
		}
	}
	if s.PortError != "" {
		list = append(list, s.PortError)
	}
	if ofFile > 0 {
		list = append(list, fmt.Sprintf("warnings about %s: %d; `tierctl check` lists them", s.ConfigPath, ofFile))
	}
	return list
}

func saidOfTier(tiers []api.Tier, warning string) bool {
	for _, t := range tiers {
		if t.Reason != "" && strings.Contains(warning, t.Reason) {
			return true
		}
	}
	return false
}

// percentIn finds how far a load is in the shim's words: "Loading weights 43 %, 26 of 57 GiB". nil: they do not tell.
func percentIn(words string) *int {
	before, _, found := strings.Cut(words, " %")
	if !found {
		return nil
	}
	fields := strings.Fields(before)
	if len(fields) == 0 {
		return nil
	}
	percent, err := strconv.ParseUint(fields[len(fields)-1], 10, 8)
	if err != nil || percent > 100 {
		return nil
	}
	n := int(percent)
	return &n
}

// second leaves the parts of a second out of a time: figures that jitter would be a change each time they are taken.
func second(t time.Time) time.Time {
	if t.IsZero() || t.Year() > 9999 || t.Year() < 1 {
		return time.Time{}
	}
	return time.Unix(int64(math.Round(float64(t.UnixMilli())/1000)), 0).UTC()
}
