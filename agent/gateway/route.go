package gateway

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/tierd/tierd/agent/api"
)

// upstreamPrefix starts a path on the port of all tiers that goes to one tier as it is: /upstream/coder/metrics.
const upstreamPrefix = "/upstream/"

// target is where a request goes, and what is sent there.
type target struct {
	tier    string
	url     *url.URL // path and query for the engine
	body    []byte   // as the client sent it
	name    string   // the model that it names there; "" for none
	replace func(string) parts
	seen    visit
}

// targetByPort routes a request that came in on a tier's own port. The port decides; a `model` that names another
// tier is refused rather than answered by the wrong model.
func targetByPort(v *view, route *api.Route, r *http.Request, body []byte) (*target, error) {
	name, replace, err := modelIn(r.Header.Get("Content-Type"), body)
	if err == nil {
		if other := v.byName[name]; other != nil && !answersTo(route, name) {
			return nil, notFound("model_not_found", "The model %q is not served on port %d, which is tier %q; it is on port %d, and on port %d by name.",
				name, route.Port, route.Tier, other.Port, v.table.Port)
		}
	}
	// Without a name the request is the engine's own business: /tokenize, /slots, /props and whatever else it has.
	return &target{tier: route.Tier, url: r.URL, body: body, name: name, replace: replace}, nil
}

// targetByName routes a request that came in on the port of all tiers. Whether the caller may talk to the tier is not asked here.
func targetByName(v *view, who caller, r *http.Request, body []byte) (*target, error) {
	if rest, ok := strings.CutPrefix(r.URL.EscapedPath(), upstreamPrefix); ok {
		return targetByPath(v, who, r, rest, body)
	}
	name, replace, err := modelIn(r.Header.Get("Content-Type"), body)
	if name == "" { // also of a body that is no object: llama-server takes a list at /lora-adapters
		name, replace = r.URL.Query().Get("model"), nil
	}
	switch {
	case name != "":
	case len(body) == 0:
		return nil, notFound("not_found", "Nothing is served at %s here: this port finds the tier by `model`, in the body or as ?model=. "+
			"Use a tier's own port, or %sTIER%s; there are %s.", r.URL.Path, upstreamPrefix, r.URL.Path, strings.Join(v.tiers(who), ", "))
	case err != nil && !errors.Is(err, errNoModel):
		return nil, badRequest("The request names no model: %v. Set `model` to one of %s.", err, strings.Join(v.names(who), ", "))
	default:
		return nil, badRequest("The request names no model: set `model` to one of %s.", strings.Join(v.names(who), ", "))
	}
	route := v.byName[name]
	if route == nil {
		return nil, unknownModel(name, v, who)
	}
	return &target{tier: route.Tier, url: r.URL, body: body, name: name, replace: replace}, nil
}

// targetByPath routes /upstream/TIER/…, where rest is what follows the prefix, still escaped.
func targetByPath(v *view, who caller, r *http.Request, rest string, body []byte) (*target, error) {
	tier, path, _ := strings.Cut(rest, "/")
	tier, err := url.PathUnescape(tier)
	route := v.byTier[tier]
	if err != nil || route == nil {
		return nil, unknownModel(tier, v, who)
	}
	plain, err := url.PathUnescape("/" + path)
	if err != nil {
		return nil, badRequest("The path is not valid: %v.", err)
	}
	t, err := targetByPort(v, route, r, body)
	if err != nil {
		return nil, err
	}
	t.url = &url.URL{Path: plain, RawPath: "/" + path, RawQuery: r.URL.RawQuery}
	return t, nil
}

// bodyFor is the body for the variant that answers, with the model's name rewritten where its engine insists on its own, unless it
// is that of an adapter, which the engine tells from the model by it. Only the lease tells which variant that is: while the request
// waited for it the tier may have been switched.
func (t *target) bodyFor(r *api.Route) parts {
	if r.Served == "" || t.name == r.Served || t.replace == nil || slices.Contains(r.Adapters, t.name) {
		return whole(t.body)
	}
	return t.replace(r.Served)
}

// localPort is the port that a request came in on.
func localPort(r *http.Request) int {
	addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return 0
	}
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return 0
	}
	return tcp.Port
}
