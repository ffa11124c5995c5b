package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/packaging/figure"
	"github.com/tierd/tierd/packaging/guardbench/trial"
)

func took(ms int) *time.Duration {
	d := time.Duration(ms) * time.Millisecond
	return &d
}

// outcome is one that went well.
func outcome(scenario, guard string, round, term, back int) trial.Outcome {
	return trial.Outcome{
		Run: trial.Run{Scenario: scenario, Guard: guard, Round: round}, Victims: []string{"reviewer"}, Right: true, Crossed: true,
		Term: took(term), Exit: took(2 * term), Back: took(back), Least: 250 << 20, RSS: 2 << 20,
	}
}

func TestGuardsFollowEachOtherInAnotherOrderEachRound(t *testing.T) {
	p, err := newPlan([]string{"d", "a"}, []string{trial.TierGuard, trial.None}, 2)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range p {
		names = append(names, r.Name())
	}
	want := "a-none-1 a-tier-guard-1 d-none-1 d-tier-guard-1 a-tier-guard-2 a-none-2 d-tier-guard-2 d-none-2"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	all, err := newPlan(nil, nil, 3)
	if err != nil || len(all) != 3*len(trial.Scenarios)*len(trial.Guards) {
		t.Errorf("%d runs, %v", len(all), err)
	}
	for _, names := range [][2][]string{{{"x"}, nil}, {nil, {"x"}}} {
		if _, err := newPlan(names[0], names[1], 1); err == nil || !strings.Contains(err.Error(), "there are:") {
			t.Errorf("%v: %v", names, err)
		}
	}
}

