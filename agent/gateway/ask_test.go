package gateway

import (
	"testing"
)

func TestWhatIsLight(t *testing.T) {
	for _, c := range []struct {
		method, path string
		light, probe bool
	}{
		{"GET", "/health", true, true}, {"GET", "/v1/health", true, true}, {"HEAD", "/metrics", true, true}, {"GET", "/slots/", true, true},
		{"GET", "/", true, false}, {"GET", "/v1/models", true, true}, {"OPTIONS", "/v1/chat/completions", true, false},
		{"POST", "/tokenize", true, false}, {"POST", "/v1/detokenize", true, false}, {"POST", "/apply-template", true, false},
		{"POST", "/props", true, false}, {"POST", "/slots/1", true, false}, {"POST", "/v1/messages/count_tokens", true, false},
		{"POST", "/v1/chat/completions", false, false}, {"POST", "/completion", false, false}, {"POST", "/v1/embeddings", false, false},
		{"POST", "/v1/messages", false, false}, {"POST", "/health", false, false}, {"PUT", "/tokenizer", false, false},
	} {
		if ask := newAsk("a", c.method, c.path, nil); ask.Light != c.light || ask.Probe != c.probe {
			t.Errorf("%s %s: light %v, probe %v", c.method, c.path, ask.Light, ask.Probe)
		}
	}
}
