package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// endpoint is one that an engine documents.
type endpoint struct {
	method, path string
	kind         bodyKind
}

// bodyKind is where a request to it may name its model.
type bodyKind int

const (
	inJSON  bodyKind = iota // `model` in a JSON object
	inForm                  // a field of form-data
	inQuery                 // nowhere but in ?model=, which the engine does not look at
)

// endpoints are those of llama-server's README and of vLLM 0.32's API server, and one that neither has yet.
var endpoints = []endpoint{
	{"POST", "/v1/chat/completions", inJSON}, {"POST", "/chat/completions", inJSON}, {"POST", "/v1/completions", inJSON},
	{"POST", "/completions", inJSON}, {"POST", "/completion", inJSON}, {"POST", "/v1/responses", inJSON}, {"POST", "/v1/embeddings", inJSON},
	{"POST", "/embeddings", inJSON}, {"POST", "/embedding", inJSON}, {"POST", "/infill", inJSON}, {"POST", "/v1/messages", inJSON},
	{"POST", "/v1/messages/count_tokens", inJSON}, {"POST", "/rerank", inJSON}, {"POST", "/v1/rerank", inJSON}, {"POST", "/v2/rerank", inJSON},
	{"POST", "/reranking", inJSON}, {"POST", "/v1/reranking", inJSON}, {"POST", "/score", inJSON}, {"POST", "/v1/score", inJSON},
	{"POST", "/classify", inJSON}, {"POST", "/pooling", inJSON}, {"POST", "/v2/embed", inJSON}, {"POST", "/tokenize", inJSON},
	{"POST", "/detokenize", inJSON}, {"POST", "/apply-template", inJSON}, {"POST", "/v1/chat/completions/batch", inJSON},
	{"POST", "/v1/chat/completions/render", inJSON}, {"POST", "/v1/completions/render", inJSON}, {"POST", "/invocations", inJSON},
	{"POST", "/inference/v1/generate", inJSON}, {"POST", "/v1/load_lora_adapter", inJSON}, {"POST", "/v1/unload_lora_adapter", inJSON},
	{"POST", "/api/chat", inJSON}, {"POST", "/api/show", inJSON}, {"PUT", "/v1/what/comes/next", inJSON},
	{"POST", "/v1/audio/transcriptions", inForm}, {"POST", "/v1/audio/translations", inForm}, {"POST", "/v1/images/edits", inForm},
	{"GET", "/props", inQuery}, {"POST", "/props", inQuery}, {"GET", "/slots", inQuery}, {"POST", "/slots/0?action=save", inQuery},
	{"GET", "/lora-adapters", inQuery}, {"POST", "/lora-adapters", inQuery}, {"GET", "/tokenizer_info", inQuery}, {"GET", "/version", inQuery},
	{"GET", "/load", inQuery}, {"GET", "/ping", inQuery}, {"GET", "/server_info", inQuery}, {"POST", "/sleep?level=2", inQuery},
	{"POST", "/reset_prefix_cache", inQuery}, {"GET", "/v1/responses/resp_1", inQuery}, {"POST", "/v1/responses/resp_1/cancel", inQuery},
	{"DELETE", "/v1/responses/resp_1", inQuery}, {"GET", "/api/tags", inQuery},
}

