package script

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// stream answers in pieces, as both engines do: words, then calls whose arguments come in two parts, then the reason, then
// what it took.
func (e *Engine) stream(w http.ResponseWriter, r *http.Request, q *question, rule *Rule) {
	w.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(w)
	send := func(delta map[string]any, reason any) {
		e.event(w, map[string]any{"choices": []any{map[string]any{"index": 0, "delta": delta, "finish_reason": reason}}})
		_ = flush.Flush()
	}
	send(map[string]any{"role": "assistant", "content": nil}, nil)
	for word := range strings.SplitAfterSeq(rule.Say, " ") {
		if word == "" {
			continue
		}
		send(map[string]any{"content": word}, nil)
		e.spoken.Add(1)
		if !pause(r, rule.Pace) {
			panic(http.ErrAbortHandler)
		}
	}
	if rule.Cut {
		panic(http.ErrAbortHandler) // to return would end the answer in good order
	}
	for i, c := range rule.Calls {
		text := c.arguments()
		half := len(text) / 2
		send(map[string]any{"tool_calls": []any{map[string]any{"index": i, "id": callID(rule, i), "type": "function",
			"function": map[string]any{"name": c.Name, "arguments": text[:half]}}}}, nil)
		send(map[string]any{"tool_calls": []any{map[string]any{"index": i, "function": map[string]any{"arguments": text[half:]}}}}, nil)
	}
	send(map[string]any{}, rule.reason())
	if q.StreamOptions.IncludeUsage {
		e.event(w, map[string]any{"choices": []any{}, "usage": usage(q, rule)})
	}
	fmt.Fprint(w, "data: [DONE]\n\n")
}

// event writes one chunk.
func (e *Engine) event(w http.ResponseWriter, chunk map[string]any) {
	chunk["id"], chunk["object"], chunk["created"], chunk["model"] = "chatcmpl-script", "chat.completion.chunk", time.Now().Unix(), e.Model
	text, err := json.Marshal(chunk)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	fmt.Fprintf(w, "data: %s\n\n", text)
}

// whole answers in one piece.
func (e *Engine) whole(w http.ResponseWriter, q *question, rule *Rule) {
	answer := map[string]any{"role": "assistant", "content": rule.Say}
	var calls []any
	for i, c := range rule.Calls {
		calls = append(calls, map[string]any{"id": callID(rule, i), "type": "function",
			"function": map[string]any{"name": c.Name, "arguments": c.arguments()}})
	}
	if calls != nil {
		answer["tool_calls"] = calls
	}
	reply(w, map[string]any{"id": "chatcmpl-script", "object": "chat.completion", "created": time.Now().Unix(), "model": e.Model,
		"choices": []any{map[string]any{"index": 0, "message": answer, "finish_reason": rule.reason()}}, "usage": usage(q, rule)})
}

func (r *Rule) reason() string {
	if len(r.Calls) > 0 {
		return "tool_calls"
	}
	return "stop"
}

func (c Call) arguments() string {
	text, err := json.Marshal(c.Arguments)
	if err != nil {
		return "{}"
	}
	return string(text)
}

// callID has to be another one for each call of a session.
func callID(r *Rule, i int) string {
	return fmt.Sprintf("call_%d_%s_%d", time.Now().UnixNano(), strings.ReplaceAll(r.Name, " ", "_"), i)
}

func usage(q *question, r *Rule) map[string]int {
	words := len(strings.Fields(r.Say)) + 10*len(r.Calls)
	return map[string]int{"prompt_tokens": q.tokens(), "completion_tokens": words, "total_tokens": q.tokens() + words}
}
