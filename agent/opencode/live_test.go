package opencode

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

const (
	props  = `{"default_generation_settings":{"id":0,"n_ctx":8192,"params":{}},"total_slots":2,"model_path":"/m.gguf","chat_template":"{{ x }}"}`
	models = `{"object":"list","data":[{"id":"coder","object":"model","max_model_len":49152,"root":"/m"},{"id":"lora","parent":"coder","max_model_len":null}]}`
)

func TestWhatEnginesSayOfThemselves(t *testing.T) {
	for _, row := range []struct {
		rule string
		read func([]byte) (Live, error)
		body string
		want Live
		err  string
	}{
		{"llama-server's context of one slot", readProps, props, Live{8192, 2}, ""},
		{"an older one without slots", readProps, `{"default_generation_settings":{"n_ctx":4096}}`, Live{4096, 0}, ""},
		{"one without a context", readProps, `{"total_slots":1}`, Live{}, "the answer has no default_generation_settings.n_ctx"},
		{"a context of nothing", readProps, `{"default_generation_settings":{"n_ctx":0}}`, Live{}, "default_generation_settings.n_ctx is 0"},
		{"no slots at all", readProps, `{"default_generation_settings":{"n_ctx":1},"total_slots":0}`, Live{1, 0}, "total_slots is 0"},
		{"a context beyond counting", readProps, `{"default_generation_settings":{"n_ctx":9999999999}}`, Live{}, "n_ctx is 9999999999"},
		{"a page", readProps, `<html>`, Live{}, "not what llama-server answers"},
		{"vLLM's length", readModels, models, Live{Context: 49152}, ""},
		{"that of the model behind an adapter", readModels, `{"data":[{"id":"lora","max_model_len":null},{"max_model_len":1024}]}`, Live{Context: 1024}, ""},
		{"no model", readModels, `{"data":[]}`, Live{}, "the answer has no max_model_len"},
		{"a negative length", readModels, `{"data":[{"max_model_len":-1}]}`, Live{}, "max_model_len is -1"},
		{"a length in words", readModels, `{"data":[{"max_model_len":"long"}]}`, Live{}, "not what vLLM answers"},
		{"nothing", readModels, ``, Live{}, "not what vLLM answers"},
	} {
		got, err := row.read([]byte(row.body))
		if got != row.want || (err == nil) != (row.err == "") || err != nil && !strings.Contains(err.Error(), row.err) {
			t.Errorf("%s: %+v, %v", row.rule, got, err)
		}
	}
}

// gateway answers as each path's handler does.
func gateway(t *testing.T, routes map[string]http.HandlerFunc) string {
	mux := http.NewServeMux()
	for path, h := range routes {
		mux.HandleFunc(path, h)
	}
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL
}

func says(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) }
}

func TestOnlyTiersThatAreReadyAreAsked(t *testing.T) {
	var wrong atomic.Int32
	base := gateway(t, map[string]http.HandlerFunc{
		"GET /upstream/utility/props":   says(props),
		"GET /upstream/coder/v1/models": says(models),
		"/":                             func(http.ResponseWriter, *http.Request) { wrong.Add(1) },
	})
	tiers := []Tier{
		{Name: "utility", Engine: "llama", Ready: true}, {Name: "coder", Engine: "vllm", Ready: true},
		{Name: "reviewer", Engine: "llama"}, {Name: "cloud", Engine: "remote", Ready: true},
	}
	live, findings := Ask(t.Context(), http.DefaultTransport, base, "", tiers)
	if want := map[string]Live{"utility": {8192, 2}, "coder": {Context: 49152}}; !reflect.DeepEqual(live, want) || len(findings) > 0 || wrong.Load() > 0 {
		t.Errorf("%v, %v, %d other questions", live, findings, wrong.Load())
	}
}

func TestWhatIsNotToldIsAFinding(t *testing.T) {
	base := gateway(t, map[string]http.HandlerFunc{
		"/upstream/down/props": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusServiceUnavailable) },
		"/upstream/moved/props": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/upstream/good/props", http.StatusFound)
		},
		"/upstream/page/props":  says("<html>"),
		"/upstream/large/props": says(strings.Repeat(" ", askBytes+1)),
		"/upstream/cut/props": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, props)
		},
		"/upstream/good/props": says(props),
	})
	var tiers []Tier
	want := map[string]string{
		"down": "/props: status 503 Service Unavailable", "moved": "/props: status 302 Found", "page": "/props: not what llama-server answers",
		"large": "/props: the answer has more than 4 MiB", "cut": "/props: unexpected EOF",
	}
	for name := range want {
		tiers = append(tiers, Tier{Name: name, Engine: "llama", Ready: true})
	}
	live, findings := Ask(t.Context(), http.DefaultTransport, base, "", append(tiers, Tier{Name: "good", Engine: "llama", Ready: true}))
	if len(live) != 1 || len(findings) != len(want) {
		t.Errorf("%v, %v", live, findings)
	}
	for _, f := range findings {
		if f.Refuse || f.Hint == "" || !strings.Contains(f.Text, want[f.Tier]) {
			t.Errorf("%+v, want %q", f, want[f.Tier])
		}
	}
}

func TestTheKeyIsShown(t *testing.T) {
	var got string
	base := gateway(t, map[string]http.HandlerFunc{"/": func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Get("Authorization")
		fmt.Fprint(w, props)
	}})
	if _, findings := Ask(t.Context(), http.DefaultTransport, base, "secret", []Tier{{Name: "a", Engine: "llama", Ready: true}}); len(findings) > 0 || got != "Bearer secret" {
		t.Errorf("%q, %v", got, findings)
	}
}

// silent never answers.
type silent struct{}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestASilentEngineIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		live, findings := Ask(t.Context(), silent{}, "http://gateway", "", []Tier{{Name: "a", Engine: "llama", Ready: true}, {Name: "b", Engine: "vllm", Ready: true}})
		if took := time.Since(began); len(live) != 0 || len(findings) != 2 || took != askTime {
			t.Errorf("after %s: %v, %v", took, live, findings)
		}
	})
}

func FuzzReadProps(f *testing.F)  { fuzzRead(f, readProps) }
func FuzzReadModels(f *testing.F) { fuzzRead(f, readModels) }

// fuzzRead holds that an answer is either an error or a context that can be served.
func fuzzRead(f *testing.F, read func([]byte) (Live, error)) {
	for _, seed := range []string{props, models, `{}`, `[]`, `null`, `{"data":[null]}`, `{"default_generation_settings":{"n_ctx":1e3}}`, `{"data":[{"max_model_len":1}]}{`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if l, err := read(body); err == nil && l.Context < 1 || l.Parallel < 0 {
			t.Errorf("%+v of %q", l, body)
		}
	})
}
