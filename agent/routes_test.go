package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tierd/tierd/agent/api"
)

// requests has a good request for every route of the table.
var requests = map[string]struct{ path, body string }{
	"GET /v1/status":            {"/v1/status", ""},
	"GET /v1/tiers":             {"/v1/tiers", ""},
	"GET /v1/tiers/{name}":      {"/v1/tiers/coder", ""},
	"POST /v1/tiers/{name}":     {"/v1/tiers/coder", `{"action":"switch","variant":"llama"}`},
	"GET /v1/modes":             {"/v1/modes", ""},
	"GET /v1/plan":              {"/v1/plan?mode=full", ""},
	"GET /v1/budget":            {"/v1/budget?mode=full", ""},
	"GET /v1/host":              {"/v1/host", ""},
	"GET /v1/metrics":           {"/v1/metrics", ""},
	"GET /v1/guard":             {"/v1/guard", ""},
	"GET /v1/guard/trace":       {"/v1/guard/trace", ""},
	"POST /v1/stack":            {"/v1/stack", `{"action":"up","mode":"full"}`},
	"POST /v1/config":           {"/v1/config", `{"action":"reload","restart":true}`},
	"GET /v1/changes":           {"/v1/changes", ""},
	"GET /v1/changes/{id}":      {"/v1/changes/7", ""},
	"GET /v1/changes/{id}/wait": {"/v1/changes/7/wait?timeout=0s", ""},
	"POST /v1/changes/{id}":     {"/v1/changes/7", `{"action":"abort"}`},
	"GET /v1/events":            {"/v1/events?after=0", ""},
	"GET /v1/openapi.json":      {"/v1/openapi.json", ""},
	"GET /v1/gateway/table":     {"/v1/gateway/table?after=0&timeout=1s", ""},
	"POST /v1/gateway/ensure":   {"/v1/gateway/ensure", `{"tier":"coder"}`},
	"POST /v1/gateway/report":   {"/v1/gateway/report", `{"listeners":[{"tier":"coder","port":8002}]}`},
}

