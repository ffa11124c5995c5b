package opencode

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// sse writes events as engines do.
func sse(events ...string) string {
	var b strings.Builder
	for _, e := range events {
		b.WriteString("data: " + e + "\n\n")
	}
	return b.String()
}

func word(text string) string {
	data, _ := json.Marshal(text)
	return `{"choices":[{"index":0,"delta":{"content":` + string(data) + `}}]}`
}

func finish(why string) string {
	return `{"choices":[{"index":0,"delta":{},"finish_reason":"` + why + `"}]}`
}

const usage = `{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2}}`

func callPart(index int, name, arguments string) string {
	data, _ := json.Marshal(map[string]string{"name": name, "arguments": arguments})
	if name == "" {
		data, _ = json.Marshal(map[string]string{"arguments": arguments})
	}
	return fmt.Sprintf(`{"choices":[{"index":0,"delta":{"content":null,"tool_calls":[{"index":%d,"id":"c","type":"function","function":%s}]},"finish_reason":null}]}`, index, data)
}

var (
	goodWord = sse(word("Hel"), word("lo"), finish("stop"), usage, "[DONE]")
	goodCall = sse(callPart(0, "read", ""), callPart(0, "", `{"filePath":`), callPart(0, "", `"README.md"}`), finish("tool_calls"), usage, "[DONE]")
)

// engine answers the request for a word, and the one with a tool, as it is told; it keeps what was asked.
type engine struct {
	word, tool http.HandlerFunc
	mu         sync.Mutex
	asked      []string
	headers    []http.Header
}

func answers(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, body)
	}
}

func refuses(status int, retry, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if retry != "" {
			w.Header().Set("Retry-After", retry)
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

func (e *engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	e.mu.Lock()
	e.asked = append(e.asked, r.URL.Path+" "+string(body))
	e.headers = append(e.headers, r.Header)
	e.mu.Unlock()
	if strings.Contains(string(body), `"tools"`) {
		e.tool(w, r)
		return
	}
	e.word(w, r)
}
