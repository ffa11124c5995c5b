package gateway

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	prom "github.com/prometheus/common/model"

	"github.com/tierd/tierd/agent/api"
)

// What is read of an engine's own metrics at most. vLLM has some 200 KiB of histograms, of which a handful of lines counts.
const (
	maxEngineText = 4 << 20
	maxEngineLine = 64 << 10
	maxEngineKept = 64 << 10
)

var (
	engineUpDesc  = desc("engine_up", "1 if a ready tier's engine told its own metrics.", "tier")
	promptDesc    = desc("engine_prompt_tokens_total", "Tokens of prompts, as the engine counts since it began.", "tier")
	cachedDesc    = desc("engine_prompt_tokens_cached_total", "Those of them that were in its cache.", "tier")
	generatedDesc = desc("engine_generated_tokens_total", "Tokens of answers, as the engine counts since it began.", "tier")
	runningDesc   = desc("engine_requests_running", "Requests that the engine works on.", "tier")
	queuedDesc    = desc("engine_requests_waiting", "Requests that wait in the engine.", "tier")
	cacheDesc     = desc("engine_kv_cache_used_ratio", "The part of its KV cache that is in use, 0 to 1.", "tier")
)

// engineNames are the metrics that are taken over, by kind of engine and by their names there. A remote engine is another
// machine's, which is asked for nothing but what clients ask.
var engineNames = map[string]map[string]*prometheus.Desc{
	"llama": {
		"llamacpp:prompt_tokens_total":        promptDesc,
		"llamacpp:prompt_tokens_cached_total": cachedDesc,
		"llamacpp:tokens_predicted_total":     generatedDesc,
		"llamacpp:requests_processing":        runningDesc,
		"llamacpp:requests_deferred":          queuedDesc,
	},
	"vllm": {
		"vllm:prompt_tokens_total":        promptDesc,
		"vllm:prompt_tokens_cached_total": cachedDesc,
		"vllm:generation_tokens_total":    generatedDesc,
		"vllm:num_requests_running":       runningDesc,
		"vllm:num_requests_waiting":       queuedDesc,
		"vllm:kv_cache_usage_perc":        cacheDesc,
		"vllm:gpu_cache_usage_perc":       cacheDesc, // its name in older versions
	},
}

// askEngine tells what an engine counts. It has a connection of its own, which is closed at once: one of the pool's would
// make a tier that nobody asks busy.
func askEngine(ctx context.Context, out chan<- prometheus.Metric, r *api.Route) {
	values, err := readEngine(ctx, r.Socket, engineNames[r.Engine])
	out <- prometheus.MustNewConstMetric(engineUpDesc, prometheus.GaugeValue, boolean(err == nil), r.Tier)
	for d, value := range values {
		kind := prometheus.GaugeValue
		if d == promptDesc || d == cachedDesc || d == generatedDesc {
			kind = prometheus.CounterValue
		}
		out <- prometheus.MustNewConstMetric(d, kind, value, r.Tier)
	}
}

func readEngine(ctx context.Context, socket string, names map[string]*prometheus.Desc) (map[*prometheus.Desc]float64, error) {
	var d net.Dialer
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", socket) },
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine/metrics", nil)
	if err != nil {
		return nil, err
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the engine answered GET /metrics with %s", res.Status)
	}
	return parseEngine(res.Body, names)
}

// parseEngine sums the named metrics up over their labels: an engine may have several workers. Only the lines that are
// wanted are kept and parsed, so that a large page costs no memory.
func parseEngine(from io.Reader, names map[string]*prometheus.Desc) (map[*prometheus.Desc]float64, error) {
	limited := &io.LimitedReader{R: from, N: maxEngineText + 1}
	lines := bufio.NewScanner(limited)
	lines.Buffer(make([]byte, 4<<10), maxEngineLine)
	var kept bytes.Buffer
	for lines.Scan() {
		line := lines.Bytes()
		end := bytes.IndexAny(line, "{ \t")
		if end < 0 || names[string(line[:end])] == nil {
			continue
		}
		if kept.Len()+len(line) > maxEngineKept {
			return nil, errors.New("the engine's metrics have too many lines of one name")
		}
		kept.Write(line)
		kept.WriteByte('\n')
	}
	switch {
	case lines.Err() != nil:
		return nil, fmt.Errorf("cannot read the engine's metrics: %w", lines.Err())
	case limited.N == 0:
		return nil, fmt.Errorf("the engine's metrics have more than %d MiB", maxEngineText>>20)
	}
	parser := expfmt.NewTextParser(prom.LegacyValidation)
	families, err := parser.TextToMetricFamilies(&kept)
	if err != nil {
		return nil, fmt.Errorf("cannot read the engine's metrics: %w", err)
	}
	values := map[*prometheus.Desc]float64{}
	for name, family := range families {
		for _, m := range family.GetMetric() {
			if value := valueOf(m); value >= 0 && !math.IsInf(value, 0) {
				values[names[name]] += value
			}
		}
	}
	if used, there := values[cacheDesc]; there && used > 1 { // of several workers: the sum means nothing
		delete(values, cacheDesc)
	}
	return values, nil
}

// valueOf is a metric's number. The lines that tell its type were left out, so that the parser has it as untyped.
func valueOf(m *dto.Metric) float64 { return m.GetUntyped().GetValue() }
