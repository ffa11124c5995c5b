//go:build vmtest

package vmtest

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/tierd/tierd/packaging/vmtest/load"
)

// vmHold is how long a request is held where tiers.toml does not say, in seconds.
const vmHold = 240

// TestVMLoadAtRandom has 16 clients ask for four tiers by all their names where memory for two of them is all that there is.
// Tiers take turns: one that nobody asks makes room at once, a busy one after a minute. With less every answer would cost a
// load. Every request gets its whole answer from the right model, nobody is put off, and no moment breaks the
// reserve or the budget.
func TestVMLoadAtRandom(t *testing.T) {
	tiers := vmTiers(t)
	for old, with := range map[string]string{
		`(?m)^start = .*`:                      `start = "demand"`,
		`(?m)^max_wait = .*`:                   `max_wait = "60s"`,
		`(?m)^min_residency = .*`:              `min_residency = "10s"`,
		`(?m)^\[tier\.(\w+)\.variant\.(\w+)\]`: "$0\nserved_name = \"$1-$2\"",
	} {
		tiers = regexp.MustCompile(old).ReplaceAllString(tiers, with)
	}
	var flags []string
	for _, p := range bedPorts {
		flags = append(flags, everyName(p.tier)...)
	}
	// The whole answer comes after the wait: in a VM, behind those of the same tier.
	program := fmt.Sprintf("load -for %s -bound %ds -streams 8 -plain 8 -length 2 -out /bed/load.jsonl %s",
		hammerTime(t), vmHold+60, strings.Join(flags, " "))
	v, seen, out := watched(t, "vm-load", tiers, program)
	var tally load.Tally
	if err := json.Unmarshal(out, &tally); err != nil {
		t.Fatalf("cannot read what the load came to: %v: %q", err, out)
	}
	t.Logf("%v", &tally)
	benchLoad(t, "vm-load", &tally, 0, vmHold)
	benchAtLeast("vm-load-answered", float64(tally.Outcomes[load.OK])/hammerTime(t).Minutes(), "/min", 10)
	for _, p := range vmPorts {
		bench("vm-load-longest-wait-"+p.tier, tally.Longest[p.tier], "s", vmHold)
		if seen.Starts[p.tier] == 0 {
			t.Errorf("%s was never up", p.tier)
		}
	}
	tellLines(t, v, "load.jsonl")
}
