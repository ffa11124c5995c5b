//go:build vmtest

package vmtest

import (
	"encoding/json"
	"strings"
)

// tried is what a user does to see the guard act on his machine: a bounded load that has one idle tier give way, and that leaves
// nothing behind.
func (g *guarded) tried() {
	g.settled()
	before := g.available()
	text := g.sh("tierctl guard test --yes --rate 100MiB/s --format json")
	g.t.Log(text)
	if !json.Valid([]byte(text)) || !strings.Contains(text, "utility") {
		g.t.Error("the result is no JSON that names utility")
	}
	g.gaveWay("utility")
	g.untouched("utility")
	g.settled()
	if after := g.available(); after < before {
		g.t.Errorf("%d KiB were available before, with utility up, and %d after it gave way", before, after)
	}
	// The brackets keep the shell that asks from being found itself.
	if left := g.sh("pgrep -f '[g]uard load' || true"); left != "" {
		g.t.Errorf("the process that took memory is still there: %s", left)
	}
}

// available is MemAvailable in KiB.
func (g *guarded) available() int64 {
	g.t.Helper()
	return numberInVM(g.t, g.v, g.ctx, "awk '/^MemAvailable:/ { print $2 }' /proc/meminfo")
}
