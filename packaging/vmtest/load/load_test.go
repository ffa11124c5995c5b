package load

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// engine is a server that says what the grammar asks for, as llama-server does, unless it is told to do otherwise.
type engine struct {
	model string
	asked atomic.Int64
	spoil func(n int64, w http.ResponseWriter, text string) bool // true: it has answered
}

func (e *engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Stream  bool
		Grammar string
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	text := strings.TrimSuffix(strings.TrimPrefix(request.Grammar, `root ::= "`), `"`)
	n := e.asked.Add(1)
	if e.spoil != nil && e.spoil(n, w, text) {
		return
	}
	if !request.Stream {
		fmt.Fprintf(w, `{"model":%q,"choices":[{"finish_reason":"stop","message":{"content":%q}}],"usage":{"completion_tokens":9}}`, e.model, text)
		return
	}
	stream(w, e.model, text, len(text))
}

// stream writes a stream that has so many bytes of the text, and its end when that is all of it.
func stream(w io.Writer, model, text string, bytes int) {
	fmt.Fprintf(w, ": soon\n\n")
	for _, piece := range []string{text[:bytes/2], text[bytes/2 : bytes]} {
		fmt.Fprintf(w, "data: {\"model\":%q,\"choices\":[{\"finish_reason\":null,\"delta\":{\"content\":%q}}]}\n\n", model, piece)
	}
	if bytes == len(text) {
		fmt.Fprintf(w, "data: {\"model\":%q,\"choices\":[{\"finish_reason\":\"stop\",\"delta\":{}}]}\n\n", model)
		fmt.Fprintf(w, "data: {\"model\":%q,\"choices\":[],\"usage\":{\"completion_tokens\":9}}\n\ndata: [DONE]\n\n", model)
	}
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
}

