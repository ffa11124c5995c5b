package gateway

import (
	"net/http"
	"strings"

	"github.com/tierd/tierd/agent/api"
)

// admit decides before anything of a body is read whether a request is served at all, and for whom. It answers what is only
// a question about that by itself.
func (g *Gateway) admit(w http.ResponseWriter, r *http.Request, v *view) (who caller, answered bool, err error) {
	if err := v.access.check(r, v.table.Listen); err != nil {
		return who, false, err
	}
	if allowOrigin(w.Header(), r) {
		w.WriteHeader(http.StatusNoContent)
		return who, true, nil
	}
	who, err = v.keys.identify(r)
	need := needs(r, localPort(r) == v.table.Port)
	switch {
	case err != nil && need == needNothing:
		return caller{}, false, nil
	case err != nil:
		challenge(w.Header(), r)
		return who, false, err
	case need == needMetrics && !who.metrics:
		return who, false, scopeMissing(who, api.ScopeMetrics)
	case need == needModels && !who.models:
		return who, false, scopeMissing(who, api.ScopeModels)
	}
	return who, false, nil
}

func scopeMissing(who caller, scope string) error {
	return insufficient("The key %q has no scope %q: [gateway.key.%s] in tiers.toml has its scopes.", who.name, scope, who.name)
}

// need is what a caller must have for a path.
type need int

const (
	needModels  need = iota // a key for models
	needMetrics             // a key for metrics
	needKey                 // any key
	needNothing             // no key
)

// needs tells what a request to the port of all tiers, or to one tier's port, is for. Who may not know anything may still ask
// whether the gateway works, as with the engines; the answer then says no more than that.
func needs(r *http.Request, own bool) need {
	switch path := r.URL.Path; {
	case !own:
		return needModels
	case path == metricsPath:
		return needMetrics
	case path == "/", strings.HasPrefix(path, pagePrefix): // what is forwarded from there is looked at again
		return needKey
	case isHealth(path) && isGet(r): // with a body it is forwarded
		return needNothing
	}
	return needModels
}

// allowOrigin lets the page of an allowed origin read the answer, and tells whether the request only asked for that leave.
// Such a question never has a key, so it comes before. What an engine says of origins wins over this for its own answer.
func allowOrigin(h http.Header, r *http.Request) (preflight bool) {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "*")
	h.Add("Vary", "Origin")
	method := r.Header.Get("Access-Control-Request-Method")
	if r.Method != http.MethodOptions || method == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", method)
	if headers := r.Header.Get("Access-Control-Request-Headers"); headers != "" {
		h.Set("Access-Control-Allow-Headers", headers)
	}
	h.Set("Access-Control-Max-Age", "600")
	return true
}

// keptAccess is a table of a tierd that could read no tiers.toml since it began, with what an earlier one said of who may use
// the gateway: a file that is broken for a while must neither open it nor move it.
func keptAccess(t api.Table, before *view) api.Table {
	if !t.NoConfig || before == nil {
		return t
	}
	old := before.table
	t.Listen, t.Port = old.Listen, old.Port
	t.Keys, t.OpenLoopback, t.Hosts, t.MaxConnections, t.MaxBody = old.Keys, old.OpenLoopback, old.Hosts, old.MaxConnections, old.MaxBody
	return t
}
