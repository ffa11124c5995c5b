package main

import (
	"slices"

	"github.com/tierd/tierd/agent/guard"
)

// table is what the hot thread goes by. It is handed over whole and never changed: only the units' own fields are, by the hot
// thread.
type table struct {
	seq   uint64
	lines guard.Lines
	pace  guard.Pace
	stale bool // tierd is silent
	tiers []guard.Tier
	units []*watched // of tiers, by place
}

// near tells whether what costs more should be read often: from twice the soft line on, there is time for a few readings.
func (t *table) near(available uint64) bool { return available < 2*t.lines.Soft }

// equal tells whether handing over the one after the other would change nothing.
func (t *table) equal(o *table) bool {
	return t.lines == o.lines && t.pace == o.pace && t.stale == o.stale && slices.Equal(t.tiers, o.tiers) && slices.Equal(t.units, o.units)
}
