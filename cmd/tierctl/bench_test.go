package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/bench"
)

func TestBenchMeasuresThroughTheGateway(t *testing.T) {
	b := newBenchBed(t)
	status := b.run(t, "--depth", "0,1K,4K", "--concurrency", "1,2,4", "--tokens", "4", "--runs", "2", "--bandwidth", "0.01", "--format", "json")
	if status != 0 {
		t.Fatalf("status %d: %s", status, b.errs.String())
	}
	r := b.report(t)
	if len(r.Tiers) != 1 || len(r.Tiers[0].Points) != 9 {
		t.Fatalf("%+v", r)
	}
	tier := r.Tiers[0]
	// Of 1200 bytes the embeddings (200) are not read, and of the four experts (800) one is.
	if tier.Weights != 400 || tier.Experts != 4 || tier.Used != 1 || tier.Version != "0.19.1" || tier.Bandwidth.Bytes != 1e7 || tier.Notes != nil {
		t.Errorf("%+v", tier)
	}
	for _, p := range tier.Points {
		switch {
		case p.Streams == 4:
			if p.TTFT != nil && p.Skipped == "" {
				t.Errorf("%+v: more at a time than are let through", p)
			}
		case p.Depth == 4096:
			if p.Skipped != "its context is 4096 tokens, and this takes 4100" {
				t.Errorf("%+v", p)
			}
		case p.TTFT.Count != 2*p.Streams || p.Writing.Median <= 0 || p.Total.Median <= 0 || p.Percent == nil || p.Prompt != max(p.Depth, 16):
			t.Errorf("%+v", p)
		case p.KV != uint64(p.Prompt)*2*2*8*2: // two heads of 8, keys and values, of two bytes
			t.Errorf("a KV cache of %d behind %d", p.KV, p.Prompt)
		}
	}
	if !strings.Contains(b.errs.String(), "coder: 2 requests behind 1024 tokens: done") {
		t.Errorf("progress:\n%s", b.errs.String())
	}
}

