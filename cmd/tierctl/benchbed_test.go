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
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/bench"
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
	settle time.Duration // that a tier has to become idle: long, a busy machine is no request
}

// newBenchBed serves a coder of vLLM: its model is small enough to be written down, a mixture of four experts.
func newBenchBed(t *testing.T) *benchBed {
	t.Helper()
	b := &benchBed{settle: time.Minute}
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
	a.stdout, a.stderr, a.now, a.settle = &b.out, &b.errs, func() time.Time { return noon }, b.settle
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