// ask puts one request to the handlers, as the peer p.
func ask(s *Server, p peer, method, target, body string) *httptest.ResponseRecorder {
	ctx, cancel := context.WithCancel(context.WithValue(context.Background(), peerKey{}, p))
	defer cancel()
	if strings.HasPrefix(target, "/v1/events") {
		cancel() // a stream would last as long as its context
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(deadlines{w}, httptest.NewRequestWithContext(ctx, method, target, strings.NewReader(body)))
	return w
}

// deadlines is a recorder with the deadlines that a connection has.
type deadlines struct{ *httptest.ResponseRecorder }

func (deadlines) SetWriteDeadline(time.Time) error { return nil }
func (deadlines) SetReadDeadline(time.Time) error  { return nil }

func envelope(t *testing.T, w *httptest.ResponseRecorder) api.Envelope {
	t.Helper()
	var env api.Envelope
	if err := json.Unmarshal(w.Body.Bytes(), &env); err != nil {
		t.Fatalf("HTTP %d, not an envelope: %v\n%s", w.Code, err, w.Body)
	}
	return env
}

func TestEveryRouteForEveryClassOfCaller(t *testing.T) {
	root := testRoot(t)
	for _, r := range routes {
		req, ok := requests[r.pattern]
		if !ok {
			t.Errorf("%s has no request in this test", r.pattern)
			continue
		}
		method, _, _ := strings.Cut(r.pattern, " ")
		for _, c := range callers {
			want := r.access == anyLocal || r.access == operator && c.changes || r.access == gateway && c.gateway
			control := newFakeControl()
			w := ask(NewServer(control, quiet(), root), c.peer, method, req.path, req.body)
			if want {
				if w.Code != http.StatusOK && w.Code != http.StatusAccepted {
					t.Errorf("%s, %s: HTTP %d: %s", r.pattern, c.name, w.Code, w.Body)
				}
				continue
			}
			env := envelope(t, w)
			if w.Code != http.StatusForbidden || env.Error == nil || env.Error.Kind != api.KindForbidden {
				t.Errorf("%s, %s: HTTP %d: %s", r.pattern, c.name, w.Code, w.Body)
			}
			if asked := control.notes(); len(asked) > 0 {
				t.Errorf("%s, %s: refused, and yet the agent was asked %q", r.pattern, c.name, asked)
			}
		}
	}
}

// The columns as they were decided: a route that changes something and is for anyone would be a hole.
func TestOnlyReadingIsForAnyone(t *testing.T) {
	for _, r := range routes {
		post := strings.HasPrefix(r.pattern, "POST ")
		forGateway := strings.Contains(r.pattern, "/gateway/")
		switch {
		case forGateway && r.access != gateway, !forGateway && post && r.access != operator, !forGateway && !post && r.access != anyLocal:
			t.Errorf("%s has access %d", r.pattern, r.access)
		}
	}
}

var rootPeer = peer{known: true}

func TestAnswers(t *testing.T) {
	tests := []struct {
		name, method, path, body string
		code                     int
		asked                    string // of the agent
		want                     string // in the body
	}{
		{"an order answers with its change", "POST", "/v1/tiers/coder", `{"action":"stop"}`, 202, "act coder stop ", `{"type":"async","change":"7"}`},
		{"a switch needs a variant", "POST", "/v1/tiers/coder", `{"action":"switch"}`, 400, "", `\"variant\" is missing`},
		{"an unknown action lists the known ones", "POST", "/v1/stack", `{"action":"sideways"}`, 400, "", `it can be \"up\", \"down\"`},
		{"only boot tiers", "POST", "/v1/stack", `{"action":"up","boot":true}`, 202, "stack up  true", `"change":"7"`},
		{"a reload without a change is done", "POST", "/v1/config", `{"action":"reload"}`, 200, "reload false", `{"type":"sync","result":{"changed":["coder"]`},
		{"an abort is done at once", "POST", "/v1/changes/7", `{"action":"abort"}`, 200, "abort 7", `{"type":"sync"}`},
		{"a report is taken", "POST", "/v1/gateway/report", `{"listeners":[]}`, 200, "report 0", `{"type":"sync"}`},
		{"a tier that is ready needs no more words", "POST", "/v1/gateway/ensure", `{"tier":"coder"}`, 200, "ensure coder", `{"type":"sync"}`},
		{"a wish names its tier", "POST", "/v1/gateway/ensure", `{}`, 400, "", `\"tier\" is missing`},
		{"what is known of the guard", "GET", "/v1/guard", "", 200, "guard", `{"type":"sync","result":{"connected":true,"text":"t","enabled":true,"state":{"armed":true`},
		{"the guard's last looks", "GET", "/v1/guard/trace", "", 200, "guard trace", `{"type":"sync","result":[{"at":1}]}`},
		{"a tier that is not there", "GET", "/v1/tiers/x", "", 404, "", `"kind":"not-found"`},
		{"a name cannot lead elsewhere", "GET", "/v1/tiers/..%2Fstatus", "", 404, "", `there is no /v1/tiers/../status`},
		{"an unknown path", "GET", "/v1/nothing", "", 404, "", `there is no /v1/nothing`},
		{"the root", "GET", "/", "", 404, "", `"kind":"not-found"`},
		{"an unclean path is not redirected", "GET", "/v1//tiers", "", 404, "", `"kind":"not-found"`},
		{"a wrong method", "DELETE", "/v1/tiers", "", 405, "", `/v1/tiers is not for DELETE; it takes GET`},
		{"an unknown method", "FROB", "/v1/tiers/coder", "", 405, "", `it takes GET, POST`},
		{"an unknown parameter", "GET", "/v1/plan?mod=full", "", 400, "", `unknown parameter \"mod\"; /v1/plan takes mode`},
		{"a parameter where there is none", "GET", "/v1/status?x=1", "", 400, "", `/v1/status takes none`},
		{"a wrong duration", "GET", "/v1/changes/7/wait?timeout=soon", "", 400, "", `it takes a duration such as 30s`},
		{"a negative duration", "GET", "/v1/changes/7/wait?timeout=-1s", "", 400, "", `it takes a duration such as 30s`},
		{"a wrong table number", "GET", "/v1/gateway/table?after=-1", "", 400, "", `\"after\" is not the number of a table`},
		{"a wrong event number", "GET", "/v1/events?after=x", "", 400, "", `\"x\" is not the number of an event`},
		{"waiting for a change that is not there", "GET", "/v1/changes/8/wait", "", 404, "", `there is no change \"8\"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			control := newFakeControl()
			w := ask(NewServer(control, quiet(), testRoot(t)), rootPeer, test.method, test.path, test.body)
			if w.Code != test.code || !strings.Contains(w.Body.String(), test.want) {
				t.Errorf("HTTP %d, want %d with %s:\n%s", w.Code, test.code, test.want, w.Body)
			}
			if got := strings.Join(control.notes(), "; "); got != test.asked {
				t.Errorf("the agent was asked %q, want %q", got, test.asked)
			}
			if env := envelope(t, w); (env.Type == "error") != (w.Code >= 400) {
				t.Errorf("type %q with HTTP %d", env.Type, w.Code)
			}
		})
	}
}

func TestReloadThatRestartsAnswersWithBoth(t *testing.T) {
	control := newFakeControl()
	control.pending = "9"
	w := ask(NewServer(control, quiet(), testRoot(t)), rootPeer, "POST", "/v1/config", `{"action":"reload","restart":true}`)
	env := envelope(t, w)
	if w.Code != 202 || env.Type != "async" || env.Change != "9" || !bytes.Contains(env.Result, []byte(`"removed":["old"]`)) {
		t.Errorf("HTTP %d: %s", w.Code, w.Body)
	}
}

func TestAgentErrorsKeepTheirKind(t *testing.T) {
	tests := []struct {
		err  error
		code int
		kind api.ErrorKind
	}{
		{&api.Error{Kind: api.KindBudget, Message: "does not fit"}, 409, api.KindBudget},
		{&api.Error{Kind: api.KindConflict, Message: "busy"}, 409, api.KindConflict},
		{&api.Error{Kind: api.KindConfig, Message: "tiers.toml:3: x"}, 422, api.KindConfig},
		{context.DeadlineExceeded, 503, api.KindUnavailable},
		{os.ErrPermission, 500, api.KindInternal},
	}
	for _, test := range tests {
		control := newFakeControl()
		control.err = test.err
		w := ask(NewServer(control, quiet(), testRoot(t)), rootPeer, "POST", "/v1/stack", `{"action":"down"}`)
		if env := envelope(t, w); w.Code != test.code || env.Error == nil || env.Error.Kind != test.kind || env.Error.Message == "" {
			t.Errorf("%v: HTTP %d: %s", test.err, w.Code, w.Body)
		}
	}
}

func TestWaitsEndWithWhatIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		control := newFakeControl()
		s := NewServer(control, quiet(), t.TempDir())
		began := time.Now()
		w := ask(s, rootPeer, "GET", "/v1/changes/7/wait?timeout=90s", "")
		if !strings.Contains(w.Body.String(), `"state":"doing"`) || time.Since(began) != 90*time.Second {
			t.Errorf("after %s: %s", time.Since(began), w.Body)
		}
		began = time.Now()
		w = ask(s, rootPeer, "GET", "/v1/gateway/table?after=3&timeout=20m", "")
		if !strings.Contains(w.Body.String(), `"seq":3`) || time.Since(began) != longestWait {
			t.Errorf("after %s: %s", time.Since(began), w.Body)
		}
		close(control.done)
		if w = ask(s, rootPeer, "GET", "/v1/changes/7/wait", ""); !strings.Contains(w.Body.String(), `"state":"done"`) {
			t.Errorf("done already: %s", w.Body)
		}
	})
}

func TestAllowNamesTheMethods(t *testing.T) {
	w := ask(NewServer(newFakeControl(), quiet(), testRoot(t)), peer{}, "PUT", "/v1/changes/7", "")
	methods := strings.Split(w.Header().Get("Allow"), ", ")
	slices.Sort(methods)
	if !slices.Equal(methods, []string{"GET", "POST"}) {
		t.Errorf("Allow: %q", w.Header().Get("Allow"))
	}
}
