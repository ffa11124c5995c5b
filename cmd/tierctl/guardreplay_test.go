package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/guard"
)

// trace is what a guard writes while memory falls by 100 MiB every 100 ms, until its one tier gives way.
func trace(t *testing.T) []byte {
	t.Helper()
	lines := guard.Lines{Refuse: 1000 * mib, Soft: 800 * mib, Hard: 400 * mib, Emergency: 200 * mib}
	g := guard.New(lines, guard.HostPace(4000*mib))
	var text bytes.Buffer
	w, err := guard.NewWriter(&text, g)
	if err != nil {
		t.Fatal(err)
	}
	known := guard.Amount{Bytes: 600 * mib, Known: true}
	tier := guard.TierFacts{Tier: guard.Tier{Name: "reviewer", Unit: "tier-reviewer.service", Priority: 40, Charge: 600 * mib}, Up: true, RAM: known}
	for i := range 20 {
		f := guard.Facts{At: time.Hour + time.Duration(i)*100*time.Millisecond, Available: uint64(1500-min(i, 9)*100) * mib, Total: 4000 * mib}
		if i < 12 {
			f.Tiers = []guard.TierFacts{tier}
		} else {
			f.Available += 600 * mib
		}
		if err := w.Look(&f, g.Step(&f)); err != nil {
			t.Fatal(err)
		}
	}
	return text.Bytes()
}

func TestGuardReplay(t *testing.T) {
	text := trace(t)
	file := filepath.Join(t.TempDir(), "trace.jsonl")
	write := func(text []byte) {
		t.Helper()
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(text)
	out, errs, status := tierctl("guard", "replay", file)
	if status != exitDone || errs != "" || !strings.HasSuffix(out, "20 looks: every decision is the one that was made then.\n") {
		t.Fatalf("status %d, %s\n%s", status, errs, out)
	}
	if n := strings.Count(out, "\n"); n < 4 || n > 15 || !strings.Contains(out, "  stop     reviewer gives way: ") || !strings.HasPrefix(out, "    0.000s") {
		t.Errorf("%d lines:\n%s", n, out)
	}
	if out, _, _ := tierctl("guard", "replay", "--all", file); strings.Count(out, "\n") != 21 {
		t.Errorf("with --all:\n%s", out)
	}
	out, _, _ = tierctl("guard", "replay", "--all", "--format", "json", file)
	acts := map[string]int{}
	for line := range strings.Lines(out) {
		var r replayed
		if err := json.Unmarshal([]byte(line), &r); err != nil || r.Text == "" {
			t.Errorf("%s: %v", line, err)
		}
		acts[r.Act.String()]++
	}
	if acts["stop"] != 1 || acts["refuse"] != 1 || strings.Count(out, "\n") != 20 {
		t.Errorf("acts %v of\n%s", acts, out)
	}

	// Decided otherwise: the line is told.
	write(bytes.Replace(text, []byte(`"act":"stop"`), []byte(`"act":"kill"`), 1))
	out, errs, status = tierctl("guard", "replay", file)
	line := 1 + bytes.Count(text[:bytes.Index(text, []byte(`"act":"stop"`))], []byte("\n"))
	if status != exitFailed || !strings.Contains(errs, "tierctl: line "+strconv.Itoa(line)+" of the trace: kill (") || !strings.Contains(errs, "was decided then, and stop (") || strings.Contains(out, "every decision") {
		t.Errorf("status %d, %s", status, errs)
	}
	if !strings.Contains(errs, strconv.Itoa(line-2)+" looks before it agree") {
		t.Errorf("it counts otherwise than %d: %s", line-2, errs)
	}
	for rule, text := range map[string]string{"no trace at all": "hello\n", "an empty one": "", "one cut off": string(text[:len(text)-10])} {
		write([]byte(text))
		if _, errs, status := tierctl("guard", "replay", file); status != exitFailed || !strings.Contains(errs, " of the trace: ") || !strings.Contains(errs, "hint: tierctl guard trace FILE") {
			t.Errorf("%s: status %d, %s", rule, status, errs)
		}
	}
	if _, errs, status := tierctl("guard", "replay", file+"x"); status != exitFailed || !strings.Contains(errs, "cannot read the trace: open ") {
		t.Errorf("no file: status %d, %s", status, errs)
	}
}

func TestGuardReplayOfStandardInput(t *testing.T) {
	var out strings.Builder
	a := newApp()
	a.stdin, a.stdout, a.stderr = bytes.NewReader(trace(t)), &out, &out
	if status := a.run([]string{"guard", "replay", "-"}); status != exitDone || !strings.Contains(out.String(), "20 looks: ") {
		t.Errorf("status %d, %s", status, out.String())
	}
}
