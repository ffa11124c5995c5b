package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/bench"
	"github.com/tierd/tierd/rocm"
)

// benchBed is a tier whose engine is in the test, with tierd beside it.
type benchBed struct {
	status api.Status
	more   map[string][]string // answers of tierd besides
	files  map[string][]byte   // that they name
	budget api.Budget
	out    strings.Builder
	errs   strings.Builder
	asked  atomic.Int32  // completions
	slow   time.Duration // before each token
}

// newBenchBed serves a coder of vLLM: its model is small enough to be written down, a mixture of four experts.
func newBenchBed(t *testing.T) *benchBed {
	t.Helper()
	b := &benchBed{}
	engine := httptest.NewServer(b)
	t.Cleanup(engine.Close)
	address, _ := url.Parse(engine.URL)
	var port int
	fmt.Sscan(address.Port(), &port)
	dir := t.TempDir()
	model := filepath.Join(dir, "models", "small")
	write := func(file, text string) string {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		return file
	}
	write(filepath.Join(model, "config.json"), `{"model_type":"qwen3_moe","num_hidden_layers":1,"num_attention_heads":2,"head_dim":8,"hidden_size":16,
		"num_experts":4,"num_experts_per_tok":1,"torch_dtype":"bfloat16","max_position_embeddings":8192}`)
	header := `{"model.embed_tokens.weight":{"dtype":"BF16","shape":[100],"data_offsets":[0,200]},` +
		`"lm_head.weight":{"dtype":"BF16","shape":[100],"data_offsets":[200,400]},` +
		`"model.layers.0.mlp.experts.0.up_proj.weight":{"dtype":"BF16","shape":[400],"data_offsets":[400,1200]}}`
	write(filepath.Join(model, "model.safetensors"), string(binary.LittleEndian.AppendUint64(nil, uint64(len(header))))+header+strings.Repeat("\x00", 1200))
	config := write(filepath.Join(dir, "tiers.toml"), fmt.Sprintf(`
[host]
models = [%q]
[engine.vllm]
command = [%q, "serve"]
gpu = false
[tier.coder]
port = %d
[tier.coder.variant.main]
engine = "vllm"
model = "small"
context = "4K"
parallel = 2
`, filepath.Join(dir, "models"), write(filepath.Join(dir, "vllm"), "#!/bin/sh\n"), port))
	b.status = api.Status{Version: "0.1.0", ConfigPath: config, Gateway: "connected", Tiers: []api.Tier{{
		Name: "coder", Port: port, State: api.Ready, Variant: "main", Engine: "vllm", Model: "small", Context: 4096, IdleSince: noon,
	}}}
	return b
}

// ServeHTTP is the gateway with the tier's engine behind it.
func (b *benchBed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/version":
		fmt.Fprint(w, `{"version":"0.19.1"}`)
	case "/tokenize":
		tokens, _ := json.Marshal(map[string]any{"tokens": slices.Collect(seq(100))})
		w.Write(tokens)
	case "/v1/completions":
		b.asked.Add(1)
		var body struct {
			Prompt    []int `json:"prompt"`
			MaxTokens int   `json:"max_tokens"`
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		for range body.MaxTokens {
			select {
			case <-r.Context().Done():
				return
			case <-time.After(b.slow + time.Millisecond):
			}
			fmt.Fprint(w, "data: {\"choices\":[{\"text\":\"a\"}]}\n\n")
			w.(http.Flusher).Flush()
		}
		fmt.Fprintf(w, "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":%d,\"completion_tokens\":%d}}\n\ndata: [DONE]\n\n", len(body.Prompt), body.MaxTokens)
	default:
		http.NotFound(w, r)
	}
}

