package opencode

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// ask runs a probe against such an engine.
func ask(t *testing.T, e *engine, tools bool, change func(*Prober)) Asked {
	t.Helper()
	server := httptest.NewServer(e)
	defer server.Close()
	p := Prober{Transport: &http.Transport{DisableKeepAlives: true}, Limit: time.Minute}
	if change != nil {
		change(&p)
	}
	return p.Ask(t.Context(), modelAt(server.URL), tools)
}

func modelAt(address string) Model {
	return Model{Tier: "coder", Ref: "local_coder/coder", Provider: "local_coder", ID: "coder", BaseURL: address + "/v1"}
}

func TestAModelIsAskedAsOpenCodeAsks(t *testing.T) {
	e := &engine{word: answers(goodWord), tool: answers(goodCall)}
	a := ask(t, e, true, func(p *Prober) { p.Key = "sk-1" })
	if a.Status != 200 || a.FirstByte <= 0 || a.Seconds <= 0 || a.Tools != ToolsCalled || len(a.Remarks) > 0 || a.Tier != "coder" || a.Model != "local_coder/coder" {
		t.Errorf("%+v", a)
	}
	if len(e.asked) != 2 {
		t.Fatalf("%q", e.asked)
	}
	for i, want := range []map[string]any{
		{"model": "coder", "max_tokens": 8.0, "stream": true, "tool_choice": nil},
		{"model": "coder", "max_tokens": 256.0, "stream": true, "tool_choice": "auto"},
	} {
		path, body, _ := strings.Cut(e.asked[i], " ")
		got := parse(t, []byte(body))
		for key, value := range want {
			if got[key] != value {
				t.Errorf("request %d has %s %v, and should have %v", i, key, got[key], value)
			}
		}
		if path != "/v1/chat/completions" || at(got, "stream_options", "include_usage") != true {
			t.Errorf("request %d is %s", i, e.asked[i])
		}
		if h := e.headers[i]; h.Get("Authorization") != "Bearer sk-1" || h.Get("Content-Type") != "application/json" {
			t.Errorf("request %d has %v", i, h)
		}
	}
	if e = (&engine{word: answers(goodWord)}); ask(t, e, false, nil).Tools != "" || len(e.asked) != 1 || e.headers[0].Get("Authorization") != "" {
		t.Errorf("without tools and key: %q %v", e.asked, e.headers)
	}
}

func TestWhatFailsIsSaidWithWhereAndWhatToDo(t *testing.T) {
	for _, test := range []struct {
		name             string
		word             http.HandlerFunc
		status           int
		text, hint       string
		again            time.Duration
		withoutFirstByte bool
	}{
		{"a key is wanted", refuses(401, "", `{"error":{"message":"A key is needed.","type":"x"}}`), 401, "status 401: A key is needed.", "--key-file", 0, true},
		{"a key does not open this tier", refuses(403, "", `{"error":{"message":"not for coder"}}`), 403, "not for coder", "--key-file", 0, true},
		{"the name is unknown", refuses(404, "", `{"error":{"message":"The model \"coder\" does not exist"}}`), 404, "status 404: The model", "opencode apply", 0, true},
		{"too long a prompt", refuses(400, "", `{"error":{"code":400,"message":"request (40 tokens) exceeds the available context size"}}`), 400, "status 400: request (40 tokens) exceeds", "tierctl logs coder", 0, true},
		{"not ready, with a time", refuses(503, "20", `{"error":{"message":"Tier \"coder\" is starting."}}`), 503, `is starting. (try again in 20s)`, "tierctl status coder", 20 * time.Second, true},
		{"not ready, without one", refuses(503, "soon", "busy\n\n"), 503, "status 503: busy", "tierctl status coder", 0, true},
		{"an error in other words", refuses(500, "", `{"detail":"Internal \u001b[31merror"}`), 500, "status 500: Internal error", "tierctl logs coder", 0, true},
		{"an error as a text", refuses(500, "", `{"error":"no"}`), 500, "status 500: no", "", 0, true},
		{"an error as a message", refuses(500, "", `{"message":"none"}`), 500, "status 500: none", "", 0, true},
		{"a redirect is not followed", refuses(302, "", ""), 302, "status 302", "", 0, true},
		{"no stream at all", answers(`{"choices":[{"message":{"content":"Hello"}}]}`), 200, "is no stream, or an empty one", "", 0, true},
		{"nothing", answers(""), 200, "is no stream", "", 0, true},
		{"a stream without an end", answers(sse(word("Hel"))), 200, "without a finish_reason, on which OpenCode asks again without an end", "", 0, false},
		{"[DONE] is no reason", answers(sse(word("Hel"), "[DONE]")), 200, "without a finish_reason", "", 0, false},
		{"an error in the stream", answers(sse(word("Hel"), `{"error":{"message":"out of memory","code":500}}`)), 200, "ended with an error: out of memory", "", 0, false},
		{"an event that is none", answers("data: {\n\n"), 200, "is not what OpenAI's are", "", 0, false},
		{"a stream without bounds", answers(strings.Repeat(sse(word("Hel")), 1<<15)), 200, "more than 1 MiB", "", 0, false},
		{"cut", func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, sse(word("Hel")))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, 200, "unexpected EOF", "tierctl logs coder", 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := ask(t, &engine{word: test.word}, true, nil)
			if a.Status != test.status || a.Again != test.again || (a.FirstByte == 0) != test.withoutFirstByte || a.Tools != "" {
				t.Errorf("%+v", a)
			}
			want := []Remark{{Failed: true, Tier: "coder", Text: test.text, Hint: test.hint}}
			if !slices.EqualFunc(a.Remarks, want, like) || !strings.Contains(a.Remarks[0].Text, a.URL) {
				t.Errorf("%+v", a.Remarks)
			}
		})
	}
}

