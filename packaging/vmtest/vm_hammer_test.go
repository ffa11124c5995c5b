//go:build vmtest

package vmtest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/packaging/vmtest/wire"
)

// reserve is the memory that testdata/vm-tiers.toml keeps from tiers.
const reserve = 256 << 20

// hammerTime is how long the hammer asks.
func hammerTime(t *testing.T) time.Duration {
	t.Helper()
	return minutes(t, "TIERD_VM_MINUTES", 10)
}

// minutes are how many a variable of the environment says, or so many where it says nothing.
func minutes(t *testing.T, variable string, otherwise int) time.Duration {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return time.Duration(otherwise) * time.Minute
	}
	length, err := time.ParseDuration(text + "m")
	if err != nil || length <= 0 {
		t.Fatalf("%s=%s is no number of minutes", variable, text)
	}
	return length
}

// hammered runs a hammer in a VM that is watched, and checks what has to hold of it.
func hammered(t *testing.T, name, hammer string) (wire.Watch, wire.Tally) {
	t.Helper()
	var targets []string
	for _, p := range vmPorts {
		targets = append(targets, fmt.Sprintf("%s=%d", p.tier, p.port))
	}
	v, seen, out := watched(t, name, vmTiers(t), fmt.Sprintf("%s -tiers %s -out /bed/hammer.jsonl", hammer, strings.Join(targets, ",")))
	sum := summaryOf[wire.Tally](t, out)
	checkTally(t, name, sum)
	tellLines(t, v, "hammer.jsonl")
	return seen, sum
}

// watched boots a VM that holds two of the four tiers, runs the guest's program in it while the watch looks at every moment,
// and checks what has to hold at all of them. It returns what the watch has seen, and what the program wrote.
func watched(t *testing.T, name, tiers, program string) (*VM, wire.Watch, []byte) {
	t.Helper()
	v, ctx := startVM(t, vmMemory)
	installInVM(t, v, ctx, tiers)
	total := numberInVM(t, v, ctx, "awk '/^MemTotal:/ { print $2 * 1024 }' /proc/meminfo")
	budget := total - reserve
	if 2*charge > budget || 3*charge <= budget {
		t.Fatalf("the VM has %d MiB, which does not hold two tiers and no third", total>>20)
	}
	var charges []string
	for _, p := range vmPorts {
		charges = append(charges, fmt.Sprintf("%s=%d", p.tier, charge))
	}
	inVM(t, v, ctx, fmt.Sprintf("systemd-run --quiet --unit=watch -p StandardOutput=file:/bed/watch.json /run/bed/guest"+
		" watch -tiers %s -reserve %d -budget %d -out /bed/watch.jsonl", strings.Join(charges, ","), reserve, budget))
	out, err := v.Must(ctx, "/run/bed/guest "+program)
	if err != nil {
		t.Error(err)
	}
	inVM(t, v, ctx, "systemctl stop watch")
	watch, err := os.ReadFile(filepath.Join(v.Share(), "watch.json"))
	if err != nil {
		t.Fatal(err)
	}
	seen := summaryOf[wire.Watch](t, watch)
	checkWatch(t, name, seen, budget)
	tellLines(t, v, "watch.jsonl")
	return v, seen, []byte(out)
}

// summaryOf reads the summary that a program of the guest ends with.
func summaryOf[T any](t *testing.T, raw []byte) (sum T) {
	t.Helper()
	if err := json.Unmarshal(raw, &sum); err != nil {
		t.Fatalf("cannot read the summary %q: %v", raw, err)
	}
	t.Logf("%s", raw)
	return sum
}

// checkWatch holds what was seen to what must never be otherwise.
func checkWatch(t *testing.T, name string, w wire.Watch, budget int64) {
	t.Helper()
	mib := func(n int64) float64 { return float64(n) / (1 << 20) }
	benchAtLeast(name+"-least-available", mib(w.MinAvailable), "MiB", mib(reserve))
	bench(name+"-most-charged", mib(w.MaxCharges), "MiB", mib(budget))
	bench(name+"-most-held", mib(w.MaxHeld), "MiB", mib(budget))
	bench(name+"-oom-kills", float64(w.OOMKills), "", 0)
	bench(name+"-most-copies", float64(w.MaxCopies), "", 1)
	bench(name+"-longest-unwatched", w.LongestGap*1000, "ms", 1000)
	for kind, times := range w.Violations {
		t.Errorf("%s: seen in %d of %d samples", kind, times, w.Samples)
	}
	if w.MaxCopies > 1 || w.OOMKills > 0 || w.MaxCharges > budget || w.MaxHeld > budget || w.MinAvailable < reserve {
		t.Errorf("what has to hold did not: %+v", w)
	}
	if w.MaxResident != 2 {
		t.Errorf("at most %d tiers were resident, where two fit", w.MaxResident)
	}
}

// checkTally wants every command to have ended with the tier up, or with a reason.
func checkTally(t *testing.T, name string, sum wire.Tally) {
	t.Helper()
	benchAtLeast(name+"-admitted", float64(sum.Count(wire.Admitted)), "", 1)
	bench(name+"-unexplained", float64(sum.Count(wire.Unexplained)), "", 0)
	bench(name+"-longest-start", sum.Longest*1000, "ms", 60_000)
	if n := sum.Count(wire.Unexplained); n > 0 {
		t.Errorf("%d commands were refused without a reason", n)
	}
}

// tellLines puts a file of the share into the log of a test that has failed, or when somebody wants to see it.
func tellLines(t *testing.T, v *VM, name string) {
	t.Helper()
	if !t.Failed() && os.Getenv("TIERD_VM_LINES") == "" {
		return
	}
	text, err := os.ReadFile(filepath.Join(v.Share(), name))
	t.Logf("%s: %v\n%s", name, err, text)
}

// TestVMTenMinutesOfRequests asks for four tiers in a random order where two fit. Whoever is idle gives way, so each
// request is answered.
func TestVMTenMinutesOfRequests(t *testing.T) {
	length := hammerTime(t)
	seen, sum := hammered(t, "vm-requests", fmt.Sprintf("requests -for %s -seed 1", length))
	benchAtLeast("vm-requests-answered", float64(sum.Answered)/length.Minutes(), "/min", 10)
	if n := sum.Count(""); sum.Answered != n {
		t.Errorf("of %d requests %d were answered; errors: %q", n, sum.Answered, sum.Failed)
	}
	for _, p := range vmPorts {
		if seen.Starts[p.tier] == 0 {
			t.Errorf("%s was never up", p.tier)
		}
	}
}

// TestVMFourShells starts random tiers with both commands at the same time, from four shells each.
func TestVMFourShells(t *testing.T) {
	const n = 200
	_, sum := hammered(t, "vm-shells", fmt.Sprintf("starts -n %d -workers 4 -seed 1", n))
	if got := sum.Count(""); got != 2*n {
		t.Errorf("%d commands were counted, not %d", got, 2*n)
	}
}
