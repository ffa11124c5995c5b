package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// engine answers as a llama-server or a vLLM behind the gateway, with the times that a test gives it.
type engine struct {
	kind       string
	reads      time.Duration // for each token of a prompt that it has not seen
	writes     time.Duration // for each token that it makes
	counts     bool          // it sends usage
	timings    bool          // it sends timings
	details    bool          // its usage names cached tokens
	version    string
	failAfter  int    // requests for completions; 0: never
	breaks     string // what is wrong with a stream: "cut", "error", "nonsense", "silent"
	refuse     int    // status of every answer
	refuseWith string

	mu      sync.Mutex
	seen    [][]int // prompts
	asked   []map[string]json.RawMessage
	keys    []string
	streams int // now
	most    int
}

func (e *engine) client() Client {
	return Client{HTTP: e, Base: "http://127.0.0.1:8001", Model: "coder", Engine: e.kind, Key: "secret"}
}

func (e *engine) RoundTrip(r *http.Request) (*http.Response, error) {
	e.mu.Lock()
	e.keys = append(e.keys, r.Header.Get("Authorization"))
	e.mu.Unlock()
	if e.refuse > 0 {
		return answerOf(e.refuse, e.refuseWith), nil
	}
	switch r.URL.Path {
	case "/version", "/props":
		if (r.URL.Path == "/props") != (e.kind == Llama) {
			return answerOf(404, `{"error":{"message":"not found"}}`), nil
		}
		return answerOf(200, fmt.Sprintf(`{"version":%q,"build_info":%q,"chat_template":"x"}`, e.version, e.version)), nil
	case "/tokenize":
		return e.tokenize(r), nil
	case "/v1/completions":
		return e.complete(r)
	}
	return answerOf(404, "no such path"), nil
}

func answerOf(status int, text string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(text))}
}

func (e *engine) tokenize(r *http.Request) *http.Response {
	var body struct{ Prompt, Content string }
	_ = json.NewDecoder(r.Body).Decode(&body)
	text := body.Prompt
	if e.kind == Llama {
		text = body.Content
	}
	var ids []int
	known := map[string]int{}
	for word := range strings.FieldsSeq(text) {
		if known[word] == 0 {
			known[word] = len(known) + 100
		}
		ids = append(ids, known[word])
	}
	out, _ := json.Marshal(map[string]any{"tokens": ids, "count": len(ids)})
	return answerOf(200, string(out))
}

func (e *engine) complete(r *http.Request) (*http.Response, error) {
	text, _ := io.ReadAll(r.Body)
	var body struct {
		Prompt    []int `json:"prompt"`
		MaxTokens int   `json:"max_tokens"`
	}
	var all map[string]json.RawMessage
	if json.Unmarshal(text, &body) != nil || json.Unmarshal(text, &all) != nil {
		return answerOf(400, "no JSON"), nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked = append(e.asked, all)
	if e.failAfter > 0 && len(e.asked) > e.failAfter {
		return answerOf(503, `{"error":{"message":"coder gave way","type":"tierd"}}`), nil
	}
	cached := 0
	for _, p := range e.seen {
		n := 0
		for n < min(len(p), len(body.Prompt)-1) && p[n] == body.Prompt[n] {
			n++
		}
		cached = max(cached, n)
	}
	e.seen = append(e.seen, slices.Clone(body.Prompt))
	e.streams++
	e.most = max(e.most, e.streams)
	from, to := io.Pipe()
	go func() {
		err := e.write(r.Context(), to, len(body.Prompt), cached, body.MaxTokens)
		e.mu.Lock()
		e.streams--
		e.mu.Unlock()
		to.CloseWithError(err)
	}()
	return &http.Response{StatusCode: 200, Body: from}, nil
}

// write is the stream: it takes as long as the prompt and each token take.
func (e *engine) write(ctx context.Context, to io.Writer, prompt, cached, tokens int) error {
	pause := func(d time.Duration) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(d):
			return nil
		}
	}
	if err := pause(time.Duration(prompt-cached) * e.reads); err != nil {
		return err
	}
	fmt.Fprint(to, ":\n\n") // keeps a connection open
	for i := range tokens {
		if i > 0 {
			if err := pause(e.writes); err != nil {
				return err
			}
		}
		switch {
		case i == 1 && e.breaks == "cut":
			return io.ErrUnexpectedEOF
		case i == 1 && e.breaks == "error":
			fmt.Fprint(to, "data: {\"error\":{\"message\":\"the engine died\"}}\n\n")
		case i == 1 && e.breaks == "nonsense":
			fmt.Fprint(to, "data: <html>\n\n")
		}
		if _, err := fmt.Fprint(to, "data: {\"choices\":[{\"text\":\"a\"}]}\n\n"); err != nil {
			return err
		}
	}
	fmt.Fprintf(to, "data: {\"choices\":[]%s}\n\n", e.end(prompt, cached, tokens))
	if e.breaks != "silent" {
		fmt.Fprint(to, "data: [DONE]\n\n")
	}
	return nil
}

// end is what the last part of a stream says of all of it.
func (e *engine) end(prompt, cached, tokens int) string {
	text, details := "", ""
	if e.details {
		details = fmt.Sprintf(`,"prompt_tokens_details":{"cached_tokens":%d}`, cached)
	}
	if e.counts {
		text += fmt.Sprintf(`,"usage":{"prompt_tokens":%d,"completion_tokens":%d%s}`, prompt, tokens, details)
	}
	if e.timings {
		text += fmt.Sprintf(`,"timings":{"prompt_n":%d,"prompt_per_second":1000,"predicted_n":%d,"predicted_per_second":50}`, prompt-cached, tokens)
	}
	return text
}
