// Package guard decides which tier gives way when the host runs short of memory, and says why. It is pure: it is handed what
// one look at the host has shown and returns at most one thing to do. cmd/tier-guard reads, acts and proves.
//
// Nothing on the way from Facts to a Decision allocates: there may be no memory left to be had. The sentence is written
// afterwards, by Decision.AppendText.
package guard

import "time"

// Amount is a number of bytes, if the kernel or tierd tells it.
type Amount struct {
	Bytes uint64 `json:"bytes"`
	Known bool   `json:"known,omitempty"`
}

// Lines are the amounts of available memory, in bytes, below which something is done. They are fixed when the guard starts or
// tiers.toml changes: a share of what is in use would slide down as GPU memory grows, as earlyoom's does.
// Refuse > Soft > Hard > Emergency > 0.
type Lines struct {
	Refuse    uint64 `json:"refuse"`    // no tier begins to load; one that loads is given up before it takes the rest
	Soft      uint64 `json:"soft"`      // an idle tier gives way
	Hard      uint64 `json:"hard"`      // one more does, busy ones too
	Emergency uint64 `json:"emergency"` // at once, without grace: what frees most
}

// Tier is what is known of one tier, apart from what one look shows of it.
type Tier struct {
	Name     string        `json:"name"`
	Unit     string        `json:"unit"`
	Priority int           `json:"priority"`         // 0..100, the lowest gives way first
	Pinned   bool          `json:"pinned,omitempty"` // after all that are not
	Demand   bool          `json:"demand,omitempty"` // comes back when a request asks for it
	Charge   uint64        `json:"charge"`           // bytes that it was let in with, RAM and GPU memory together; 0: not known
	Loading  bool          `json:"loading,omitempty"`
	Ending   bool          `json:"ending,omitempty"` // told to end by somebody else
	Main     int           `json:"main,omitempty"`   // its main process: tells one life of a unit from the next; 0: not known
	Busy     bool          `json:"busy,omitempty"`   // a request is in flight or waits for it; also where nobody can tell
	Idle     time.Duration `json:"idle,omitempty"`   // of Facts.At's clock, when its last request ended; for one that is not busy
}

// TierFacts is a tier at one look.
type TierFacts struct {
	Tier
	Up   bool   `json:"up,omitempty"`   // there are processes in its cgroup
	RAM  Amount `json:"ram,omitzero"`   // what of its cgroup only its end gives back
	GPU  Amount `json:"gpu,omitzero"`   // what its processes hold of GPU memory that lies in RAM, in no cgroup; known to be 0 for one that uses no GPU
	Lost bool   `json:"lost,omitempty"` // signalling it has failed: it cannot be stopped from here
}

// Facts is one look at the host. The slice is the caller's, who may fill it anew for the next look.
type Facts struct {
	At        time.Duration `json:"at"`        // of a clock that does not stop: CLOCK_BOOTTIME
	Available uint64        `json:"available"` // MemAvailable less CmaFree
	Total     uint64        `json:"total"`
	SwapFree  uint64        `json:"swap_free"`
	SwapTotal uint64        `json:"swap_total"`
	Full      time.Duration `json:"full,omitempty"`  // total of /proc/pressure/memory, all tasks waited
	PSI       bool          `json:"psi,omitempty"`   // Full is known
	GTT       Amount        `json:"gtt,omitzero"`    // gtt_used of the GPU, by anybody
	Tiers     []TierFacts   `json:"tiers,omitempty"` // never more than MaxTiers
	Stale     bool          `json:"stale,omitempty"` // tierd is silent: what Tier says is the last that was heard
}

// MaxTiers bounds how many tiers are watched.
const MaxTiers = 32

// Act is what is to be done.
type Act uint8

const (
	Nothing Act = iota
	Refuse      // no tier may begin to load; tierd is told
	Allow       // they may again
	Ask         // signal the tier's main process alone: it finishes its requests, and ends
	Stop        // SIGTERM to all of the tier's processes: requests in flight are cut
	Kill        // SIGKILL to all of them
	Alarm       // nothing can or should be done; a person is told
)

// Decision is at most one thing to do, with copies of the figures that led to it: it is of fixed size, can be compared and
// handed to another goroutine, and stays true when the Facts are filled anew.
type Decision struct {
	Act       Act           `json:"act,omitempty"`
	Reason    Reason        `json:"reason,omitempty"`
	Tier      int           `json:"tier"`            // place in Facts.Tiers of this look, -1 for none
	Grace     time.Duration `json:"grace,omitempty"` // Ask, Stop: after which the next harder act follows, at the latest
	Next      time.Duration `json:"next"`            // when to look again, from now on, at the latest
	Level     Level         `json:"level,omitempty"`
	Available uint64        `json:"available"`
	Slope     int64         `json:"slope,omitempty"` // bytes a second that Available rises by, negative when it falls; 0 also when not known yet
	Line      uint64        `json:"line,omitempty"`  // the line that Available is below
	Victim    Figures       `json:"victim,omitzero"` // of the tier that it is about, also one that is no longer in Facts.Tiers
}

// Figures are what the sentence about a tier needs.
type Figures struct {
	Name     string        `json:"name"`
	Unit     string        `json:"unit"`
	Priority int           `json:"priority"`
	Pinned   bool          `json:"pinned,omitempty"`
	Demand   bool          `json:"demand,omitempty"`
	Loading  bool          `json:"loading,omitempty"`
	Busy     bool          `json:"busy,omitempty"`
	Idle     time.Duration `json:"idle,omitempty"`  // for how long
	Gives    uint64        `json:"gives,omitempty"` // bytes that its end is believed to give back
	Leaks    bool          `json:"leaks,omitempty"` // it broke its charge and grows
	Over     uint64        `json:"over,omitempty"`  // bytes above its charge
	Since    time.Duration `json:"since,omitempty"` // since it was signalled first
	Back     uint64        `json:"back,omitempty"`  // bytes that came back since
}

// Tell is whether tierd and the journal are to hear of it. One that is not told is there for traces.
func (d *Decision) Tell() bool { return d.Act != Nothing || d.Reason == Gone || d.Reason == Returned }

// Kind is the kind of event that it makes, as agent/api has it; empty for one that is not told.
func (d *Decision) Kind() string {
	switch d.Act {
	case Nothing:
		switch d.Reason {
		case Gone:
			return "gone"
		case Returned:
			return "returned"
		}
		return ""
	case Alarm:
		if d.Reason == NotReturned {
			return "not-returned"
		}
	}
	return d.Act.String()
}
