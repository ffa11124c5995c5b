package gateway

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/tierd/tierd/agent/api"
)

// What clients read of the list: OpenAI's libraries and Open WebUI take id, object, created and owned_by; Continue and
// others take the context from vLLM's, llama-server's or OpenRouter's place for it.
func TestAModelHasWhatClientsLookFor(t *testing.T) {
	coder := route(t, "coder", "/nowhere")
	coder.State = api.Stopped
	rig := startRig(t, Config{}, coder)
	for _, url := range []string{rig.tierURL("", "/v1/models/coder"), rig.tierURL("coder", "/v1/models/coder")} {
		_, body := fetch(t, "GET", url, "")
		var got map[string]any
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(body, err)
		}
		for key, want := range map[string]any{
			"id": "coder", "object": "model", "created": 0.0, "owned_by": "tierd", "max_model_len": 4096.0, "context_length": 4096.0,
			"state": "stopped", "role": "the-coder", "root": "models/coder", "engine": "llama",
		} {
			if got[key] != want {
				t.Errorf("%s: %s is %v, want %v", url, key, got[key], want)
			}
		}
		if meta, ok := got["meta"].(map[string]any); !ok || meta["n_ctx"] != 4096.0 {
			t.Errorf("%s: meta is %v", url, got["meta"])
		}
	}
}

func TestOneModelByAnyOfItsNames(t *testing.T) {
	coder, orch := route(t, "coder", "/nowhere"), route(t, "orch", "/nowhere")
	coder.Names = append(coder.Names, "Qwen/Qwen3-Coder-30B-A3B-Instruct", "shared")
	orch.Names = append(orch.Names, "shared")
	rig := startRig(t, Config{}, coder, orch)
	for _, c := range []struct{ tier, path, want string }{
		{"", "/v1/models/Qwen/Qwen3-Coder-30B-A3B-Instruct", "coder"},
		{"", "/v1/models/Qwen%2FQwen3-Coder-30B-A3B-Instruct", "coder"},
		{"", "/v1/models/the-orch", "orch"},
		{"", "/v1/models/shared", "coder"},
		{"orch", "/v1/models/shared", "orch"},
		{"orch", "/v1/models/orch", "orch"},
	} {
		if res, body := fetch(t, "GET", rig.tierURL(c.tier, c.path), ""); res.StatusCode != 200 || !strings.Contains(body, `"id":"`+c.want+`"`) {
			t.Errorf("%s on %q: %d %s", c.path, c.tier, res.StatusCode, body)
		}
	}
	for _, c := range []struct{ tier, path, says string }{
		{"", "/v1/models/gpt-4", "tierd has Qwen/Qwen3-Coder-30B-A3B-Instruct, coder"},
		{"orch", "/v1/models/coder", "tier \"orch\". It answers to: orch, models/orch, shared"},
	} {
		if res, body := fetch(t, "GET", rig.tierURL(c.tier, c.path), ""); res.StatusCode != 404 || !strings.Contains(errorMessage(t, body), c.says) {
			t.Errorf("%s on %q: %d %s", c.path, c.tier, res.StatusCode, body)
		}
	}
	if _, body := fetch(t, "GET", rig.tierURL("", "/v1/models/"), ""); !strings.Contains(body, `"object":"list"`) {
		t.Errorf("with a slash at its end: %s", body)
	}
	if res, _ := fetch(t, "GET", rig.tierURL("", "/v1/modelsx"), ""); res.StatusCode != 404 {
		t.Errorf("another path: %d", res.StatusCode)
	}
}
