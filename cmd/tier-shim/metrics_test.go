package main

import (
	"math"
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
		name, text     string
		inFlight, work float64
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
		if err != nil || !got.known || got.inFlight != test.inFlight || got.work != test.work {
			t.Errorf("%s: %+v, %v, want %v in flight and %v of work", test.name, got, err, test.inFlight, test.work)
		}
	}
}

func FuzzMetrics(f *testing.F) {
	f.Add("vllm:num_requests_running{engine=\"0\"} 2.0\n")
	f.Add("llamacpp:n_decode_total 9 1\n#\n\n{} 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseMetrics(strings.NewReader(text))
		if err == nil && (math.IsNaN(got.inFlight) || math.IsNaN(got.work)) {
			t.Errorf("%q gives %+v", text, got)
		}
	})
}