func seq(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

// control serves what tierd says, and returns its socket.
func (b *benchBed) control(t *testing.T) string {
	t.Helper()
	answers := map[string][]string{"GET /v1/status": {"200 @status"}, "GET /v1/budget": {"200 @budget"}}
	maps.Copy(answers, b.more)
	return serveControl(t, &fakeControl{answers: answers, read: func(name string) []byte {
		if text, ok := b.files[name]; ok {
			return text
		}
		text, err := json.Marshal(map[string]any{"status": b.status, "budget": b.budget}[name])
		if err != nil {
			t.Error(err)
		}
		return text
	}})
}

// run calls tierctl bench with a daemon that gives the bed's status.
func (b *benchBed) run(t *testing.T, args ...string) int {
	t.Helper()
	b.out.Reset()
	b.errs.Reset()
	a := newApp()
	a.stdout, a.stderr, a.now = &b.out, &b.errs, func() time.Time { return noon }
	return a.run(append([]string{"bench", "--socket", b.control(t)}, args...))
}

// report is what --format json printed.
func (b *benchBed) report(t *testing.T) bench.Report {
	t.Helper()
	r, err := bench.ParseReport([]byte(b.out.String()))
	if err != nil {
		t.Fatalf("%v:\n%s%s", err, b.out.String(), b.errs.String())
	}
	return r
}

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

func TestBenchsTableFitsATerminal(t *testing.T) {
	b := newBenchBed(t)
	if status := b.run(t, "coder", "--depth", "0,1K", "--concurrency", "1,4", "--tokens", "4", "--bandwidth", "256"); status != 0 {
		t.Fatalf("status %d: %s", status, b.errs.String())
	}
	out := b.out.String()
	for line := range strings.Lines(out) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	for _, want := range []string{
		"coder/main: small on vllm 0.19.1\n", "DEPTH  REQS  TTFT ", "\n0      1     ", "\n1024   1     ", "–",
		"\n  0 tokens, 4 requests: at most 2 at a time are let through\n",
		"\n  Bound: 256 GB/s (by --bandwidth),\n  by 400B of weights for each token (1 of 4 experts) and its KV cache.\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
}

func TestBenchComparesWithAnEarlierReport(t *testing.T) {
	b := newBenchBed(t)
	file := filepath.Join(t.TempDir(), "before.json")
	args := []string{"--depth", "0", "--concurrency", "1", "--tokens", "4", "--bandwidth", "256"}
	if status := b.run(t, append(args, "--save", file)...); status != 0 {
		t.Fatal(b.errs.String())
	}
	b.slow = 20 * time.Millisecond
	if status := b.run(t, append(args, "--compare", file, "--format", "json")...); status != 0 {
		t.Fatal(b.errs.String())
	}
	ratios := b.report(t).Comparison.Tiers[0].Ratios
	for _, r := range ratios {
		if slower := r.Figure == "ttft_seconds"; slower != (r.Ratio > 1) || !r.Outside { // three times as slow at least
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
		{"a tier with requests is left alone", func(b *benchBed) { b.status.Tiers[0].IdleSince = time.Time{} }, nil, exitFailed, false, "not measured: it has requests in flight"},
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

func pointer(n uint64) *uint64 { return &n }

func TestBandwidthIsOfTheBestSource(t *testing.T) {
	halo := &rocm.GPU{APU: true, KFD: &rocm.KFD{}}
	halo.KFD.Gfx = "gfx1151"
	for _, row := range []struct {
		rule  string
		speed *rocm.MemorySpeed
		gpu   *rocm.GPU
		read  float64
		want  string
	}{
		{"the firmware knows", &rocm.MemorySpeed{Transfers: 7500e6, Bits: 256}, halo, 1, "240 GB/s (theoretical, 7500 MT/s by 256 bits as the firmware says)"},
		{"Strix Halo is known", nil, halo, 1, "256 GB/s (theoretical, LPDDR5X-8000 by 256 bits as Strix Halo has)"},
		{"else it is measured, and marked", nil, nil, 41.2e9, "41.2 GB/s (by a short test that read with the CPU; it may be more)"},
		{"else it is not known", nil, nil, 0, "<nil>"},
	} {
		t.Run(row.rule, func(t *testing.T) {
			got := hostBandwidth(row.speed, row.gpu, func() float64 { return row.read })
			if fmt.Sprint(got) != row.want || got != nil && got.Measured != (row.read > 1) {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestAGPUWithMemoryOfItsOwnHasItsOwnBandwidth(t *testing.T) {
	r := &benchRun{read: func(uint64) float64 { return 5e9 }}
	discrete := rocm.Snapshot{GPUs: []rocm.GPU{{AMD: true}}, Memory: rocm.Memory{MemAvailable: pointer(8 << 30)}}
	if got := r.bandwidth(discrete, true); got != nil {
		t.Errorf("on the GPU: %v", got)
	}
	if got := r.bandwidth(discrete, false); got == nil {
		t.Error("on the CPU it is not known")
	}
	r.given = &bench.Bandwidth{Bytes: 960e9}
	if got := r.bandwidth(discrete, true); got != r.given {
		t.Errorf("what was given: %v", got)
	}
}

func TestReadingMemoryTakesTime(t *testing.T) {
	if got := readSpeed(1<<20, 3); got < 1e6 || got > 1e15 {
		t.Errorf("%v bytes a second", got)
	}
	if got := readMemory(leastRead*freePart - 1); got != 0 {
		t.Errorf("with little room %v bytes a second", got)
	}
	words := make([]uint64, 1003)
	var want uint64
	for i := range words {
		words[i] = uint64(i * i)
		want += words[i]
	}
	if got := sum(words); got != want {
		t.Errorf("%d, want %d", got, want)
	}
}

// TestTheWidestTableFitsATerminal holds for figures of any size that a model can have.
func TestTheWidestTableFitsATerminal(t *testing.T) {
	wide := func() *bench.Figure { return &bench.Figure{Median: 99949, Min: 0.0123, Max: 99949, Count: 3} }
	percent := 100.0
	var out strings.Builder
	printBenchTier(&out, bench.Tier{
		Tier: "orchestrator", Variant: "llama-rocm", Engine: "llama", Version: "b11669-Debian", Model: strings.Repeat("long/", 20),
		Points: []bench.Point{{Depth: 131072, Streams: 1024, TTFT: wide(), CachedTTFT: wide(), Reading: wide(), Writing: wide(), Total: wide(), Percent: &percent}},
	})
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > pageWidth {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

func TestDigits(t *testing.T) {
	for n, want := range map[float64]string{0: "0.000", 0.0123: "0.012", 0.9996: "1.00", 1.234: "1.23", 9.996: "10.0", 12.34: "12.3", 99.96: "100", 1290.4: "1290", 9999.6: "10.0k", 99949: "99.9k", 817825: "818k"} {
		if got := digits(n); got != want {
			t.Errorf("%v is %s, want %s", n, got, want)
		}
	}
}
