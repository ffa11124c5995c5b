package main

import (
	"fmt"
	"math"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

func TestMetricsOfBothEngines(t *testing.T) {
	const vllm = `# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="tier-a"} 2.0
vllm:num_requests_waiting{engine="0",model_name="tier-a"} 1.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="tier-a",reason="capacity"} 1.0
vllm:prompt_tokens_total{engine="0",model_name="a } b"} 1.5e+03
vllm:generation_tokens_total{engine="0",model_name="tier-a"} 70.0
vllm:generation_tokens_created{engine="0",model_name="tier-a"} 1.7e+09
`
	const llama = `llamacpp:prompt_tokens_total 11
llamacpp:tokens_predicted_total 7
llamacpp:n_decode_total 9
llamacpp:requests_processing 1
llamacpp:requests_deferred 2
`
	tests := []struct {
		name, text    string
		running, work float64
	}{
		{"vLLM", vllm, 3, 70},
		{"llama-server", llama, 3, 27},
		{"nothing of use", "go_goroutines 7\n", 0, 0},
		{"a value that is none", "llamacpp:requests_processing NaN\nllamacpp:requests_deferred +Inf\nllamacpp:n_decode_total x\n", 0, 0},
		{"no value", "llamacpp:requests_processing\nllamacpp:requests_processing \nvllm:num_requests_running{a=\"b\"}\n", 0, 0},
		{"a time behind the value", "llamacpp:requests_processing 4 1700000000\n", 4, 0},
	}
	for _, test := range tests {
		got, err := parseMetrics(strings.NewReader(test.text))
		if err != nil || !got.known || got.running != test.running || got.work != test.work {
			t.Errorf("%s: %+v, %v, want %v running and %v of work", test.name, got, err, test.running, test.work)
		}
	}
}

// TestWhatVLLMCountsWronglyIsTakenOff goes through what a vLLM says one look after the other.
func TestWhatVLLMCountsWronglyIsTakenOff(t *testing.T) {
	type look struct {
		load, running int  // what /load and the gauges say
		settle        bool // a completion has just worked
		want          float64
	}
	tests := []struct {
		name  string
		looks []look
	}{
		{"a true count is believed", []look{{load: 0}, {load: 2, want: 2}, {load: 3, running: 2, want: 3}, {load: 0}}},
		{"requests after a stall are in /load alone", []look{{load: 3, want: 3}}},
		{"one too many is one too many until the engine has proved that it is idle",
			[]look{{load: 1, want: 1}, {load: 1, settle: true}, {load: 1}, {load: 3, running: 2, want: 2}, {load: 4, want: 3}}},
		{"a client that did not read and has left after all", []look{{load: 1, settle: true}, {load: 0}, {load: 1, want: 1}}},
		{"gauges that count are no proof", []look{{load: 2, running: 1, settle: true}, {load: 2, running: 1, want: 2}}},
		{"fewer than none", []look{{load: -1}, {load: 0, want: 1}, {load: -2}, {load: 0, want: 2}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var now look
			p := proberOf(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/load" {
					fmt.Fprintf(w, `{"server_load": %d}`, now.load)
					return
				}
				fmt.Fprintf(w, "vllm:num_requests_running{engine=\"0\"} %d\n", now.running)
			})
			for i, look := range test.looks {
				now = look
				if look.settle {
					if err := p.settle(t.Context()); err != nil {
						t.Fatal(err)
					}
					continue
				}
				got, err := p.counters(t.Context())
				if err != nil || got.inFlight != look.want {
					t.Fatalf("look %d: %v in flight, %v, want %v", i, got.inFlight, err, look.want)
				}
			}
		})
	}
}

// proberOf is one of a vLLM that answers so.
func proberOf(t *testing.T, answer http.HandlerFunc) *prober {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "engine.sock")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: answer}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	return newProber("vllm", socket, "")
}

func FuzzMetrics(f *testing.F) {
	f.Add("vllm:num_requests_running{engine=\"0\"} 2.0\n")
	f.Add("llamacpp:n_decode_total 9 1\n#\n\n{} 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseMetrics(strings.NewReader(text))
		if err == nil && (math.IsNaN(got.running) || math.IsNaN(got.work)) {
			t.Errorf("%q gives %+v", text, got)
		}
	})
}
