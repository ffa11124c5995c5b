package script

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Engine is the server of one tier.
type Engine struct {
	Path          string // of the script
	Tier, Variant string
	Model         string // the name that it serves
	Context       int    // tokens that one request may have
	Slots         int
	Out           io.Writer // where the record goes

	ready   atomic.Bool
	working atomic.Int64
	spoken  atomic.Int64 // words, which count as tokens
	mu      sync.Mutex
	used    map[string]int // how often a rule held, by its name
}

// Load takes as long as the script says; until then every path answers 503.
func (e *Engine) Load() error {
	s, err := Read(e.Path)
	if err != nil {
		return err
	}
	time.Sleep(time.Duration(s.Load[e.Tier]))
	e.ready.Store(true)
	return nil
}

// ServeHTTP answers what tierd and its clients ask of a llama-server.
func (e *Engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !e.ready.Load() {
		refuse(w, http.StatusServiceUnavailable, "Loading model", "unavailable_error", nil)
		return
	}
	switch r.URL.Path {
	case "/health":
		reply(w, map[string]string{"status": "ok"})
	case "/v1/models":
		reply(w, map[string]any{"object": "list", "data": []any{map[string]any{
			"id": e.Model, "object": "model", "meta": map[string]int{"n_ctx_train": e.Context}}}})
	case "/props":
		reply(w, map[string]any{"total_slots": e.Slots, "default_generation_settings": map[string]int{"n_ctx": e.Context}})
	case "/metrics":
		fmt.Fprintf(w, "llamacpp:requests_processing %d\nllamacpp:tokens_predicted_total %d\n", e.working.Load(), e.spoken.Load())
	case "/v1/completions":
		reply(w, map[string]any{"object": "text_completion", "choices": []any{map[string]any{"index": 0, "text": "a", "finish_reason": "length"}}})
	case "/v1/chat/completions":
		e.chat(w, r)
	default:
		refuse(w, http.StatusNotFound, "File Not Found", "not_found_error", nil)
	}
}

// chat answers by the script and writes the turn down.
func (e *Engine) chat(w http.ResponseWriter, r *http.Request) {
	e.working.Add(1)
	defer e.working.Add(-1)
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler) // the client has gone
	}
	q, err := readQuestion(body)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error(), "invalid_request_error", nil)
		return
	}
	rule := e.rule(q)
	e.record(r, q, rule)
	if !pause(r, rule.Wait) {
		panic(http.ErrAbortHandler)
	}
	if rule.Status != http.StatusOK {
		for name, value := range rule.Header {
			w.Header().Set(name, value)
		}
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(rule.Status)
		_, _ = io.WriteString(w, rule.Body)
		return
	}
	if q.Stream {
		e.stream(w, r, q, rule)
	} else {
		e.whole(w, q, rule)
	}
}

// rule finds the first rule that holds. A prompt that is longer than the context is refused as llama-server does, whatever
// the rules say.
func (e *Engine) rule(q *question) *Rule {
	if n := q.tokens(); n >= e.Context {
		return &Rule{Name: "too long", Status: http.StatusBadRequest, Body: Overflow(n, e.Context)}
	}
	s, err := Read(e.Path)
	if err != nil {
		return &Rule{Name: "no script", Status: http.StatusInternalServerError, Body: err.Error()}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range s.Rules {
		if (r.Times > 0 && e.used[r.Name] >= r.Times) || !r.fits(e.Tier, q) {
			continue
		}
		if e.used == nil {
			e.used = map[string]int{}
		}
		e.used[r.Name]++
		if r.Status == 0 {
			r.Status = http.StatusOK
		}
		return &r
	}
	return &Rule{Name: "none", Status: http.StatusInternalServerError, Body: "no rule of the script fits this request"}
}

func (e *Engine) record(r *http.Request, q *question, rule *Rule) {
	t := Turn{
		At: time.Now(), Tier: e.Tier, Variant: e.Variant,
		Session: r.Header.Get("X-Session-Id"), Parent: r.Header.Get("X-Parent-Session-Id"), Agent: r.UserAgent(),
		Model: q.Model, MaxTokens: q.MaxTokens, Temperature: q.Temperature, Tokens: q.tokens(), Messages: len(q.Messages),
		Last: beginning(q.last(), 160), Rule: rule.Name, Status: rule.Status,
	}
	for _, tool := range q.Tools {
		t.Tools = append(t.Tools, tool.Function.Name)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	fmt.Fprintln(e.Out, t.line())
}

// beginning is so much of a text, in whole characters.
func beginning(text string, length int) string {
	for i := range text {
		if i >= length {
			return text[:i]
		}
	}
	return text
}

// pause waits, and tells whether the client is still there.
func pause(r *http.Request, d Duration) bool {
	if d == 0 {
		return true
	}
	select {
	case <-r.Context().Done():
		return false
	case <-time.After(time.Duration(d)):
		return true
	}
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(v)
}

// refuse answers with an error of llama-server's shape.
func refuse(w http.ResponseWriter, status int, message, kind string, more map[string]any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, failure(status, message, kind, more))
}

func failure(status int, message, kind string, more map[string]any) string {
	object := map[string]any{"code": status, "message": message, "type": kind}
	for name, value := range more {
		object[name] = value
	}
	text, err := json.Marshal(map[string]any{"error": object})
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Overflow is what llama-server 0.7 says to a prompt that is longer than its context.
func Overflow(tokens, context int) string {
	message := fmt.Sprintf("request (%d tokens) exceeds the available context size (%d tokens), try increasing it", tokens, context)
	return failure(http.StatusBadRequest, message, "exceed_context_size_error", map[string]any{"n_prompt_tokens": tokens, "n_ctx": context})
}

// OverflowVLLM is what vLLM 0.32 says to it.
func OverflowVLLM(tokens, context int) string {
	message := fmt.Sprintf("This model's maximum context length is %d tokens. However, your prompt contains at least %d input tokens", context, tokens)
	return failure(http.StatusBadRequest, message, "BadRequestError", nil)
}
