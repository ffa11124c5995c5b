package script

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// written writes a script and returns its path.
func written(t *testing.T, s Script) string {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "script.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// engine is a server that is ready, and what it writes down.
func engine(t *testing.T, tier string, rules ...Rule) (*httptest.Server, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	e := &Engine{Path: written(t, Script{Rules: rules}), Tier: tier, Variant: "main", Model: tier, Context: 4096, Slots: 1, Out: &out}
	if err := e.Load(); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	return server, &out
}

// ask posts a conversation: role and text in turns.
func ask(t *testing.T, server *httptest.Server, tools bool, words ...string) (status int, body string, err error) {
	t.Helper()
	question := map[string]any{"model": "m", "stream": true, "max_tokens": 7, "stream_options": map[string]bool{"include_usage": true}}
	var messages []map[string]any
	for i := 0; i < len(words); i += 2 {
		messages = append(messages, map[string]any{"role": words[i], "content": words[i+1]})
	}
	question["messages"] = messages
	if tools {
		question["tools"] = []any{map[string]any{"type": "function", "function": map[string]string{"name": "read"}}}
	}
	text, err := json.Marshal(question)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.Post(server.URL+"/v1/chat/completions", "application/json", bytes.NewReader(text))
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	return res.StatusCode, string(answer), err
}

// said joins the words of a stream.
func said(stream string) string {
	var all strings.Builder
	for line := range strings.Lines(stream) {
		var chunk struct {
			Choices []struct{ Delta struct{ Content string } }
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok && json.Unmarshal([]byte(data), &chunk) == nil {
			for _, c := range chunk.Choices {
				all.WriteString(c.Delta.Content)
			}
		}
	}
	return all.String()
}

func TestTheFirstRuleThatFitsAnswers(t *testing.T) {
	no, yes := false, true
	rules := []Rule{
		{Name: "other tier", Tier: "reviewer", Say: "not me"},
		{Name: "once", Last: "again", Times: 1, Say: "once"},
		{Name: "no tools", Tools: &no, Has: "title", Say: "a title"},
		{Name: "tools", Tools: &yes, Say: "with tools"},
		{Name: "in the middle", Has: "needle", Say: "found it"},
		{Name: "after two", After: 2, Say: "two later"},
		{Name: "last", Last: "hello", Say: "hello yourself"},
	}
	server, out := engine(t, "coder", rules...)
	for _, c := range []struct {
		name  string
		tools bool
		words []string
		want  string
	}{
		{"a rule that holds once", false, []string{"user", "say it again"}, "once"},
		{"and no more", false, []string{"user", "say it again, hello"}, "hello yourself"},
		{"without tools", false, []string{"user", "a title please"}, "a title"},
		{"with tools", true, []string{"user", "a title please"}, "with tools"},
		{"words of an earlier message", false, []string{"user", "the needle", "assistant", "yes", "user", "where"}, "found it"},
		{"not those of the system", false, []string{"system", "the needle", "user", "hello"}, "hello yourself"},
		{"messages after the user's", false, []string{"user", "go", "assistant", "", "tool", "done"}, "two later"},
	} {
		status, body, err := ask(t, server, c.tools, c.words...)
		if got := said(body); err != nil || status != 200 || got != c.want || !strings.HasSuffix(body, "data: [DONE]\n\n") {
			t.Errorf("%s: %q with status %d, %v; want %q:\n%s", c.name, got, status, err, c.want, body)
		}
	}
	if status, body, _ := ask(t, server, false, "user", "what"); status != 500 {
		t.Errorf("what no rule fits is answered with %d: %s", status, body)
	}
	turns, err := Record(out.String())
	if err != nil || len(turns) != 8 {
		t.Fatalf("%d turns in the record, %v:\n%s", len(turns), err, out)
	}
	if first, last := turns[0], turns[7]; first.Rule != "once" || first.Tier != "coder" || first.MaxTokens != 7 || last.Rule != "none" || last.Last != "what" {
		t.Errorf("the record has %+v and %+v", first, last)
	}
}

func TestCallsComeInPartsThatMakeAWhole(t *testing.T) {
	server, _ := engine(t, "orch", Rule{Say: "I will.", Calls: []Call{
		{Name: "read", Arguments: map[string]any{"filePath": "/a"}}, {Name: "task", Arguments: map[string]any{"prompt": "go"}},
	}})
	_, body, err := ask(t, server, true, "user", "go")
	if err != nil {
		t.Fatal(err)
	}
	names, arguments, ids, reason := map[int]string{}, map[int]string{}, map[string]bool{}, ""
	for line := range strings.Lines(body) {
		var chunk struct {
			Choices []struct {
				Delta struct {
					Calls []struct {
						Index    int
						ID       string
						Function struct{ Name, Arguments string }
					} `json:"tool_calls"`
				}
				Reason string `json:"finish_reason"`
			}
		}
		data, ok := strings.CutPrefix(line, "data: {")
		if !ok {
			continue
		}
		if err := json.Unmarshal([]byte("{"+data), &chunk); err != nil {
			t.Fatal(err)
		}
		for _, choice := range chunk.Choices {
			reason += choice.Reason
			for _, c := range choice.Delta.Calls {
				names[c.Index] += c.Function.Name
				arguments[c.Index] += c.Function.Arguments
				if c.ID != "" {
					ids[c.ID] = true
				}
			}
		}
	}
	if got := fmt.Sprintf("%v %v %d %s", names, arguments, len(ids), reason); got != `map[0:read 1:task] map[0:{"filePath":"/a"} 1:{"prompt":"go"}] 2 tool_calls` {
		t.Errorf("the calls are %s:\n%s", got, body)
	}
}

func TestWhatGoesWrongIsToldAsEnginesDo(t *testing.T) {
	server, _ := engine(t, "coder",
		Rule{Name: "busy", Last: "busy", Status: 503, Header: map[string]string{"Retry-After": "2"}, Body: `{"error":{}}`},
		Rule{Name: "cut", Last: "cut", Say: "this breaks", Cut: true})
	if status, body, err := ask(t, server, false, "user", "busy"); status != 503 || body != `{"error":{}}` || err != nil {
		t.Errorf("busy: status %d, %s, %v", status, body, err)
	}
	if _, body, err := ask(t, server, false, "user", "cut"); err == nil || said(body) != "this breaks" {
		t.Errorf("a stream that breaks off ends in good order: %s", body)
	}
	status, body, _ := ask(t, server, false, "user", strings.Repeat("long ", 5000))
	if status != 400 || !strings.Contains(body, "exceeds the available context size (4096 tokens)") {
		t.Errorf("a prompt that is too long: status %d, %s", status, body)
	}
}

func TestALoadingEngineSaysSo(t *testing.T) {
	path := written(t, Script{Load: map[string]Duration{"coder": Duration(time.Minute)}})
	synctest.Test(t, func(t *testing.T) {
		e := &Engine{Path: path, Tier: "coder", Out: io.Discard}
		health := func() int {
			w := httptest.NewRecorder()
			e.ServeHTTP(w, httptest.NewRequest("GET", "/health", nil))
			return w.Code
		}
		go e.Load() //nolint:errcheck // seen below
		time.Sleep(59 * time.Second)
		if got := health(); got != 503 {
			t.Errorf("a loading engine's health is %d", got)
		}
		time.Sleep(2 * time.Second)
		if got := health(); got != 200 {
			t.Errorf("a ready engine's health is %d", got)
		}
	})
}

func FuzzQuestion(f *testing.F) {
	f.Add([]byte(`{"messages":[{"role":"user","content":"hello"}]}`))
	f.Add([]byte(`{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image"}]},{"role":"tool","content":null}]}`))
	f.Add([]byte(`{"messages":[]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		q, err := readQuestion(body)
		if err != nil {
			return
		}
		if n := q.after(); n < 0 || n > len(q.Messages) {
			t.Errorf("%d messages after the user's of %d", n, len(q.Messages))
		}
		if (&Rule{Last: q.last()}).fits("", q) != true {
			t.Errorf("a rule for the last message's whole text does not fit %q", body)
		}
	})
}

func FuzzRecord(f *testing.F) {
	f.Add("Nov 26 bed tier-coder[7]: " + Turn{Tier: "coder", Last: "a\nb"}.line() + "\nanother line")
	f.Add("script: {")
	f.Fuzz(func(t *testing.T, journal string) {
		turns, err := Record(journal)
		if err != nil {
			return
		}
		var again strings.Builder
		for _, turn := range turns {
			again.WriteString(turn.line() + "\n")
		}
		same, err := Record(again.String())
		if err != nil || len(same) != len(turns) {
			t.Errorf("%d turns, written down again %d, %v", len(turns), len(same), err)
		}
	})
}
