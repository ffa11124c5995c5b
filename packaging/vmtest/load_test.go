//go:build vmtest

package vmtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/packaging/vmtest/load"
)

// holdBound is how long a request waits for its tier in the beds of this file; wholeBound is what its answer may take on top, on two
// cores that engines share with whatever else runs.
const (
	holdBound  = 2 * time.Minute
	wholeBound = time.Minute
)

// demandTiers are the bed's tiers as the tests under load want them: all of them start when they are asked for, of each only
// so many fit beside others as memory says, and every engine goes by a name of its own ("orch-llama"), which its answers
// tell.
func demandTiers(memory, reserve int64, more string) string {
	text := string(fixture.tiers)
	for _, change := range []struct{ old, with string }{
		{`(?m)^start = .*`, `start = "demand"`},
		{`(?m)^role = .*`, "$0\nmin_residency = \"1s\"\nmax_wait = \"3s\"\nhold = \"" + holdBound.String() + "\""},
		{`(?m)^memory = .*`, fmt.Sprintf(`memory = "%dMiB"`, memory>>20)},
		{`(?m)^reserve = .*`, fmt.Sprintf("reserve = \"%dMiB\"\nkeep_free = \"64MiB\"", reserve>>20)},
		{`(?m)^\[tier\.(\w+)\.variant\.(\w+)\]`, "$0\nserved_name = \"$1-$2\""},
	} {
		text = regexp.MustCompile(change.old).ReplaceAllString(text, change.with)
	}
	return text + more
}

// bedPorts are the tiers of testdata/tiers.toml.
var bedPorts = []struct {
	tier, role string
	port       int
	answers    string
}{
	{"orch", "orchestrator", 8001, "orch-main,orch-llama"},
	{"coder", "coder", 8002, "coder-main"},
	{"reviewer", "reviewer", 8011, "reviewer-main"},
	{"utility", "utility", 8012, "utility-main"},
}

// everyName is a tier by all of its names, on its own port and on that of all tiers.
func everyName(tier string) (flags []string) {
	for _, p := range bedPorts {
		if p.tier != tier {
			continue
		}
		for _, name := range []string{"", p.tier, p.role} {
			flags = append(flags, fmt.Sprintf("-target %s:%d:%s:%s", tier, p.port, name, p.answers))
		}
		for _, name := range []string{p.tier, p.role} {
			flags = append(flags, fmt.Sprintf("-target %s:8000:%s:%s", tier, name, p.answers))
		}
	}
	return flags
}

// underLoad boots a bed with these tiers and the program that loads it.
func underLoad(t *testing.T, tiers func(total int64) string) (*Bed, context.Context) {
	t.Helper()
	b, ctx := measured(t)
	guest, err := vmGuest()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.CopyInProgram(guest); err != nil {
		t.Fatal(err)
	}
	var total int64
	if _, err := fmt.Sscan(must(t, b, ctx, "awk '/^MemTotal:/ { printf \"%.0f\", $2 * 1024 }' /proc/meminfo"), &total); err != nil {
		t.Fatal(err)
	}
	if err := b.WriteFile("/etc/tierd/tiers.toml", []byte(tiers(total)), 0o644); err != nil {
		t.Fatal(err)
	}
	must(t, b, ctx, "tierctl reload")
	return b, ctx
}

// running is a load that runs beside the test, as a service of the bed.
type running struct {
	b     *Bed
	name  string
	begin time.Time
}

// startLoad starts clients with these flags, until they are stopped.
func startLoad(t *testing.T, b *Bed, ctx context.Context, name string, flags ...string) *running {
	t.Helper()
	must(t, b, ctx, fmt.Sprintf("systemd-run --quiet --unit=%s -p StandardOutput=file:/bed/%s.json -p TimeoutStopSec=%d /bed/guest load"+
		" -bound %s -out /bed/%s.jsonl %s", name, name, int((holdBound+wholeBound).Seconds())+10, holdBound+wholeBound, name, strings.Join(flags, " ")))
	return &running{b: b, name: name, begin: time.Now()}
}

