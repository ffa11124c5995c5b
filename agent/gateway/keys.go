package gateway

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/tierd/tierd/agent/api"
)

// keyring holds the hashes of the keys that a table names. It is never changed.
type keyring struct {
	keys []key
	open bool // a client on this machine needs none
}

// key is one of them, and what it opens.
type key struct {
	sum [sha256.Size]byte
	caller
}

// caller is who asks, as far as a key tells. The zero value is somebody without one, who may do nothing.
type caller struct {
	name    string
	models  bool
	metrics bool
	tiers   []string // to which it may talk; none named: to all
}

// anybody is the caller where no key is needed.
var anybody = caller{models: true, metrics: true}

// newKeyring takes the keys of a table. A hash that cannot be one opens nothing.
func newKeyring(t api.Table) keyring {
	ring := keyring{open: t.OpenLoopback}
	for _, k := range t.Keys {
		one := key{caller: caller{name: k.Name, tiers: k.Tiers}}
		one.models, one.metrics = slices.Contains(k.Scopes, api.ScopeModels), slices.Contains(k.Scopes, api.ScopeMetrics)
		if n, err := hex.Decode(one.sum[:], []byte(k.SHA256)); err != nil || n != len(one.sum) {
			one.caller = caller{name: k.Name}
		}
		ring.keys = append(ring.keys, one)
	}
	return ring
}

// identify finds out who asks: 401 for no key or a wrong one. Keys are told apart by their hashes, in a time that does not
// depend on how much of one was right.
func (k keyring) identify(r *http.Request) (caller, error) {
	if len(k.keys) == 0 || k.open && fromLoopback(r) {
		return anybody, nil
	}
	shown := false
	found := -1
	for _, secret := range secrets(r) {
		shown = true
		sum := sha256.Sum256([]byte(secret))
		for i := range k.keys {
			if subtle.ConstantTimeCompare(sum[:], k.keys[i].sum[:]) == 1 {
				found = i
			}
		}
	}
	switch {
	case found >= 0:
		return k.keys[found].caller, nil
	case shown:
		return caller{}, unauthorized("invalid_api_key", "The key is not one of this gateway's. `tierctl key NAME` makes one.")
	}
	return caller{}, unauthorized("missing_api_key", "This gateway needs a key: `Authorization: Bearer KEY`, or `x-api-key: KEY`. `tierctl key NAME` makes one.")
}

// maxSecrets bounds how many keys of one request are looked at: clients send at most the two that their library knows.
const maxSecrets = 4

// secrets are the keys that a request shows: as OpenAI's clients do (Bearer), as Anthropic's do (x-api-key), or as a
// password with any user, which is what Prometheus and browsers have.
func secrets(r *http.Request) []string {
	var found []string
	for _, value := range r.Header["Authorization"] {
		scheme, rest, _ := strings.Cut(value, " ")
		rest = strings.TrimSpace(rest)
		switch {
		case strings.EqualFold(scheme, "Bearer"):
			found = append(found, rest)
		case strings.EqualFold(scheme, "Basic"):
			plain, err := base64.StdEncoding.DecodeString(rest)
			if _, password, ok := strings.Cut(string(plain), ":"); err == nil && ok {
				found = append(found, password)
			}
		}
	}
	found = append(found, r.Header["X-Api-Key"]...)
	return found[:min(len(found), maxSecrets)]
}

// fromLoopback tells whether a client is on this machine, by the address that it comes from.
func fromLoopback(r *http.Request) bool {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && at.Addr().Unmap().IsLoopback()
}

func unauthorized(code, message string) *failure {
	return &failure{status: http.StatusUnauthorized, kind: "invalid_request_error", code: code, message: message}
}

// challenge says how to show a key. A browser asks its user for a password only when it is told of Basic, and only a page
// is to have it do so: a script would have the user asked again and again.
func challenge(h http.Header, r *http.Request) {
	h.Set("WWW-Authenticate", `Bearer realm="tierd"`)
	if isGet(r) && strings.Contains(r.Header.Get("Accept"), "text/html") {
		h.Add("WWW-Authenticate", `Basic realm="tierd: the key is the password", charset="UTF-8"`)
	}
}

func insufficient(format string, args ...any) *failure {
	f := forbidden(format, args...)
	f.code = "insufficient_scope"
	return f
}

// mayTalk tells whether the caller may talk to a tier.
func (c caller) mayTalk(tier string) bool {
	return c.models && (len(c.tiers) == 0 || slices.Contains(c.tiers, tier))
}

// to passes a target on that the caller may talk to.
func (c caller) to(t *target, err error) (*target, error) {
	if err == nil && !c.mayTalk(t.tier) {
		return nil, c.locked(t.tier)
	}
	return t, err
}

func (c caller) locked(tier string) *failure {
	return insufficient("The key %q does not open tier %q: [gateway.key.%s] in tiers.toml names its tiers.", c.name, tier, c.name)
}