func TestAnInterruptedBenchGoesOn(t *testing.T) {
	dir := t.TempDir()
	p, err := newPlan([]string{"a"}, []string{trial.None, trial.EarlyOOM, trial.Nohang}, 1)
	if err != nil {
		t.Fatal(err)
	}
	first, err := openStore(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []trial.Outcome{outcome("a", trial.None, 1, 8, 400), {Run: p[1], Failed: "the VM hung"}} {
		if err := first.add(o); err != nil {
			t.Fatal(err)
		}
	}
	if err := first.close(); err != nil {
		t.Fatal(err)
	}
	second, err := openStore(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	defer second.close()
	if second.complete(p) || !second.complete(p[:2]) {
		t.Error("a bench is complete when each run was tried")
	}
	if left := second.missing(p); !slices.Equal(left, p[1:]) { // what failed is tried again
		t.Errorf("left are %v", left)
	}
	if o := second.outcomes[0]; *o.Term != 8*time.Millisecond || !o.Right || o.Fate() != "reviewer" {
		t.Errorf("read %+v", o)
	}
	fresh, err := openStore(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	defer fresh.close()
	if len(fresh.outcomes) != 0 {
		t.Error("a new bench counts old results")
	}
}

func TestABrokenResultNamesItsLine(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "runs.jsonl"), []byte("{}\n{]\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := openStore(dir, true); err == nil || !strings.Contains(err.Error(), "runs.jsonl:2:") {
		t.Errorf("got %v", err)
	}
}

func TestTheTableHasMediansBesideEachOther(t *testing.T) {
	wrong := outcome("a", trial.EarlyOOM, 2, 230, 1900)
	wrong.Victims, wrong.Right, wrong.Load, wrong.OOMKills = []string{"coder", "orch"}, false, true, 1
	silent := outcome("a", trial.None, 1, 0, 0)
	silent.Term, silent.Exit, silent.Back, silent.RSS, silent.Victims, silent.Right, silent.Broken = nil, nil, nil, 0, nil, false, true
	got := table([]trial.Outcome{
		outcome("a", trial.EarlyOOM, 3, 110, 900), outcome("a", trial.EarlyOOM, 1, 100, 700), wrong, silent,
		{Run: trial.Run{Scenario: "a", Guard: trial.Nohang, Round: 1}, Failed: "the VM hung"},
		{Run: trial.Run{Scenario: "a", Guard: trial.None, Round: 2}, Failed: "the VM hung"},
	})
	lines := strings.Split(strings.TrimSpace(got), "\n")
	if len(lines) != 4 {
		t.Fatalf("a guard without any result has no row:\n%s", got)
	}
	if want := "| a | none | 1, 1 without result | - | 0/1 | - | - | - | 250 | 0.0 | 0, systemd died ×1 | - |"; lines[2] != want {
		t.Errorf("got  %s\nwant %s", lines[2], want)
	}
	want := "| a | earlyoom | 3 | reviewer ×2; coder, orch and the load ×1 | 2/3 | 110 (100..230) | 220 (200..460) | 900 (700..1900) | 250 | 0.0 | 0/1/0 | 2.0 |"
	if lines[3] != want {
		t.Errorf("got  %s\nwant %s", lines[3], want)
	}
}

func TestTheMedianOfAnEvenNumberIsBetween(t *testing.T) {
	if got := figure.Median([]float64{4, 1, 3, 2}); got != 2.5 {
		t.Errorf("got %v", got)
	}
}

func TestTheLastResultOfARunCounts(t *testing.T) {
	g := of([]trial.Outcome{outcome("a", trial.None, 1, 5, 5), outcome("a", trial.None, 1, 9, 9)}, "a", trial.None)
	if len(g) != 1 || *g[0].Term != 9*time.Millisecond {
		t.Errorf("got %+v", g)
	}
}

func TestFiguresAreOursWithTheirGoals(t *testing.T) {
	worse := outcome("a", trial.TierGuard, 2, 60, 2000)
	worse.Right, worse.UnderHard, worse.OOMKills, worse.RSS = false, time.Second, 1, 6<<20
	text := figures([]trial.Outcome{
		outcome("a", trial.TierGuard, 1, 10, 500), worse, outcome("a", trial.EarlyOOM, 1, 100, 1000), outcome("a", trial.EarlyOOM, 2, 200, 1000),
		outcome("d", trial.TierGuard, 1, -2, 500), outcome("d", trial.EarlyOOM, 1, 2000, 1000), outcome("az", trial.TierGuard, 1, 12, 500),
	})
	for _, want := range []string{
		"bench: guard-a-right 0.500 goal >= 1 short",
		"bench: guard-d-right 1 goal >= 1 ok",
		"bench: guard-to-sigterm-median-ms 11 goal <= 20 ok",
		"bench: guard-to-sigterm-worst-ms 60 goal <= 50 short",
		"bench: guard-zram-to-sigterm-worst-ms 12 goal <= 50 ok",
		"bench: guard-to-sigterm-of-earlyoom 0.200 goal <= 0.300 ok",      // of 0.1 and 0.3
		"bench: guard-d-to-sigterm-of-earlyoom 0 goal <= 0.050 ok",        // before the line is at once
		"bench: guard-to-enough-again-of-earlyoom 0.500 goal <= 0.700 ok", // of 0.5, 2 and 0.5
		"bench: guard-under-hard-worst-s 1 goal <= 0 short",
		"bench: guard-oom-kills-worst 1 goal <= 0 short",
		"bench: guard-resident-worst-mib 6 goal <= 5 short",
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("there is no %q", want)
		}
	}
	if strings.Contains(text, "guard-g-") {
		t.Error("a figure that no run has is told")
	}
	if got := figures([]trial.Outcome{outcome("a", trial.EarlyOOM, 1, 100, 900)}); got != "" {
		t.Errorf("without tier-guard: %q", got)
	}
}

func TestTheDocumentKeepsItsText(t *testing.T) {
	path := filepath.Join(t.TempDir(), "doc.md")
	before := "# Head\n" + beginMarker + "old\n" + endMarker + "tail\n"
	if err := os.WriteFile(path, []byte(before), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 { // a rerun replaces them
		if err := replaceFigures(path, reported{"| table |\n", "bench: x 1 goal <= 1 ok\n"}); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	want := "# Head\n" + beginMarker + "\n| table |\n\n```\nbench: x 1 goal <= 1 ok\n```\n\n" + endMarker + "tail\n"
	if err != nil || string(text) != want {
		t.Errorf("got %q, %v", text, err)
	}
	for _, broken := range []string{"", beginMarker, endMarker, endMarker + beginMarker} {
		if _, err := between([]byte(broken), "x"); err == nil {
			t.Errorf("%q has both markers", broken)
		}
	}
}

// TestTheProjectsDocumentHasMarkers holds docs/guard-bench.md to what the bench writes into.
func TestTheProjectsDocumentHasMarkers(t *testing.T) {
	text, err := os.ReadFile("../../docs/guard-bench.md")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := between(text, ""); err != nil {
		t.Error(err)
	}
	for _, s := range trial.Scenarios {
		if !strings.Contains(string(text), "| "+s.Key+" ") && !strings.Contains(string(text), s.Key+",") && !strings.Contains(string(text), " "+s.Key+" |") {
			t.Errorf("it does not tell of scenario %s", s.Key)
		}
	}
}

func TestAReportNeedsNoMachine(t *testing.T) {
	dir := t.TempDir()
	s, err := openStore(dir, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.add(outcome("a", trial.TierGuard, 1, 8, 400)); err != nil {
		t.Fatal(err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	var out, errs strings.Builder
	args := []string{"-report", "-dir", dir}
	if !onlyReports(args) {
		t.Error("it would make namespaces")
	}
	if status := run(args, &out, &errs); status != 0 || errs.Len() > 0 {
		t.Errorf("status %d: %s", status, errs.String())
	}
	if !strings.Contains(out.String(), "| a | tier-guard | 1 | reviewer | 1/1 | 8 |") || !strings.Contains(out.String(), "bench: guard-a-right 1 ") {
		t.Errorf("it prints %s", out.String())
	}
	if status := run([]string{"-scenarios", "y", "-report", "-dir", dir}, &out, &errs); status != 1 || !strings.Contains(errs.String(), `no scenario "y"`) {
		t.Errorf("status %d: %s", status, errs.String())
	}
	if status := run([]string{"-nonsense"}, &out, &errs); status != 2 {
		t.Errorf("status %d", status)
	}
}

func TestOnlyAWholeBenchIsWrittenDown(t *testing.T) {
	for rule, c := range map[string]struct {
		args    []string
		rounds  int // that there are results of
		written bool
	}{
		"all, three times":        {nil, 3, true},
		"more of it":              {[]string{"-rounds", "4"}, 4, true},
		"one round":               {[]string{"-rounds", "1"}, 3, false},
		"some scenarios":          {[]string{"-scenarios", "a d"}, 3, false},
		"some guards":             {[]string{"-guards", "none"}, 3, false},
		"a round has not run yet": {nil, 2, false},
	} {
		dir := t.TempDir()
		s, err := openStore(dir, false)
		if err != nil {
			t.Fatal(err)
		}
		p, err := newPlan(nil, nil, c.rounds)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range p {
			if err := s.add(outcome(r.Scenario, r.Guard, r.Round, 8, 400)); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.close(); err != nil {
			t.Fatal(err)
		}
		doc := filepath.Join(dir, "doc.md")
		if err := os.WriteFile(doc, []byte(beginMarker+endMarker), 0o644); err != nil {
			t.Fatal(err)
		}
		var out, errs strings.Builder
		if status := run(append([]string{"-report", "-dir", dir, "-doc", doc}, c.args...), &out, &errs); status != 0 {
			t.Errorf("%s: status %d: %s", rule, status, errs.String())
		}
		if text, err := os.ReadFile(doc); err != nil || strings.Contains(string(text), "| tier-guard |") != c.written {
			t.Errorf("%s: %v, it has\n%s", rule, err, text)
		}
	}
}
