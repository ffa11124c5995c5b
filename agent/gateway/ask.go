package gateway

import (
	"net/http"
	"strings"
)

// newAsk is what a request to path asks of a tier; path is the engine's, without a query.
func newAsk(tier, method, path string, body []byte) Ask {
	ask := Ask{Tier: tier, Path: path, Body: body}
	path = strings.TrimSuffix(path, "/")
	short := strings.TrimPrefix(path, "/v1")
	switch method {
	case http.MethodGet, http.MethodHead:
		ask.Light, ask.Probe = true, probes[short]
	case http.MethodOptions:
		ask.Light = true
	default:
		ask.Light = lightPosts[short] || strings.HasPrefix(short, "/slots/")
	}
	return ask
}

// probes are asked by whoever looks after an engine. They tell nothing of one that does not run, and a monitor that asks
// every few seconds must not have it loaded. An engine's own list of models is among them: the tiers' is the gateway's.
var probes = map[string]bool{
	"/health": true, "/metrics": true, "/slots": true, "/props": true, "/ping": true, "/load": true, "/version": true, "/is_sleeping": true,
	"/models": true,
}

// lightPosts are answered without work on a prompt. Who counts tokens before it asks must not wait behind those who ask.
var lightPosts = map[string]bool{
	"/tokenize": true, "/detokenize": true, "/apply-template": true, "/props": true, "/slots": true, "/lora-adapters": true,
	"/messages/count_tokens": true, "/chat/completions/render": true, "/completions/render": true,
}