// fasterThanAny makes a saved report one of a machine that no other is as fast as, however busy they are.
func fasterThanAny(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r, err := bench.ParseReport(text)
	if err != nil {
		t.Fatal(err)
	}
	point := &r.Tiers[0].Points[0]
	*point.TTFT = bench.Figure{Median: 2e-6, Min: 1e-6, Max: 3e-6, Count: 3}
	for _, rate := range []*bench.Figure{point.Writing, point.Total} {
		*rate = bench.Figure{Median: 2e8, Min: 1e8, Max: 3e8, Count: 3}
	}
	if text, err = jsonText(r); err == nil {
		err = os.WriteFile(file, text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestBenchSaysEarlyWhatItCannotSave: not after an hour of measuring. Nothing is left where nothing was measured.
func TestBenchSaysEarlyWhatItCannotSave(t *testing.T) {
	b := newBenchBed(t)
	dir := t.TempDir()
	for _, file := range []string{filepath.Join(dir, "missing", "r.json"), dir} {
		if status := b.run(t, "--save", file); status != exitFailed || !strings.Contains(b.errs.String(), "cannot save the report: open "+file) || b.out.Len() > 0 {
			t.Errorf("%s: status %d\n%s%s", file, status, b.out.String(), b.errs.String())
		}
	}
	if status := b.run(t, "nosuch", "--save", filepath.Join(dir, "r.json")); status != exitUsage {
		t.Errorf("status %d: %s", status, b.errs.String())
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("%v was left, %v", left, err)
	}
}

func TestBenchComparesWithAnEarlierReport(t *testing.T) {
	b := newBenchBed(t)
	file := filepath.Join(t.TempDir(), "before.json")
	args := []string{"--depth", "0", "--concurrency", "1", "--tokens", "4", "--bandwidth", "256"}
	if status := b.run(t, append(args, "--save", file)...); status != 0 {
		t.Fatal(b.errs.String())
	}
	fasterThanAny(t, file)
	if status := b.run(t, append(args, "--compare", file, "--format", "json")...); status != 0 {
		t.Fatal(b.errs.String())
	}
	ratios := b.report(t).Comparison.Tiers[0].Ratios
	for _, r := range ratios {
		if slower := r.Figure == "ttft_seconds"; slower != (r.Ratio > 1) || !r.Outside {
			t.Errorf("%+v", r)
		}
	}
	if len(ratios) != 3 {
		t.Errorf("%+v", ratios)
	}
	if status := b.run(t, append(args, "--compare", file)...); status != 0 {
		t.Fatal(b.errs.String())
	}
	if out := b.out.String(); !strings.Contains(out, "Beside the report of 2026-03-01 12:00 (now / then;") || !regexp.MustCompile(`coder  0      1     \d+\.\d\d\*  -       -         0\.\d\d\*   0\.\d\d\*\n`).MatchString(out) {
		t.Errorf("got\n%s", out)
	}
	b.status.Tiers[0].Model = "other"
	if status := b.run(t, append(args, "--compare", file)...); status != 0 {
		t.Fatal(b.errs.String())
	}
	if out := b.out.String(); !strings.Contains(out, "coder: not compared, since it is another one\n  model: small, now other\n") {
		t.Errorf("got\n%s", out)
	}
}

func TestBenchDisturbsNobody(t *testing.T) {
	idle := api.Tier{Name: "orch", State: api.Ready, Engine: "vllm", IdleSince: noon}
	for _, row := range []struct {
		rule   string
		change func(*benchBed)
		args   []string
		status int
		asks   bool
		want   string // in what it prints
	}{
		{"a tier with requests is left alone", func(b *benchBed) { b.status.Tiers[0].IdleSince, b.settle = time.Time{}, 100*time.Millisecond }, nil, exitFailed, false, "not measured: it has requests in flight"},
		{"another one with requests is named", func(b *benchBed) {
			busy := idle
			busy.IdleSince = time.Time{}
			b.status.Tiers = append(b.status.Tiers, busy)
		}, []string{"coder"}, 0, true, "orch has requests in flight, and both share the memory"},
		{"a tier that is down stays down", func(b *benchBed) { b.status.Tiers[0].State = api.Stopped }, []string{"coder"}, exitFailed, false, "not measured: it is stopped; --start has it started"},
		{"and is not spoken of unless it is named", func(b *benchBed) { b.status.Tiers[0].State = api.Stopped }, nil, exitFailed, false, ""},
		{"it starts on demand, where others would give way", func(b *benchBed) {
			b.status.Tiers[0].State, b.status.Tiers[0].Start, b.status.Tiers[0].Memory = api.Stopped, "demand", 50<<30
			b.budget = api.Budget{RAM: api.Pool{Size: pointer(124 << 30), Promised: 80 << 30}, Reserve: 12 << 30, Free: pointer(60 << 30)}
		}, []string{"coder", "--start"}, exitFailed, false, "not measured: it takes 50GiB and 32GiB are left, so other tiers would have to give way; --evict lets them"},
		{"or where that is not known", func(b *benchBed) {
			b.status.Tiers[0].State, b.status.Tiers[0].Start = api.Stopped, "demand"
		}, []string{"coder", "--start"}, exitFailed, false, "whether it fits beside the other tiers is not known"},
		{"a server elsewhere is nobody's to measure", func(b *benchBed) { b.status.Tiers[0].Engine = "remote" }, []string{"coder"}, exitFailed, false, "a server elsewhere answers for it"},
		{"a port that a stranger holds", func(b *benchBed) { b.status.Tiers[0].PortError = "port 8002 is held by nginx" }, []string{"coder"}, exitFailed, false, "not measured: port 8002 is held by nginx"},
		{"no gateway", func(b *benchBed) { b.status.Gateway = "absent" }, []string{"coder"}, exitFailed, false, ""},
		{"no tier of that name", func(*benchBed) {}, []string{"nobody"}, exitUsage, false, ""},
		{"without its configuration there is no bound", func(b *benchBed) { b.status.ConfigPath = "/nowhere/tiers.toml" }, []string{"coder"}, 0, true, "no bound: cannot read the configuration: open /nowhere/tiers.toml"},
		{"another configuration than the one that runs", func(b *benchBed) { b.status.Tiers[0].RestartPending = true }, []string{"coder"}, 0, true, "no bound: it runs with another configuration than tiers.toml has now"},
		{"a model that is not the file's", func(b *benchBed) { b.status.Tiers[0].Model = "older" }, []string{"coder"}, 0, true, "no bound: tiers.toml does not have what is up"},
	} {
		t.Run(row.rule, func(t *testing.T) {
			b := newBenchBed(t)
			row.change(b)
			status := b.run(t, append(row.args, "--depth", "0", "--concurrency", "1", "--tokens", "2", "--runs", "1", "--bandwidth", "256")...)
			if status != row.status || (b.asked.Load() > 0) != row.asks || !strings.Contains(b.out.String(), row.want) {
				t.Errorf("status %d, %d requests\n%s%s", status, b.asked.Load(), b.out.String(), b.errs.String())
			}
		})
	}
}

func TestBenchWaitsForARequestThatHasJustEnded(t *testing.T) {
	b := newBenchBed(t)
	text, _ := json.Marshal(b.status)
	b.files = map[string][]byte{"idle": text}
	b.status.Tiers = slices.Clone(b.status.Tiers)
	b.status.Tiers[0].IdleSince = time.Time{}
	b.more = map[string][]string{"GET /v1/status": {"200 @status", "200 @status", "200 @status", "200 @idle"}}
	if status := b.run(t, "coder", "--depth", "0", "--concurrency", "1", "--tokens", "2", "--runs", "1", "--bandwidth", "1"); status != 0 || b.asked.Load() == 0 {
		t.Errorf("status %d\n%s%s", status, b.out.String(), b.errs.String())
	}
}

func TestBenchStartsATierThatItIsToldToStart(t *testing.T) {
	b := newBenchBed(t)
	up := b.status
	b.status.Tiers = slices.Clone(up.Tiers)
	b.status.Tiers[0].State = api.Stopped
	upText, _ := json.Marshal(up)
	done, _ := json.Marshal(api.Change{ID: "7", State: "done", Started: noon})
	b.more = map[string][]string{
		"GET /v1/status": {"200 @status", "200 @up"}, "POST /v1/tiers/coder": {"202 change=7"}, "GET /v1/changes/7/wait": {"200 @done"},
	}
	b.files = map[string][]byte{"up": upText, "done": done}
	if status := b.run(t, "coder", "--start", "--depth", "0", "--concurrency", "1", "--tokens", "2", "--runs", "1", "--bandwidth", "1"); status != 0 || b.asked.Load() == 0 {
		t.Errorf("status %d\n%s%s", status, b.out.String(), b.errs.String())
	}
}

func TestBenchEndsWhenItsTimeIsOver(t *testing.T) {
	b := newBenchBed(t)
	b.slow = time.Second
	status := b.run(t, "coder", "--for", "100ms", "--bandwidth", "256")
	if status != exitFailed || !strings.Contains(b.errs.String(), "tierctl: the 100ms of --for are over; what was measured until then is above") {
		t.Errorf("status %d: %s%s", status, b.out.String(), b.errs.String())
	}
}

// TestBenchIsInterrupted: the requests end, what there is comes out, also into the file.
func TestBenchIsInterrupted(t *testing.T) {
	b := newBenchBed(t)
	file := filepath.Join(t.TempDir(), "partial.json")
	cmd := exec.Command("tierctl", "bench", "coder", "--socket", b.control(t), "--depth", "0", "--concurrency", "1", "--tokens", "30", "--runs", "1000",
		"--bandwidth", "256", "--format", "json", "--save", file)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for b.asked.Load() < 4 {
		time.Sleep(time.Millisecond)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	saved, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r, err := bench.ParseReport(saved)
	if err != nil || r.Ended != "interrupted" || r.Tiers[0].Points[0].TTFT == nil || r.Tiers[0].Points[0].Skipped != "interrupted" {
		t.Errorf("%+v, %v", r, err)
	}
	if status := cmd.ProcessState.ExitCode(); status != exitInterrupted || out.String() != string(saved) {
		t.Errorf("status %d\n%s%s", status, out.String(), errs.String())
	}
}