// since is the time that the load's lines count in.
func (r *running) since() float64 { return time.Since(r.begin).Seconds() }

// stop lets the clients finish their requests and reads what all of them came to, and each result.
func (r *running) stop(t *testing.T, ctx context.Context) (*load.Tally, []load.Result) {
	t.Helper()
	must(t, r.b, ctx, "systemctl stop "+r.name)
	return r.read(t)
}

// read is for a load that has ended.
func (r *running) read(t *testing.T) (*load.Tally, []load.Result) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(r.b.Share(), r.name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	tally := new(load.Tally)
	if err := json.Unmarshal(raw, tally); err != nil {
		t.Fatalf("cannot read what the load %s came to: %v: %q", r.name, err, raw)
	}
	t.Logf("%s: %v", r.name, tally)
	lines, err := os.ReadFile(filepath.Join(r.b.Share(), r.name+".jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	var all []load.Result
	for d := json.NewDecoder(bytes.NewReader(lines)); d.More(); {
		var one load.Result
		if err := d.Decode(&one); err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	return tally, all
}

// letDown are the outcomes that no client may ever meet, whatever happens to the machine.
var letDown = []load.Outcome{load.Refused, load.Failed, load.Short, load.WrongModel, load.WrongText, load.Hung}

// benchLoad prints what a load came to beside its goals: so many requests may not get a whole answer, and none may wait for
// longer than so many seconds.
func benchLoad(t *testing.T, name string, tally *load.Tally, mayFail int, longest float64) {
	t.Helper()
	benchAtLeast(name+"-requests", float64(tally.Requests), "", 1)
	bench(name+"-not-answered", float64(tally.NotOK()), "", float64(mayFail))
	bench(name+"-truncated", float64(tally.Count(load.Cut, load.Short)), "", float64(mayFail))
	bench(name+"-wrong-model", float64(tally.Count(load.WrongModel, load.WrongText)), "", 0)
	bench(name+"-refused", float64(tally.Count(load.Refused)), "", 0)
	bench(name+"-hung", float64(tally.Count(load.Hung)), "", 0)
	bench(name+"-longest-wait", tally.LongestWait, "s", longest)
	if n := tally.NotOK(); n > mayFail {
		t.Errorf("%d requests of %d were not answered, %d may", n, tally.Requests, mayFail)
	}
	if n := tally.Count(letDown...); n > 0 {
		t.Errorf("%d requests met what no client may meet", n)
	}
	if tally.LongestWait > longest {
		t.Errorf("a request waited for %.1f s, longer than it may be held", tally.LongestWait)
	}
}

// TestLoadAtRandom has 16 clients ask for four tiers by all their names where two fit. Nobody is put off, nobody gets
// another model's answer. TestVMLoadAtRandom is the same for ten minutes where memory is accounted for.
func TestLoadAtRandom(t *testing.T) {
	b, ctx := underLoad(t, func(total int64) string { return demandTiers(total*3/10, total/5, "") })
	var targets []string
	for _, p := range bedPorts {
		targets = append(targets, everyName(p.tier)...)
	}
	r := startLoad(t, b, ctx, "random", append(targets, "-streams 8 -plain 8 -length 2")...)
	if err := pause(ctx, 30*time.Second); err != nil {
		t.Fatal(err)
	}
	tally, _ := r.stop(t, ctx)
	benchLoad(t, "load-at-random", tally, 0, holdBound.Seconds())
	for _, p := range bedPorts {
		bench("load-at-random-longest-wait-"+p.tier, tally.Longest[p.tier], "s", holdBound.Seconds())
		if tally.Longest[p.tier] == 0 {
			t.Errorf("%s was never asked", p.tier)
		}
	}
	if out := must(t, b, ctx, engineProcesses); len(strings.Fields(out)) > 2 {
		t.Errorf("more than two engines where two fit: %s", out)
	}
}
