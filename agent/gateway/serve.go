package gateway

import (
	"net/http"
	"strings"

	"github.com/tierd/tierd/agent/gateway/wire"
)

func (g *Gateway) newServer() *wire.Server {
	return &wire.Server{
		Handler: g,
		Refuse: func(w http.ResponseWriter, status int, reason string) {
			(&failure{status: status, kind: "invalid_request_error", code: "bad_request", message: reason}).write(w)
		},
		Log: g.log,
	}
}

// ServeHTTP answers what is the gateway's own, and forwards the rest.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if g.retiring.Load() {
		w.Header().Set("Connection", "close")
	}
	if err := g.serve(w, r); err != nil {
		f := asFailure(err)
		g.log.Debug("answered with an error", "method", r.Method, "path", r.URL.Path, "status", f.status, "err", f.message)
		f.write(w)
	}
}

func (g *Gateway) serve(w http.ResponseWriter, r *http.Request) error {
	v := g.view.Load()
	if v == nil {
		return &failure{
			status: http.StatusServiceUnavailable, kind: "service_unavailable_error", code: "no_table", retryAfter: retryBroken,
			message: "The gateway does not know the tiers yet: tierd has not answered. See `systemctl status tierd`.",
		}
	}
	if err := g.access.check(r, v.table.Listen); err != nil {
		return err
	}
	if r.Method == http.MethodConnect {
		return &failure{
			status: http.StatusMethodNotAllowed, kind: "invalid_request_error", code: "method_not_allowed",
			message: "This is no proxy to other hosts.",
		}
	}
	port := localPort(r)
	if port == v.table.Port {
		if served := g.serveOwn(w, r, v); served {
			return nil
		}
		return g.pass(w, r, func(body []byte) (*target, error) { return targetByName(v, r, body) })
	}
	route := v.byPort[port]
	if route == nil {
		return notFound("not_found", "No tier is served on port %d any more.", port)
	}
	if isGet(r) && r.URL.Path == modelsPath {
		writeJSON(w, http.StatusOK, listModels(v, route))
		return nil
	}
	return g.pass(w, r, func(body []byte) (*target, error) { return targetByPort(v, route, r, body) })
}

// serveOwn answers what the port of all tiers has of its own.
func (g *Gateway) serveOwn(w http.ResponseWriter, r *http.Request, v *view) bool {
	if !isGet(r) {
		return false
	}
	switch path := r.URL.Path; {
	case path == modelsPath:
		writeJSON(w, http.StatusOK, listModels(v, nil))
	case strings.HasPrefix(path, modelsPath+"/"):
		name := strings.TrimPrefix(path, modelsPath+"/")
		if route := v.byName[name]; route != nil {
			writeJSON(w, http.StatusOK, newModel(route))
		} else {
			unknownModel(name, v).write(w)
		}
	case path == "/health":
		writeJSON(w, http.StatusOK, newHealth(v, g.pool))
	default:
		return false
	}
	return true
}

// pass reads the body, finds the tier, and forwards.
func (g *Gateway) pass(w http.ResponseWriter, r *http.Request, route func(body []byte) (*target, error)) error {
	block, body, err := readBody(w, r, g.cfg.MaxBody)
	if err != nil {
		return err
	}
	defer block.Free()
	t, err := route(body)
	if err != nil {
		return err
	}
	var early *comments
	if v := g.view.Load(); v.byTier[t.tier] != nil && v.byTier[t.tier].Keepalive == keepaliveComments && wantsStream(body) {
		early = newComments(w, t.tier, g.commentPause)
		defer early.stop()
	}
	lease, err := g.source.Acquire(r.Context(), Ask{
		Tier: t.tier, Session: r.Header.Get("X-Session-Id"), Parent: r.Header.Get("X-Parent-Session-Id"), Light: isGet(r),
	})
	if err != nil {
		return early.explain(hungUp(w, r, err))
	}
	early.admitted()
	defer lease.Release()
	return early.explain(g.forward(w, r, lease, t, early))
}

// hungUp is nil when nobody is there any more to read an error.
func hungUp(w http.ResponseWriter, r *http.Request, err error) error {
	if r.Context().Err() == nil {
		return err
	}
	wire.Of(w).Abort()
	return nil
}

func isGet(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }
