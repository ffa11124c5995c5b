package api

import (
	"encoding/json"
	"time"
)

// GuardSocket is where tierd speaks with tier-guard: lines of JSON both ways, GuardOrder from tierd and GuardWord from the
// guard. tierd makes it itself, and not systemd: a guard that looks for tierd must not start one that was stopped. Root's alone.
const GuardSocket = "/run/tierd/guard.sock"

// GuardOrder is one line from tierd: exactly one of its fields is set.
type GuardOrder struct {
	Table *GuardTable `json:"table,omitempty"`
	Ask   string      `json:"ask,omitempty"` // "state": answer with State; "trace": with Trace
}

// GuardTable is all that the guard knows of the tiers. tierd sends it when the guard connects and at every change.
type GuardTable struct {
	Seq       uint64      `json:"seq"`
	Refuse    uint64      `json:"refuse"` // lines of available memory, in bytes: guard.Lines
	Soft      uint64      `json:"soft"`
	Hard      uint64      `json:"hard"`
	Emergency uint64      `json:"emergency"`
	FillRate  uint64      `json:"fill_rate,omitempty"` // bytes a second that this host's memory can be taken at most; 0: the default
	DryRun    bool        `json:"dry_run,omitempty"`   // decide and tell, touch nothing
	Tiers     []GuardTier `json:"tiers"`
}

// GuardTier is one unit that is up or on its way.
type GuardTier struct {
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

// GuardWord is one line from the guard: exactly one of its fields is set.
type GuardWord struct {
	Event *GuardEvent       `json:"event,omitempty"`
	State *GuardState       `json:"state,omitempty"`
	Trace []json.RawMessage `json:"trace,omitempty"` // the last looks and what was decided, lines of a trace file
}

// GuardEvent is something that the guard did, would have done, or found out.
type GuardEvent struct {
	Time      time.Time `json:"time"`
	Kind      string    `json:"kind"` // "refuse", "allow", "ask", "stop", "kill", "gone", "returned", "not-returned", "alarm", "armed", "disarmed"
	Tier      string    `json:"tier,omitempty"`
	Unit      string    `json:"unit,omitempty"`
	Text      string    `json:"text"` // one sentence for a person, with the figures
	Available uint64    `json:"available"`
	DryRun    bool      `json:"dry_run,omitempty"`
}

// GuardState is the guard as `tierctl guard` shows it.
type GuardState struct {
	Armed     bool          `json:"armed"`
	Why       string        `json:"why,omitempty"` // not armed: why not, and what to do
	DryRun    bool          `json:"dry_run,omitempty"`
	Level     string        `json:"level"` // "calm", "refuse", "soft", "hard" or "emergency"
	Available uint64        `json:"available"`
	Slope     int64         `json:"slope"` // bytes a second, negative when it falls
	Refuse    uint64        `json:"refuse"`
	Soft      uint64        `json:"soft"`
	Hard      uint64        `json:"hard"`
	Emergency uint64        `json:"emergency"`
	SwapFree  uint64        `json:"swap_free"`
	SwapTotal uint64        `json:"swap_total"`
	GTTUsed   *uint64       `json:"gtt_used,omitempty"`
	Poll      float64       `json:"poll"`  // seconds to the next look
	Looks     uint64        `json:"looks"` // since it started
	Resident  uint64        `json:"resident"`
	CPU       float64       `json:"cpu"`   // seconds of CPU since it started
	Since     time.Time     `json:"since"` // when it started
	Order     []GuardVictim `json:"order"` // who would be next, the first first
	Would     string        `json:"would"` // what it would do if the soft line were crossed now
	Stops     uint64        `json:"stops"` // of tiers, since it started
	Kills     uint64        `json:"kills"`
	Last      *GuardEvent   `json:"last,omitempty"`
}

// GuardVictim is one tier in the order in which they would give way.
type GuardVictim struct {
	Tier   string  `json:"tier"`
	Unit   string  `json:"unit"`
	RAM    *uint64 `json:"ram,omitempty"`
	GPU    *uint64 `json:"gpu,omitempty"`
	Charge uint64  `json:"charge"`
	Why    string  `json:"why"` // "idle for 9m, priority 10", "loading", "busy", "12.1 GiB above its charge"
}

// Guard is what tierd tells of the guard (GET /v1/guard).
type Guard struct {
	Connected bool         `json:"connected"`
	Enabled   bool         `json:"enabled"`         // tiers.toml wants one
	State     *GuardState  `json:"state,omitempty"` // nil when it is not connected or did not answer
	Recent    []GuardEvent `json:"recent,omitempty"`
	Resting   []GuardRest  `json:"resting,omitempty"` // tiers that it stopped and that are not back yet
}

// GuardRest is a tier that gave way to memory pressure and waits for better times.
type GuardRest struct {
	Tier  string    `json:"tier"`
	Unit  string    `json:"unit"`
	Text  string    `json:"text"`
	Until time.Time `json:"until,omitzero"` // not started before; zero: kept down until somebody starts it
	Stops int       `json:"stops"`          // within the last hour
}
