package gateway

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// access keeps web pages out. A page of any site may send requests to loopback, and by rebinding its name to 127.0.0.1
// it could read the answers too: the name that the browser then sends as Host, and the Origin, give it away.
type access struct {
	names []string // further names that the administrator allows, in small letters
}

// check refuses a request whose Host or Origin is neither of this machine's loopback nor the address listened on, and what
// other sites' pages embed.
func (a access) check(r *http.Request, listen string) error {
	// HTTP/1.0 may leave Host out; no browser does.
	if r.Host != "" && !a.local(hostOnly(r.Host), listen) {
		return forbidden("Host %q is not one of this gateway's names. Use localhost, or add it to `hosts` in [gateway] of tiers.toml.", r.Host)
	}
	for _, origin := range r.Header["Origin"] {
		u, err := url.Parse(origin)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || !a.local(u.Hostname(), listen) {
			return forbidden("A page from %q may not use this gateway. `hosts` in [gateway] of tiers.toml allows further names.", origin)
		}
	}
	if len(r.Header["Origin"]) == 0 && embedded(r.Header) {
		return forbidden("A page of another site may not use this gateway. Open its address in the browser itself, or follow a link to it.")
	}
	return nil
}

// embedded tells whether a page of another site sent a request that has no Origin: an <img> or a frame whose source is a
// path here. The page could not read the answer, but it would have a tier loaded, and others give way for that. A link that
// a user follows is no such request. Browsers tell (Fetch Metadata), and no page can change what they say.
func embedded(h http.Header) bool {
	if h.Get("Sec-Fetch-Site") != "cross-site" {
		return false
	}
	return h.Get("Sec-Fetch-User") != "?1" || h.Get("Sec-Fetch-Dest") != "document"
}

func (a access) local(host, listen string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") || slices.Contains(a.names, host) {
		return true
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	// A page cannot pass off an address as its own name, so that any address will do where all are listened on.
	at, err := netip.ParseAddr(listen)
	return addr.IsLoopback() || err == nil && (addr == at || at.IsUnspecified())
}

// hostOnly takes the port off, and the brackets of an IPv6 address.
func hostOnly(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.Trim(hostport, "[]")
}
