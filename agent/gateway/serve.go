package gateway

import (
	"errors"
	"net/http"

	"github.com/tierd/tierd/agent/gateway/wire"
)

func (g *Gateway) newServer() *wire.Server {
	return &wire.Server{
		Handler: g,
		Refuse: func(w http.ResponseWriter, status int, reason string) {
			f := &failure{status: status, kind: "invalid_request_error", code: "bad_request", message: reason}
			g.metrics.refused(f.code)
			f.write(w)
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
		g.metrics.refused(f.code)
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
	who, answered, err := g.admit(w, r, v)
	if err != nil || answered {
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
		if served, err := g.serveOwn(w, r, v, who); served || err != nil {
			return err
		}
		return g.pass(w, r, func(body []byte) (*target, error) { return who.to(targetByName(v, who, r, body)) })
	}
	route := v.byPort[port]
	if route == nil {
		return notFound("not_found", "No tier is served on port %d any more.", port)
	}
	if served, err := serveModels(w, r, v, route, who); served || err != nil {
		return err
	}
	return g.pass(w, r, func(body []byte) (*target, error) { return who.to(targetByPort(v, route, r, body)) })
}

// serveOwn answers what the port of all tiers has of its own. The path is none of that unless it was served or there is an
// error.
func (g *Gateway) serveOwn(w http.ResponseWriter, r *http.Request, v *view, who caller) (served bool, err error) {
	if !isGet(r) {
		return false, nil
	}
	switch path := r.URL.Path; {
	case path == metricsPath:
		g.metrics.handler.ServeHTTP(w, r)
	case isHealth(path):
		writeJSON(w, http.StatusOK, newHealth(v, g.pool, who))
	default:
		if served, err = serveModels(w, r, v, nil, who); served || err != nil {
			return served, err
		}
		return g.servePage(w, r, v, who)
	}
	return true, nil
}

// pass reads the body, finds the tier, and forwards.
func (g *Gateway) pass(w http.ResponseWriter, r *http.Request, route func(body []byte) (*target, error)) error {
	block, body, err := readBody(w, r, g.maxBody())
	if err != nil {
		return err
	}
	defer block.Free()
	t, err := route(body)
	if err != nil {
		return err
	}
	t.seen = g.metrics.visit(t.tier)
	defer t.seen.end()
	ask := newAsk(t.tier, r.Method, t.url.Path, body)
	ask.Session, ask.Parent = r.Header.Get("X-Session-Id"), r.Header.Get("X-Parent-Session-Id")
	var early *comments
	if route := g.view.Load().byTier[t.tier]; route != nil && route.Keepalive == keepaliveComments && wantsStream(body) {
		early = &comments{w: w, tier: t.tier}
		defer early.stop()
		ask.Beat = early.write
	}
	for {
		again, err := g.attempt(w, r, t, &ask, early)
		if !again {
			return early.explain(t.seen.failed(err))
		}
	}
}

// attempt forwards the request once. It is to be done again when nothing has come of it at either end.
func (g *Gateway) attempt(w http.ResponseWriter, r *http.Request, t *target, ask *Ask, early *comments) (again bool, err error) {
	lease, err := g.source.Acquire(r.Context(), *ask)
	if err != nil {
		if r.Context().Err() != nil {
			wire.Of(w).Abort() // nobody is there to read an answer
			return false, nil
		}
		return false, err
	}
	t.seen.granted()
	defer lease.Release()
	early.goOn()
	err = g.forward(w, r, lease, t, early)
	if nothing, ok := errors.AsType[*unsent](err); ok {
		ask.again(lease, nothing)
		t.seen.again()
		return true, nil
	}
	return false, err
}

func isGet(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }
