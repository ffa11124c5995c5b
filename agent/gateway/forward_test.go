package gateway

import (
	"io"
	"net/http"
	"testing"
)

func TestRequestsReachTheTierOfTheirPort(t *testing.T) {
	said := func(name string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			io.WriteString(w, name+" "+r.Method+" "+r.URL.RequestURI()+" "+string(body))
		}
	}
	a, b := startEngine(t, said("a")), startEngine(t, said("b"))
	rig := startRig(t, Config{}, route(t, "orch", a.socket), route(t, "coder", b.socket))
	for _, c := range []struct{ tier, path, body, want string }{
		{"orch", "/v1/chat/completions", `{"model":"orch"}`, `a POST /v1/chat/completions {"model":"orch"}`},
		{"coder", "/v1/chat/completions?x=1", `{"messages":[]}`, `b POST /v1/chat/completions?x=1 {"messages":[]}`},
		{"coder", "/unknown%2Fpath", `plain`, `b POST /unknown%2Fpath plain`},
		{"", "/v1/completions", `{"model":"coder"}`, `b POST /v1/completions {"model":"coder"}`},
		{"", "/upstream/orch/slots?y=2", ``, `a POST /slots?y=2 `},
	} {
		if _, got := fetch(t, "POST", rig.tierURL(c.tier, c.path), c.body); got != c.want {
			t.Errorf("%s on %q: got %q, want %q", c.path, c.tier, got, c.want)
		}
	}
}
