package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
)

// counters is what an engine says of its work.
type counters struct {
	known    bool
	running  float64 // requests running and waiting, as the engine's own gauges have it
	inFlight float64 // those, or what vLLM's API server has, whichever is more
	work     float64 // grows with every token, read or written
}

// workMetrics and flightMetrics name the figures of /metrics that are added up. llamacpp:n_decode_total moves with every
// batch, so it shows that a long prompt is being read.
var (
	workMetrics = map[string]bool{
		"vllm:generation_tokens_total": true, "vllm:prompt_tokens_total": true,
		"llamacpp:tokens_predicted_total": true, "llamacpp:prompt_tokens_total": true, "llamacpp:n_decode_total": true,
	}
	flightMetrics = map[string]bool{
		"vllm:num_requests_running": true, "vllm:num_requests_waiting": true,
		"llamacpp:requests_processing": true, "llamacpp:requests_deferred": true,
	}
)

// counters reads /metrics, and for vLLM /load: a stuck engine leaves its own gauges at zero for requests that come
// after the stall, while the API server behind /load counts them. Not known: the engine offers no metrics.
func (p *prober) counters(ctx context.Context) (counters, error) {
	seen, load, err := p.ledger(ctx)
	if err != nil || !seen.known {
		return counters{}, err
	}
	if load < p.drift.Load() {
		p.drift.Store(load) // fewer than none: the counter had lost some
	}
	seen.inFlight = max(seen.running, float64(load-p.drift.Load()))
	return seen, nil
}

// settle takes what /load counts beyond the engine's own gauges for its drift. vLLM takes an answered request off that
// counter in another thread than the one that puts the next one on, without a lock (load_aware_call and
// decrement_server_load in its api_utils.py), so it may come to stand one too high for good; each stall_timeout would then
// cost the idle engine a token. The caller has just seen a completion, so the gauges are alive.
func (p *prober) settle(ctx context.Context) error {
	seen, load, err := p.ledger(ctx)
	if err == nil && seen.known && seen.running == 0 {
		p.drift.Store(load)
	}
	return err
}

// ledger is what the engine says of its work, and what vLLM's API server counts; 0 for another engine.
func (p *prober) ledger(ctx context.Context) (seen counters, load int64, err error) {
	status, err := p.ask(ctx, "GET", "/metrics", nil, func(body io.Reader) (err error) {
		seen, err = parseMetrics(body)
		return err
	})
	switch {
	case err != nil:
		return counters{}, 0, fmt.Errorf("cannot read the engine's metrics: %w", err)
	case status != http.StatusOK:
		return counters{}, 0, nil
	case p.engine != "vllm":
		return seen, 0, nil
	}
	var answer struct {
		Server int64 `json:"server_load"`
	}
	_, err = p.ask(ctx, "GET", "/load", nil, func(body io.Reader) error {
		return json.NewDecoder(body).Decode(&answer)
	})
	if err != nil {
		return counters{}, 0, fmt.Errorf("cannot read the engine's /load: %w", err)
	}
	return seen, answer.Server, nil
}

// parseMetrics adds up the figures of interest in a Prometheus text: lines of `name{labels} value [time]`. Lines that it
// cannot read are passed over, as is every figure that is not a finite number.
func parseMetrics(text io.Reader) (counters, error) {
	seen := counters{known: true}
	lines := bufio.NewScanner(text)
	lines.Buffer(make([]byte, 4<<10), 1<<20)
	for lines.Scan() {
		line := lines.Bytes()
		nameEnd := bytes.IndexAny(line, "{ \t")
		if nameEnd < 0 || line[0] == '#' {
			continue
		}
		name := line[:nameEnd]
		working, flying := workMetrics[string(name)], flightMetrics[string(name)]
		if !working && !flying {
			continue
		}
		value, ok := metricValue(line[nameEnd:])
		switch {
		case !ok:
		case working:
			seen.work += value
		case flying:
			seen.running += value
		}
	}
	return seen, lines.Err()
}

func metricValue(rest []byte) (float64, bool) {
	if rest[0] == '{' {
		_, after, found := bytes.Cut(rest, []byte("} ")) // a label's value may hold a brace, not one with a blank behind it
		if !found {
			return 0, false
		}
		rest = after
	}
	fields := bytes.Fields(rest)
	if len(fields) == 0 {
		return 0, false
	}
	value, err := strconv.ParseFloat(string(fields[0]), 64)
	if err != nil || math.IsNaN(value) || math.IsInf(value, 0) {
		return 0, false
	}
	return value, true
}