func TestAPortWithNobodyBehindItIsTheGateways(t *testing.T) {
	server := httptest.NewServer(nil)
	m := modelAt(server.URL)
	server.Close()
	a := Prober{Transport: &http.Transport{}, Limit: time.Minute}.Ask(t.Context(), m, true)
	want := []Remark{{Failed: true, Tier: "coder", Text: "nothing listens at " + strings.TrimPrefix(server.URL, "http://"), Hint: "systemctl status tier-gateway"}}
	if a.Status != 0 || !slices.EqualFunc(a.Remarks, want, like) {
		t.Errorf("%+v", a)
	}
	m.BaseURL = "http://bad host/"
	if a := (Prober{Transport: &http.Transport{}, Limit: time.Minute}).Ask(t.Context(), m, true); len(a.Remarks) != 1 || !a.Remarks[0].Failed {
		t.Errorf("%+v", a)
	}
}

// However slowly an answer trickles, a request ends.
func TestARequestIsBoundedInTime(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"no answer": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"comments": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				io.WriteString(w, ": still there\n\n")
				w.(http.Flusher).Flush()
				time.Sleep(time.Millisecond)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := ask(t, &engine{word: handler}, true, func(p *Prober) { p.Limit = 50 * time.Millisecond })
			want := []Remark{{Failed: true, Tier: "coder", Text: "no whole answer came within 50ms", Hint: "tierctl status coder"}}
			if !slices.EqualFunc(a.Remarks, want, like) {
				t.Errorf("%+v", a.Remarks)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a := Prober{Transport: &http.Transport{}, Limit: time.Minute}.Ask(ctx, modelAt("http://127.0.0.1:1"), true)
	if len(a.Remarks) != 1 || !strings.Contains(a.Remarks[0].Text, context.Canceled.Error()) {
		t.Errorf("%+v", a)
	}
}

func TestAToolCallIsOneThatOpenCodeCanUse(t *testing.T) {
	for _, test := range []struct {
		name   string
		tool   http.HandlerFunc
		want   Tools
		failed bool
		text   string
	}{
		{"as it should", answers(goodCall), ToolsCalled, false, ""},
		{"in one piece", answers(sse(callPart(0, "read", `{"filePath":"README.md"}`), finish("tool_calls"))), ToolsCalled, false, ""},
		{"after words", answers(sse(word("I will."), callPart(0, "read", `{}`), finish("stop"))), ToolsCalled, false, ""},
		{"two at once", answers(sse(callPart(0, "read", `{}`), callPart(1, "read", `{}`), finish("tool_calls"))), ToolsCalled, false, ""},
		{"as XML", answers(sse(word("<tool_"), word("call>\n{\"name\": \"read\"}</tool_call>"), finish("stop"))), ToolsText, true, "as text (<tool_call>)"},
		{"as XML of another kind", answers(sse(word("<function=read><parameter=filePath>"), finish("stop"))), ToolsText, true, "(<function=)"},
		{"as Mistral's", answers(sse(word(`[TOOL_CALLS][{"name":"read"}]`), finish("stop"))), ToolsText, true, "([TOOL_CALLS])"},
		{"as JSON in a fence", answers(sse(word("```json\n{\"name\" : \"read\", \"arguments\": {}}"), finish("stop"))), ToolsText, true, "(JSON)"},
		{"in words", answers(sse(word("I cannot read files."), finish("stop"))), ToolsNone, false, "called no tool"},
		{"not before the end", answers(sse(word("Let me think"), finish("length"))), ToolsNone, false, "within 256 tokens"},
		{"with its name late", answers(sse(callPart(0, "", ""), callPart(0, "read", `{}`), finish("tool_calls"))), ToolsBroken, true, "without its name"},
		{"of a tool that there is not", answers(sse(callPart(0, "rm", `{}`), finish("tool_calls"))), ToolsBroken, true, `called a tool "rm"`},
		{"with half of its arguments", answers(sse(callPart(0, "read", `{"filePath":`), finish("tool_calls"))), ToolsBroken, true, "no JSON"},
		{"with arguments that are no object", answers(sse(callPart(0, "read", `"README.md"`), finish("tool_calls"))), ToolsBroken, true, "no JSON"},
		{"refused by vLLM without a parser", refuses(400, "", `{"error":{"message":"\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set"}}`), ToolsError, true, "not when it is offered a tool: status 400"},
		{"refused by llama-server without templates", refuses(500, "", `{"error":{"message":"tools param requires --jinja flag"}}`), ToolsError, true, "--jinja"},
		{"in a stream without an end", answers(sse(callPart(0, "read", `{}`))), ToolsError, true, "finish_reason"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := ask(t, &engine{word: answers(goodWord), tool: test.tool}, true, nil)
			if a.Tools != test.want || a.FirstByte == 0 {
				t.Errorf("%+v", a)
			}
			if test.text == "" {
				if len(a.Remarks) > 0 {
					t.Errorf("%+v", a.Remarks)
				}
				return
			}
			want := []Remark{{Failed: test.failed, Tier: "coder", Text: test.text}}
			if !slices.EqualFunc(a.Remarks, want, like) || !strings.Contains(a.Remarks[0].Text, `tier "coder"`) || a.Remarks[0].Hint == "" {
				t.Errorf("%+v", a.Remarks)
			}
		})
	}
}

func TestAnEngineThatDoesNotCountIsToldOf(t *testing.T) {
	a := ask(t, &engine{word: answers(sse(word("Hello"), finish("stop"), "[DONE]"))}, false, nil)
	if len(a.Remarks) != 1 || a.Remarks[0].Failed || !strings.Contains(a.Remarks[0].Text, "how many tokens") {
		t.Errorf("%+v", a.Remarks)
	}
}
