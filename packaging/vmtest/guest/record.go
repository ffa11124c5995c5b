package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/tierd/tierd/packaging/vmtest/wire"
)

// limits are what has to hold at every moment, in bytes.
type limits struct {
	Reserve int64 // the least that has to stay available
	Budget  int64 // the most that resident tiers may be charged for, and may hold
}

// violation is something that must never be: a kind, which stays the same as long as it lasts, and the figures.
type violation struct{ Kind, Text string }

// violations compares one sample with what has to hold.
func (l limits) violations(s sample, killsBefore int64) []violation {
	var found []violation
	add := func(kind, format string, args ...any) {
		found = append(found, violation{kind, fmt.Sprintf(format, args...)})
	}
	if s.Available < l.Reserve {
		add("reserve", "%d MiB are available, less than the reserve of %d", s.Available>>20, l.Reserve>>20)
	}
	if s.OOMKills > killsBefore {
		add("oom", "%d processes were killed for memory", s.OOMKills-killsBefore)
	}
	var charges, held int64
	engines := map[string]int{}
	for _, u := range s.resident() {
		charges += u.Charge
		held += u.Held
		engines[u.Tier] += u.Engines
		switch {
		case u.Charge == 0:
			add("no charge "+u.Unit, "%s is resident and no tier that is known", u.Unit)
		case u.Limit < u.Charge:
			add("limit "+u.Unit, "%s has a memory.max of %d MiB (0: none) and a charge of %d", u.Unit, u.Limit>>20, u.Charge>>20)
		}
	}
	for tier, n := range engines {
		if n > 1 {
			add("copies "+tier, "%d engines serve %s", n, tier)
		}
	}
	if charges > l.Budget {
		add("charges", "resident tiers are charged for %d MiB of a budget of %d", charges>>20, l.Budget>>20)
	}
	if held > l.Budget {
		add("held", "resident tiers hold %d MiB of a budget of %d", held>>20, l.Budget>>20)
	}
	return found
}

// record adds samples up and writes down what changes.
type record struct {
	Summary   wire.Watch
	limits    limits
	out       *json.Encoder
	begin     time.Time
	last      time.Time
	lastKills int64
	firstKill int64
	states    map[string]string
	engines   map[string]int
	lasting   map[string]bool // kinds of violation in the sample before
}

func newRecord(l limits, out *json.Encoder) *record {
	return &record{
		limits: l, out: out, states: map[string]string{}, engines: map[string]int{},
		Summary: wire.Watch{Violations: map[string]int{}, States: map[string]int{}, Starts: map[string]int{}},
	}
}

// entry is one line of the file.
type entry struct {
	At        float64 // seconds since the first sample
	Unit      string  `json:",omitempty"`
	State     string  `json:",omitempty"` // the unit is in it from now on; "gone" without a cgroup
	Violation string  `json:",omitempty"`
	Available int64   // bytes
	Resident  []string
	Summary   *wire.Watch `json:",omitempty"`
}

func (r *record) add(now time.Time, s sample) error {
	if r.Summary.Samples == 0 {
		r.begin, r.last, r.firstKill, r.lastKills = now, now, s.OOMKills, s.OOMKills
		r.Summary.MinAvailable = s.Available
	}
	r.extremes(now, s)
	at := entry{At: now.Sub(r.begin).Seconds(), Available: s.Available}
	for _, u := range s.resident() {
		at.Resident = append(at.Resident, u.Unit)
	}
	lasting := map[string]bool{}
	for _, v := range r.limits.violations(s, r.lastKills) {
		r.Summary.Violations[v.Kind]++
		lasting[v.Kind] = true
		if !r.lasting[v.Kind] {
			at := at
			at.Violation = v.Text
			if err := r.out.Encode(at); err != nil {
				return err
			}
		}
	}
	r.lasting, r.lastKills = lasting, s.OOMKills
	return r.changes(at, s)
}

// extremes keeps the smallest and largest figures.
func (r *record) extremes(now time.Time, s sample) {
	sum := &r.Summary
	sum.Samples++
	sum.LongestGap = max(sum.LongestGap, now.Sub(r.last).Seconds())
	r.last = now
	sum.MinAvailable = min(sum.MinAvailable, s.Available)
	sum.OOMKills = s.OOMKills - r.firstKill
	var charges, current, held int64
	engines := map[string]int{}
	for _, u := range s.resident() {
		charges, current, held = charges+u.Charge, current+u.Current, held+u.Held
		engines[u.Tier] += u.Engines
	}
	sum.MaxCharges, sum.MaxCurrent, sum.MaxHeld = max(sum.MaxCharges, charges), max(sum.MaxCurrent, current), max(sum.MaxHeld, held)
	sum.MaxResident = max(sum.MaxResident, len(engines))
	for tier, n := range engines {
		sum.MaxCopies = max(sum.MaxCopies, n)
		if r.engines[tier] == 0 {
			sum.Starts[tier]++
		}
	}
	r.engines = engines
}

// changes writes a line for each unit whose state is another than in the sample before.
func (r *record) changes(at entry, s sample) error {
	now := map[string]string{}
	for _, u := range s.Units {
		now[u.Unit] = u.State
	}
	for unit := range r.states {
		if now[unit] == "" {
			now[unit] = "gone"
		}
	}
	for unit, state := range now {
		if r.states[unit] == state || state == unasked {
			continue
		}
		r.states[unit] = state
		r.Summary.States[state]++
		at.Unit, at.State = unit, state
		if err := r.out.Encode(at); err != nil {
			return err
		}
	}
	return nil
}

// end writes the summary.
func (r *record) end() error {
	return r.out.Encode(entry{At: r.last.Sub(r.begin).Seconds(), Summary: &r.Summary})
}
