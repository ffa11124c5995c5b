package gateway

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tierd/tierd/agent/api"
)

func (scriptedTierd) Metrics(context.Context) (api.Metrics, error) { return api.Metrics{}, nil }

// engineText is what an engine says at /metrics, as recorded.
func engineText(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTokensComeFromTheEngines(t *testing.T) {
	says := func(text string) string {
		return startEngine(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/metrics" {
				http.NotFound(w, r)
				return
			}
			io.WriteString(w, text)
		}).socket
	}
	coder, orch, off, away, cloud := route(t, "coder", says(engineText(t, "metrics-llama.txt"))), route(t, "orch", says(engineText(t, "metrics-vllm.txt"))),
		route(t, "off", "/nowhere"), route(t, "away", "/nowhere"), route(t, "cloud", "/nowhere")
	orch.Engine, cloud.Engine, off.State = "vllm", "remote", api.Stopped
	rig := startRig(t, Config{}, coder, orch, off, away, cloud)
	look(t, rig).must(t, "both kinds", `
		tierd_engine_up tier=coder 1
		tierd_engine_prompt_tokens_total tier=coder 38
		tierd_engine_prompt_tokens_cached_total tier=coder 12
		tierd_engine_generated_tokens_total tier=coder 57
		tierd_engine_requests_running tier=coder 1
		tierd_engine_requests_waiting tier=coder 2
		tierd_engine_kv_cache_used_ratio tier=coder -
		tierd_engine_up tier=orch 1
		tierd_engine_prompt_tokens_total tier=orch 1538
		tierd_engine_generated_tokens_total tier=orch 70
		tierd_engine_requests_running tier=orch 2
		tierd_engine_requests_waiting tier=orch 1
		tierd_engine_kv_cache_used_ratio tier=orch 0.25
		tierd_engine_up tier=off -
		tierd_engine_up tier=away 0
		tierd_engine_prompt_tokens_total tier=away -
		tierd_engine_up tier=cloud -`)
	if idle := rig.pool; idle.load()["tier-coder.service"] != 0 || len(rig.report().Idle) != 0 {
		t.Error("a scrape counts as a request, so that a tier that is watched would never be idle")
	}
}

// The manual page is the only place that tells what there is to be scraped.
func TestTheManualPageHasEverySeries(t *testing.T) {
	page, err := os.ReadFile("../../docs/man/tier-gateway.8.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, name := range regexp.MustCompile(`\*(tierd_[a-z_]+)\*`).FindAllStringSubmatch(string(page), -1) {
		documented[name[1]] = true
	}
	sources := ""
	for _, file := range []string{"metrics.go", "scrape.go", "scrapetierd.go", "scrapeengine.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sources += string(text)
	}
	defined := map[string]bool{}
	for _, name := range regexp.MustCompile(`(?:Name: "|desc\(")(?:tierd_)?([a-z_]+)"`).FindAllStringSubmatch(sources, -1) {
		defined["tierd_"+name[1]] = true
	}
	if len(defined) < 30 {
		t.Errorf("only %d series were found in the sources", len(defined))
	}
	for name := range defined {
		if !documented[name] {
			t.Errorf("%s is not in tier-gateway(8)", name)
		}
	}
	for name := range documented {
		if !defined[name] {
			t.Errorf("tier-gateway(8) has %s, which there is not", name)
		}
	}
}

func TestAnEngineThatIsStuckHoldsNoScrapeUp(t *testing.T) {
	stuck := startEngine(t, func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	rig := startRig(t, Config{}, route(t, "coder", stuck.socket))
	look(t, rig).must(t, "stuck", "tierd_engine_up tier=coder 0\ntierd_up 1")
}

func TestTwoWorkersAreOneEngine(t *testing.T) {
	got, err := parseEngine(strings.NewReader(`
vllm:prompt_tokens_total{engine="0",model_name="a } b"} 1.5e+03
vllm:prompt_tokens_total{engine="1",model_name="a } b"} 38
vllm:kv_cache_usage_perc{engine="0"} 0.75
vllm:kv_cache_usage_perc{engine="1"} 0.5
vllm:num_requests_running{engine="0"} NaN
vllm:num_requests_waiting{engine="0"} -1
vllm:generation_tokens_total{engine="0"} +Inf
vllm:prompt_tokens_total_created{engine="0"} 9
`), engineNames["vllm"])
	if err != nil || len(got) != 1 || got[promptDesc] != 1538 {
		t.Errorf("%v, %v", got, err)
	}
}

func TestWhatAnEngineSaysIsBounded(t *testing.T) {
	line := `vllm:prompt_tokens_total{engine="%d"} 1` + "\n"
	var many, long, large bytes.Buffer
	for i := range 3000 {
		fmt.Fprintf(&many, line, i)
	}
	long.WriteString("# HELP " + strings.Repeat("x", maxEngineLine) + "\n")
	for large.Len() <= maxEngineText {
		large.WriteString(strings.Repeat("#\n", 1<<10))
	}
	for rule, c := range map[string]struct{ text, says string }{
		"too many lines of a name": {many.String(), "too many lines"},
		"a line without end":       {long.String(), "token too long"},
		"a page without end":       {large.String(), "more than 4 MiB"},
		"no value":                 {"vllm:prompt_tokens_total{a=\"b\"}\n", "cannot read"},
		"a broken label":           {"vllm:prompt_tokens_total{a=b} 1\n", "cannot read"},
	} {
		got, err := parseEngine(strings.NewReader(c.text), engineNames["vllm"])
		if err == nil || !strings.Contains(err.Error(), c.says) || got != nil {
			t.Errorf("%s: %v, %v", rule, got, err)
		}
	}
}

func FuzzEngineMetrics(f *testing.F) {
	f.Add(engineText(f, "metrics-llama.txt"))
	f.Add(engineText(f, "metrics-vllm.txt"))
	f.Add("vllm:prompt_tokens_total{engine=\"0\"} 1e400 7\n{} 1\nllamacpp:tokens_predicted_total\t3\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, names := range engineNames {
			got, err := parseEngine(strings.NewReader(text), names)
			for d, value := range got {
				if err != nil || d == nil || value < 0 || math.IsNaN(value) || math.IsInf(value, 0) {
					t.Fatalf("%q gives %v, %v", text, got, err)
				}
			}
		}
	})
}

func BenchmarkParseEngine(b *testing.B) {
	var page bytes.Buffer
	for range 2000 {
		page.WriteString("vllm:time_to_first_token_seconds_bucket{engine=\"0\",le=\"0.001\",model_name=\"coder\"} 12.0\n")
	}
	page.WriteString(engineText(b, "metrics-vllm.txt"))
	b.SetBytes(int64(page.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseEngine(bytes.NewReader(page.Bytes()), engineNames["vllm"]); err != nil {
			b.Fatal(err)
		}
	}
}
