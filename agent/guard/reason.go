package guard

import (
	"fmt"
	"slices"
)

// Reason is why, as a number: text is for later.
type Reason uint8

const (
	Quiet       Reason = iota // enough is available
	Crossed                   // Refuse: below the refuse line
	Recovered                 // Allow: above it for long enough
	GiveUpLoad                // it loads: nobody works with it yet
	LeakyTier                 // it broke its charge and grows
	IdleTier                  // it is idle
	BusyTier                  // it is busy, and idle ones do not suffice
	InEmergency               // memory is gone, or will be before another look helps
	Overdue                   // Stop, Kill: it did not go within its grace
	Worse                     // Stop, Kill: memory fell on while it was going
	Waiting                   // an action is open
	Holding                   // short of memory, but not worse: what gave way suffices until it is
	Gone                      // the victim has ended; its memory is waited for
	Returned                  // and its memory is back
	NotReturned               // Alarm: and its memory is not: more victims would not help either
	Stuck                     // Alarm: it does not go, even though killed
	Unreachable               // Alarm: it cannot be signalled
	Outside                   // Alarm: memory is taken outside the tiers: the tiers left are not to pay for it
	NoneLeft                  // Alarm: no tier is left that may be stopped
)

var reasons = []string{"quiet", "crossed", "recovered", "give-up-load", "leaky-tier", "idle-tier", "busy-tier", "emergency", "overdue", "worse",
	"waiting", "holding", "gone", "returned", "not-returned", "stuck", "unreachable", "outside", "none-left"}

var acts = []string{"nothing", "refuse", "allow", "ask", "stop", "kill", "alarm"}

// Level is how short of memory the host is. It falls at once and is left late, so that nothing flaps around a line.
type Level uint8

const (
	Calm Level = iota
	BelowRefuse
	BelowSoft
	BelowHard
	BelowEmergency
)

var levels = []string{"calm", "refuse", "soft", "hard", "emergency"}

func word(of []string, what string, i uint8) string {
	if int(i) < len(of) {
		return of[i]
	}
	return fmt.Sprintf("%s %d", what, i)
}

func number(of []string, what string, text []byte) (uint8, error) {
	i := slices.Index(of, string(text))
	if i < 0 {
		return 0, fmt.Errorf("%q is no %s", text, what)
	}
	return uint8(i), nil
}

func (r Reason) String() string { return word(reasons, "reason", uint8(r)) }
func (a Act) String() string    { return word(acts, "act", uint8(a)) }
func (l Level) String() string  { return word(levels, "level", uint8(l)) }

// MarshalText writes the word that a trace has.
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// MarshalText writes the word that a trace has.
func (a Act) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// MarshalText writes the word that a trace and tierctl have.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (r *Reason) UnmarshalText(text []byte) (err error) {
	i, err := number(reasons, "reason", text)
	*r = Reason(i)
	return err
}

// UnmarshalText reads what MarshalText wrote.
func (a *Act) UnmarshalText(text []byte) (err error) {
	i, err := number(acts, "act", text)
	*a = Act(i)
	return err
}

// UnmarshalText reads what MarshalText wrote.
func (l *Level) UnmarshalText(text []byte) (err error) {
	i, err := number(levels, "level", text)
	*l = Level(i)
	return err
}
