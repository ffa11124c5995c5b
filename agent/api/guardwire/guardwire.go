// Package guardwire is what tierd and tier-guard say to each other. It is apart from agent/api, which has its names for tierd
// and tierctl, because that brings an HTTP client along: a megabyte more that the guard would have locked in memory.
package guardwire

import (
	"encoding/json"
	"time"
)

// Socket is where tierd speaks with tier-guard: lines of JSON both ways, Order from tierd and Word from the
// guard. tierd makes it itself, and not systemd: a guard that looks for tierd must not start one that was stopped. Root's alone.
const Socket = "/run/tierd/guard.sock"

// Order is one line from tierd: exactly one of its fields is set.
type Order struct {
	Table *Table `json:"table,omitempty"`
	Ask   string `json:"ask,omitempty"` // "state": answer with State; "trace": with Trace
}

// Table is all that the guard knows of the tiers. tierd sends it when the guard connects and at every change.
type Table struct {
	Seq       uint64 `json:"seq"`
	Refuse    uint64 `json:"refuse"` // lines of available memory, in bytes: guard.Lines
	Soft      uint64 `json:"soft"`
	Hard      uint64 `json:"hard"`
	Emergency uint64 `json:"emergency"`
	FillRate  uint64 `json:"fill_rate,omitempty"` // bytes a second that this host's memory can be taken at most; 0: the default
	DryRun    bool   `json:"dry_run,omitempty"`   // decide and tell, touch nothing
	Tiers     []Tier `json:"tiers"`
}

// Tier is one unit that is up or on its way.
type Tier struct {
	Tier      string    `json:"tier"`
	Unit      string    `json:"unit"`
	Cgroup    string    `json:"cgroup"` // below /sys/fs/cgroup
	MainPID   int       `json:"main_pid,omitempty"`
	Priority  int       `json:"priority"`
	Pinned    bool      `json:"pinned,omitempty"`
	Demand    bool      `json:"demand,omitempty"`
	Charge    uint64    `json:"charge"` // bytes, RAM and GPU together
	GPU       bool      `json:"gpu,omitempty"`
	Loading   bool      `json:"loading,omitempty"`
	Ending    bool      `json:"ending,omitempty"`
	Busy      bool      `json:"busy,omitempty"`      // requests are in flight or wait for it, or nobody can tell
	IdleSince time.Time `json:"idle_since,omitzero"` // of one that is not busy
}

// Word is one line from the guard: exactly one of its fields is set.
type Word struct {
	Event *Event            `json:"event,omitempty"`
	State *State            `json:"state,omitempty"`
	Trace []json.RawMessage `json:"trace,omitempty"` // the last looks and what was decided, lines of a trace file
}

// Event is something that the guard did, would have done, or found out.
type Event struct {
	Time      time.Time `json:"time"`
	Kind      string    `json:"kind"` // "refuse", "allow", "ask", "stop", "kill", "gone", "returned", "not-returned", "alarm", "armed", "disarmed"
	Tier      string    `json:"tier,omitempty"`
	Unit      string    `json:"unit,omitempty"`
	Text      string    `json:"text"` // one sentence for a person, with the figures
	Available uint64    `json:"available"`
	DryRun    bool      `json:"dry_run,omitempty"`
}

// Told is its sentence for who reads it without DryRun beside it: what would be done reads as if it had been.
func (e Event) Told() string {
	if e.DryRun {
		return "dry run: " + e.Text
	}
	return e.Text
}

// State is the guard as `tierctl guard` shows it.
type State struct {
	Armed     bool      `json:"armed"`
	Why       string    `json:"why,omitempty"` // not armed: why not, and what to do
	DryRun    bool      `json:"dry_run,omitempty"`
	Level     string    `json:"level"` // "calm", "refuse", "soft", "hard" or "emergency"
	Available uint64    `json:"available"`
	Slope     int64     `json:"slope"` // bytes a second, negative when it falls
	Refuse    uint64    `json:"refuse"`
	Soft      uint64    `json:"soft"`
	Hard      uint64    `json:"hard"`
	Emergency uint64    `json:"emergency"`
	SwapFree  uint64    `json:"swap_free"`
	SwapTotal uint64    `json:"swap_total"`
	GTTUsed   *uint64   `json:"gtt_used,omitempty"`
	Poll      float64   `json:"poll"`  // seconds to the next look
	Looks     uint64    `json:"looks"` // since it started
	Resident  uint64    `json:"resident"`
	CPU       float64   `json:"cpu"`   // seconds of CPU since it started
	Since     time.Time `json:"since"` // when it started
	Order     []Victim  `json:"order"` // who would be next, the first first
	Would     string    `json:"would"` // what it would do if the soft line were crossed now
	Stops     uint64    `json:"stops"` // of tiers, since it started
	Kills     uint64    `json:"kills"`
	Last      *Event    `json:"last,omitempty"`
}

// Victim is one tier in the order in which they would give way.
type Victim struct {
	Tier   string  `json:"tier"`
	Unit   string  `json:"unit"`
	RAM    *uint64 `json:"ram,omitempty"`
	GPU    *uint64 `json:"gpu,omitempty"`
	Charge uint64  `json:"charge"`
	Why    string  `json:"why"` // "idle for 9m, priority 10", "loading", "busy", "12.1GiB above its charge"
}
