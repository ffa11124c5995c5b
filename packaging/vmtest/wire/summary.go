package wire

import "time"

// Watch is what the watch of a VM comes to. Amounts are bytes.
type Watch struct {
	Samples      int
	LongestGap   float64 // seconds between two samples
	MinAvailable int64   // MemAvailable - CmaFree
	MaxCharges   int64   // of resident tiers together
	MaxCurrent   int64   // the same, what they really took, page cache included
	MaxHeld      int64   // of that, what only an end gives back
	MaxResident  int     // tiers with an engine at the same time
	MaxCopies    int     // engines of one tier at the same time
	OOMKills     int64
	Violations   map[string]int // samples in which each kind was seen
	States       map[string]int // changes to a state, over all units
	Starts       map[string]int // how often each tier got an engine
}

// Outcomes of a command that starts a tier.
const (
	Admitted    = "admitted"    // the command says that the tier is up
	Refused     = "refused"     // it is not, and the reason is known
	Cancelled   = "cancelled"   // somebody else stopped it while it started
	Unexplained = "unexplained" // it is not, and nothing says why
)

// Tally is what a hammer's run comes to.
type Tally struct {
	Outcomes map[string]map[string]int // by command, then outcome
	Reasons  map[string]int            // of what was not admitted, with its numbers replaced by N
	Answered int                       // chat completions with text
	Failed   []string                  // the other ones' errors
	Longest  float64                   // seconds that a command took
}

// Count is the number of commands with that outcome, whatever the command; "" is any outcome.
func (t Tally) Count(outcome string) (n int) {
	for _, outcomes := range t.Outcomes {
		for name, times := range outcomes {
			if outcome == "" || name == outcome {
				n += times
			}
		}
	}
	return n
}

// Shortage is what the guest's watch over one shortage of memory has seen so far.
type Shortage struct {
	Units      int                  // that were there at the beginning
	Looks      int                  // that were taken
	LongestGap float64              // seconds between two of them
	Crossed    time.Time            // below the soft line for the first time; zero: never
	Back       time.Time            // above it again once a tier was gone; zero: not yet
	Gone       map[string]time.Time // by unit: when nobody was in it any more
	Available  int64                // bytes, at the last look
	Least      int64                // bytes
	BelowHard  float64              // seconds
	OOMKills   int64                // of the whole host
	Over       bool                 // this is the last line
}

// Notification is one that a desktop was asked to show.
type Notification struct {
	App           string
	Replaces      uint32 // the one whose place it takes; 0: none's
	Summary, Body string
	Urgency       byte // 0 to 2
}
