package api

import (
	"time"

	"github.com/tierd/tierd/agent/api/guardwire"
)

// GuardSocket is where tierd speaks with tier-guard: lines of JSON both ways, GuardOrder from tierd and GuardWord from the
// guard. tierd makes it itself, and not systemd: a guard that looks for tierd must not start one that was stopped. Root's alone.
const GuardSocket = guardwire.Socket

// What goes over that socket has a package of its own, since the guard can do without the rest of this one.
type (
	GuardOrder  = guardwire.Order  // one line from tierd
	GuardTable  = guardwire.Table  // all that the guard knows of the tiers
	GuardTier   = guardwire.Tier   // one unit that is up or on its way
	GuardWord   = guardwire.Word   // one line from the guard
	GuardEvent  = guardwire.Event  // something that the guard did, would have done, or found out
	GuardState  = guardwire.State  // the guard as `tierctl guard` shows it
	GuardVictim = guardwire.Victim // one tier in the order in which they would give way
)

// Guard is what tierd tells of the guard (GET /v1/guard).
type Guard struct {
	Connected bool         `json:"connected"`
	Text      string       `json:"text,omitempty"`  // what is wrong with it, what that means and what to do; "": nothing
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