// runOn lets clients ask the engine until they have asked so many times, and each kind that there is at least once.
func runOn(t *testing.T, e *engine, p Plan, requests int) *Tally {
	t.Helper()
	server := httptest.NewServer(e)
	defer server.Close()
	at, _ := url.Parse(server.URL)
	port, _ := strconv.Atoi(at.Port())
	p.Targets = Targets{{Tier: "coder", Port: port, Model: "coder", Answers: []string{e.model}}}
	if p.Bound == 0 {
		p.Bound = time.Minute
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	streams, plain := p.Streams == 0, p.Plain == 0
	p.Results = writerFunc(func(line []byte) { // each result is written once
		var r Result
		if err := json.Unmarshal(line, &r); err != nil {
			t.Error(err)
		}
		streams, plain = streams || r.Stream, plain || !r.Stream
		if requests--; requests <= 0 && streams && plain {
			cancel()
		}
	})
	tally, err := Run(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	return tally
}

type writerFunc func(line []byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }

func TestEachAnswerThatIsWholeAndRightCounts(t *testing.T) {
	tally := runOn(t, &engine{model: "coder"}, Plan{Streams: 2, Plain: 2}, 40)
	if tally.Requests < 40 || tally.Outcomes[OK] != tally.Requests || tally.NotOK() != 0 {
		t.Errorf("%v", tally)
	}
	if tally.By["coder"] != tally.Requests || tally.Streams == 0 || tally.Streams == tally.Requests {
		t.Errorf("%+v", tally)
	}
	if tally.LongestWhole < tally.LongestWait || tally.P99Wait < tally.MedianWait || tally.LongestWait == 0 {
		t.Errorf("%+v", tally)
	}
}

// TestWhatIsWrongIsFound spoils the second answer of each kind of client in every way that there is.
func TestWhatIsWrongIsFound(t *testing.T) {
	half := func(w http.ResponseWriter, text string) { stream(w, "coder", text, len(text)/2) }
	for name, c := range map[string]struct {
		spoil  func(w http.ResponseWriter, text string)
		stream bool
		want   Outcome
		words  string
	}{
		"a stream of another model": {
			func(w http.ResponseWriter, text string) { stream(w, "orch", text, len(text)) }, true, WrongModel, `"orch" answered, not coder`},
		"a stream that changes its model in the middle": {
			func(w http.ResponseWriter, text string) {
				half(w, text)
				fmt.Fprint(w, "data: {\"model\":\"orch\",\"choices\":[{\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
			}, true, WrongModel, "coder and then orch"},
		"a stream that is another one's": {
			func(w http.ResponseWriter, text string) { stream(w, "coder", "else", 4) }, true, WrongText, `"else"`},
		"a stream that ends in good order in the middle": {half, true, Short, "before it was complete"},
		"a stream with a finish and no end": {
			func(w http.ResponseWriter, text string) {
				half(w, text)
				fmt.Fprint(w, "data: {\"model\":\"coder\",\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n")
			}, true, Short, "[DONE] false"},
		"a stream that is empty":              {func(http.ResponseWriter, string) {}, true, Short, `text ""`},
		"a stream that goes on after its end": {func(w http.ResponseWriter, text string) { stream(w, "coder", text, len(text)); half(w, text) }, true, Cut, "after [DONE] comes"},
		"a stream with something else in it":  {func(w http.ResponseWriter, text string) { fmt.Fprint(w, "<html>\n") }, true, Cut, "<html>"},
		"a stream that is cut":                {func(w http.ResponseWriter, text string) { half(w, text); panic(http.ErrAbortHandler) }, true, Cut, "unexpected EOF"},
		"a stream that ends with an error": {func(w http.ResponseWriter, text string) {
			half(w, text)
			fmt.Fprint(w, "data: {\"error\":{\"message\":\"oh\",\"code\":500}}\n\n")
		}, true, Failed, "oh"},
		"a plain answer that is cut by its end":    {func(w http.ResponseWriter, text string) { fmt.Fprint(w, `{"model":"coder","choi`) }, false, Short, "no JSON"},
		"a plain answer that is shorter than told": {func(w http.ResponseWriter, text string) { w.Header().Set("Content-Length", "99"); fmt.Fprint(w, "{") }, false, Cut, "unexpected EOF"},
		"a plain answer without a text":            {func(w http.ResponseWriter, text string) { fmt.Fprint(w, `{"model":"coder"}`) }, false, Short, "finish_reason"},
		"a connection that breaks":                 {func(http.ResponseWriter, string) { panic(http.ErrAbortHandler) }, false, Broken, "EOF"},
		"a status without an error object":         {func(w http.ResponseWriter, _ string) { http.Error(w, "no", http.StatusServiceUnavailable) }, false, Failed, "status 503: no"},
		"a status with one":                        {func(w http.ResponseWriter, _ string) { refuse(w, 502, 0) }, false, Clear, "status 502"},
		"a status that is the client's fault":      {func(w http.ResponseWriter, _ string) { refuse(w, 404, 0) }, false, Failed, "status 404"},
	} {
		t.Run(name, func(t *testing.T) {
			e := &engine{model: "coder", spoil: func(n int64, w http.ResponseWriter, text string) bool {
				if n == 2 {
					c.spoil(w, text)
				}
				return n == 2
			}}
			p := Plan{Plain: 1}
			if c.stream {
				p = Plan{Streams: 1}
			}
			tally := runOn(t, e, p, 3)
			if tally.Outcomes[c.want] != 1 || tally.NotOK() != 1 {
				t.Fatalf("%v", tally)
			}
			if len(tally.Faults) != 1 || !strings.Contains(tally.Faults[0], c.words) {
				t.Errorf("%q", tally.Faults)
			}
		})
	}
}

func refuse(w http.ResponseWriter, status, seconds int) {
	if seconds > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
	}
	w.WriteHeader(status)
	fmt.Fprint(w, `{"error":{"message":"not now","type":"t","code":"tier_not_ready"}}`)
}

func TestRetryAfterIsObeyedWhenThePlanSaysSo(t *testing.T) {
	busy := func(n int64, w http.ResponseWriter, _ string) bool {
		if n == 1 {
			refuse(w, 503, 1)
		}
		return n == 1
	}
	tally := runOn(t, &engine{model: "coder", spoil: busy}, Plan{Plain: 1, Retry: true}, 2)
	if tally.Retried != 1 || tally.NotOK() != 0 || tally.LongestWait < 1 || len(tally.Statuses) != 0 {
		t.Errorf("obeyed: %v", tally)
	}
	tally = runOn(t, &engine{model: "coder", spoil: busy}, Plan{Plain: 1}, 2)
	if tally.Retried != 0 || tally.Outcomes[Clear] != 1 || tally.Statuses["503 tier_not_ready"] != 1 {
		t.Errorf("not obeyed: %v", tally)
	}
}

func TestARequestThatIsNotOverWithinTheBoundHangs(t *testing.T) {
	gone := make(chan struct{})
	hang := func(n int64, w http.ResponseWriter, text string) bool {
		if n == 1 {
			stream(w, "coder", text, len(text)/2)
			<-gone
		}
		return n == 1
	}
	time.AfterFunc(300*time.Millisecond, func() { close(gone) })
	tally := runOn(t, &engine{model: "coder", spoil: hang}, Plan{Streams: 1, Bound: 100 * time.Millisecond}, 1)
	if tally.Outcomes[Hung] != 1 {
		t.Errorf("%v", tally)
	}
}

func TestARefusedConnectionIsCounted(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	p := Plan{Plain: 1, For: time.Millisecond, Bound: time.Minute, Targets: Targets{{Tier: "x", Port: port, Answers: []string{"x"}}}}
	tally, err := Run(t.Context(), p)
	if err != nil || tally.Count(Refused) == 0 || tally.Count(Refused) != tally.Requests {
		t.Errorf("%v, %v", tally, err)
	}
}

func TestQuestionsHaveOneAnswerEach(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	one, err := newQuestion("coder", "1", 3, true, random)
	if err != nil {
		t.Fatal(err)
	}
	two, _ := newQuestion("", "2", 3, false, random)
	if one.text == two.text || strings.ContainsAny(one.text, "\"\\\n") {
		t.Errorf("%q and %q", one.text, two.text)
	}
	if !bytes.Contains(one.body, []byte(`"include_usage":true`)) || bytes.Contains(two.body, []byte(`"model"`)) {
		t.Errorf("%s and %s", one.body, two.body)
	}
}

func TestTargets(t *testing.T) {
	const text = "orch:8000:orchestrator:orch-main,orch-llama"
	var list Targets
	if err := list.Set(text); err != nil || list.String() != text {
		t.Fatalf("%v, %v", list, err)
	}
	if got := list[0]; got.Tier != "orch" || got.Port != 8000 || got.Model != "orchestrator" || !slices.Equal(got.Answers, []string{"orch-main", "orch-llama"}) {
		t.Errorf("%+v", got)
	}
	for _, bad := range []string{"", "orch", "orch:0:m:a", "orch:99999:m:a", ":1:m:a", "orch:1:m:", "orch:1:m:a:b"} {
		if err := list.Set(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestALoadWithoutTargetsOrClientsIsRefused(t *testing.T) {
	for _, p := range []Plan{{}, {Targets: Targets{{}}}, {Targets: Targets{{}}, Plain: 1}} {
		if _, err := Run(t.Context(), p); err == nil {
			t.Errorf("%+v ran", p)
		}
	}
}

func FuzzReadStream(f *testing.F) {
	var whole bytes.Buffer
	stream(&whole, "coder", "text", 4)
	f.Add(whole.Bytes())
	f.Add([]byte("data: {\"error\":{\"code\":503}}\n\n"))
	f.Add([]byte("event: error\ndata: null\n\ndata: [DONE]\n"))
	target := Target{Answers: []string{"coder"}}
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := readStream(bytes.NewReader(body))
		if len(a.text) > 3*len(body) {
			t.Errorf("more text than came: %d of %d", len(a.text), len(body))
		}
		if outcome, _ := a.verdict(question{text: "text"}, target); err == nil && outcome == OK && !bytes.Contains(body, []byte("[DONE]")) {
			t.Errorf("%q passes for a whole stream", body)
		}
	})
}