func TestEveryEndpointOfBothEnginesIsReached(t *testing.T) {
	says := func(name string) string {
		return startEngine(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s: %s %s %s", name, r.Method, r.URL.RequestURI(), body)
		}).socket
	}
	rig := startRig(t, Config{}, route(t, "orch", says("orch")), route(t, "coder", says("coder")))
	late, lateBody := form(t, "@file", strings.Repeat("\r\n--sound ", 1<<18), "language", "en", "model", "coder")
	early, earlyBody := form(t, "model", "coder", "@file", "sound")
	for _, e := range endpoints {
		type try struct{ how, url, contentType, body, want string }
		nameless := `{"content":"x"}`
		if e.path == "/lora-adapters" {
			nameless = `[{"id":0,"scale":0.5}]`
		}
		if e.method == "GET" || e.method == "DELETE" {
			nameless = ""
		}
		join := "?"
		if strings.Contains(e.path, "?") {
			join = "&"
		}
		tries := []try{
			{"by port", rig.tierURL("coder", e.path), "application/json", nameless, e.path + " " + nameless},
			{"by path", rig.tierURL("", "/upstream/coder"+e.path), "application/json", nameless, e.path + " " + nameless},
			{"by query", rig.tierURL("", e.path+join+"model=coder"), "application/json", nameless, e.path + join + "model=coder " + nameless},
		}
		switch e.kind {
		case inJSON:
			for _, body := range []string{`{"model":"coder","a":1}`, `{"a":{"model":"orch"},"b":["model","orch"],"model":"coder"}`} {
				tries = append(tries, try{"by body", rig.tierURL("", e.path), "application/json", body, e.path + " " + body})
			}
		case inForm:
			tries = append(tries, try{"by form", rig.tierURL("", e.path), early, string(earlyBody), e.path + " " + string(earlyBody)},
				try{"by form, behind a large file", rig.tierURL("", e.path), late, string(lateBody), e.path + " " + string(lateBody)})
		}
		for _, c := range tries {
			res, got := fetch(t, e.method, c.url, c.body, "Content-Type", c.contentType)
			if want := "coder: " + e.method + " " + c.want; res.StatusCode != 200 || got != want {
				t.Errorf("%s %s %s: %d %.200q, want %.200q", e.method, e.path, c.how, res.StatusCode, got, want)
			}
		}
		res, got := fetch(t, e.method, rig.tierURL("", e.path), nameless)
		if message := errorMessage(t, got); res.StatusCode != 400 && res.StatusCode != 404 || !strings.Contains(message, "coder") || !strings.Contains(message, "orch") {
			t.Errorf("%s %s without a name: %d %q, which does not say what there is", e.method, e.path, res.StatusCode, message)
		}
	}
}

// The paths that the gateway answers itself are the engine's own below /upstream, and on a tier's port but for the models.
func TestWhatTheGatewayHasOfItsOwnCanBeHadFromTheEngineToo(t *testing.T) {
	rig := startRig(t, Config{}, route(t, "coder", echoing(t, "coder").socket))
	for _, path := range []string{"/v1/models", "/v1/models/x", "/health", "/metrics", "/"} {
		if res, _ := fetch(t, "GET", rig.tierURL("", "/upstream/coder"+path), ""); res.Header.Get("X-Engine") != "coder" {
			t.Errorf("/upstream/coder%s is not the engine's: %d", path, res.StatusCode)
		}
		res, _ := fetch(t, "GET", rig.tierURL("coder", path), "")
		if engines := !strings.HasPrefix(path, "/v1/models"); (res.Header.Get("X-Engine") == "coder") != engines {
			t.Errorf("%s on the tier's port: %d, %v", path, res.StatusCode, res.Header)
		}
	}
}

func TestAnUpgradeIsRoutedByItsQuery(t *testing.T) {
	engine := startEngine(t, func(w http.ResponseWriter, r *http.Request) {
		c, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		line, _ := buffered.ReadString('\n')
		io.WriteString(c, "heard "+line)
	})
	rig := startRig(t, Config{}, route(t, "coder", engine.socket), route(t, "orch", "/nowhere"))
	for _, at := range []struct{ tier, path string }{{"", "/v1/realtime?model=coder"}, {"coder", "/v1/realtime"}, {"", "/upstream/coder/v1/realtime"}} {
		port := rig.table.Port
		if at.tier != "" {
			port = rig.table.Routes[0].Port
		}
		c, err := net.Dial("tcp", address(port))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", at.path)
		r := bufio.NewReader(c)
		res, err := http.ReadResponse(r, nil)
		if err != nil || res.StatusCode != 101 {
			t.Fatalf("%s: %+v, %v", at.path, res, err)
		}
		io.WriteString(c, "hello\n")
		if line, err := r.ReadString('\n'); line != "heard hello\n" {
			t.Errorf("%s: %q, %v", at.path, line, err)
		}
	}
}
