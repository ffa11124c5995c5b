package api

import "time"

// Metrics is what tierd counts and sums up (GET /v1/metrics). The gateway makes Prometheus' text of it, beside what it
// counts itself.
type Metrics struct {
	Version     string        `json:"version"`
	Started     time.Time     `json:"started"`
	ConfigValid bool          `json:"config_valid"` // tiers.toml as it is now can be used
	Tiers       []TierMetrics `json:"tiers"`
	Budget      *Budget       `json:"budget,omitempty"` // of what is up now; not there when the memory could not be read in time
	Guard       *GuardMetrics `json:"guard,omitempty"`
}

// GuardMetrics is what tierd knows of tier-guard.
type GuardMetrics struct {
	Connected bool              `json:"connected"`
	Armed     bool              `json:"armed"`               // it can act, and does
	Resting   int               `json:"resting"`             // tiers that gave way and are not back
	Actions   map[string]uint64 `json:"actions"`             // what it did and found since tierd began, by GuardEvent.Kind
	Available *uint64           `json:"available,omitempty"` // bytes, as it saw them last; not there when it did not answer in time
	Lines     map[string]uint64 `json:"lines,omitempty"`     // bytes, by name: "refuse", "soft", "hard", "emergency"
}

// TierMetrics is how often one tier came up and went since tierd began, in any variant, and what it takes.
type TierMetrics struct {
	Tier string `json:"tier"`
	// Starts are the processes that began, by why: Why*, for a start.
	Starts map[string]uint64 `json:"starts"`
	// Stops are the processes that ended, by why: Why*, for a stop; or WhyFailed and the class.
	Stops         map[string]uint64 `json:"stops"`
	Memory        uint64            `json:"memory"`                   // the charge of the variant that is up, else of the one that would be
	MemoryCurrent *uint64           `json:"memory_current,omitempty"` // in its cgroup now
}

// Why a tier's process began or ended. A label of Prometheus has these values, so there are no others.
const (
	WhyBoot      = "boot"      // began with the machine
	WhyOperator  = "operator"  // began or ended by an order of the control API
	WhyDemand    = "demand"    // began for a request
	WhyRestart   = "restart"   // began because systemd starts it again after a failure
	WhySystemctl = "systemctl" // began or ended by systemd without an order of tierd's: systemctl, or the machine's end
	WhyEvicted   = "evicted"   // ended to make room for another tier
	WhyIdle      = "idle"      // ended since nobody asked for it
	WhyPressure  = "pressure"  // ended by tier-guard, since the host ran short of memory
	WhyReturn    = "return"    // began again after that, by itself
	WhyAborted   = "aborted"   // ended before it was ready, since whoever asked for it no longer wanted it
	WhyFailed    = "failed:"   // ended by itself: a failure class follows, or "unknown"
)
