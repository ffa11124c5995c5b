// Package hub brings models from a Hugging Face hub into a model folder: what a name means, which files an engine needs of
// it, and how they come here whole or not at all.
//
// All that a hub says is foreign text. Names of files are refused unless they stay in their folder, files are opened below
// an os.Root, and nothing gets its final name before its checksum is the one that the hub's listing gave. A file on its way
// is called by that checksum, so what an earlier run left of one revision is never continued with another.
package hub

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// DefaultEndpoint is the hub that is asked when $HF_ENDPOINT names no other.
const DefaultEndpoint = "https://huggingface.co"

// Hub is one hub and who asks it. Make it with New.
type Hub struct {
	endpoint *url.URL
	token    Token
	client   *http.Client
	patience Patience
}

// Patience is what a hub may ask of one that waits for it. The zero value means the defaults.
type Patience struct {
	Tries   int           // for one file or listing, without 1 MiB of progress between them; 0: 6
	Pause   time.Duration // before the second try, doubled before each further one, to 30 times of it; 0: 1 s
	Longest time.Duration // that a Retry-After is obeyed; a longer one is an error; 0: 5 min
	Silence time.Duration // without a byte before a connection is given up; 0: 60 s
}

func (p Patience) filled() Patience {
	return Patience{
		Tries:   cmp.Or(p.Tries, 6),
		Pause:   cmp.Or(p.Pause, time.Second),
		Longest: cmp.Or(p.Longest, 5*time.Minute),
		Silence: cmp.Or(p.Silence, time.Minute),
	}
}

// New is the hub at endpoint, "https://huggingface.co" for one. base does the requests; nil: as the environment's proxies say.
func New(endpoint string, token Token, base http.RoundTripper, p Patience) (*Hub, error) {
	at, err := parseEndpoint(endpoint)
	if err != nil {
		return nil, err
	}
	if base == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.ResponseHeaderTimeout = p.filled().Silence
		t.DisableCompression = true // a Range is of the bytes that are sent
		base = t
	}
	h := &Hub{endpoint: at, token: token, patience: p.filled()}
	h.client = &http.Client{Transport: &signer{base: base, hub: h}, CheckRedirect: h.mayFollow}
	return h, nil
}

// Endpoint is where the hub answers, without a slash at its end.
func (h *Hub) Endpoint() string { return h.endpoint.String() }

// parseEndpoint reads what $HF_ENDPOINT may say.
func parseEndpoint(text string) (*url.URL, error) {
	text = strings.TrimRight(strings.TrimSpace(text), "/")
	at, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("the hub's address (HF_ENDPOINT) is no URL") // the error would quote it, with a password
	case at.User != nil:
		return nil, errors.New("the hub's address (HF_ENDPOINT) holds a name or a password, which would end up in messages; use HF_TOKEN")
	case at.Scheme != "https" && at.Scheme != "http" || at.Host == "" || at.RawQuery != "" || at.Fragment != "":
		return nil, fmt.Errorf("the hub's address (HF_ENDPOINT) %q is not of the form https://HOST", text)
	}
	return at, nil
}

// signer adds the token to requests to the hub itself. It sits below the client, so that no redirect can take the token
// along: net/http by itself would send it to subdomains of the first host, too.
type signer struct {
	base http.RoundTripper
	hub  *Hub
}

func (s *signer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Del("Authorization")
	r.Header.Del("Referer") // a signed address has a secret in it
	if s.hub.mayHaveToken(r.URL) {
		r.Header.Set("Authorization", "Bearer "+s.hub.token.secret)
	}
	return s.base.RoundTrip(r)
}

// mayHaveToken: the hub's own host and port, and not in clear text over a network.
func (h *Hub) mayHaveToken(to *url.URL) bool {
	if h.token.secret == "" || to.Scheme != h.endpoint.Scheme || !strings.EqualFold(to.Host, h.endpoint.Host) {
		return false
	}
	return to.Scheme == "https" || isLoopback(to.Hostname())
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// maxRedirects is more than any hub needs: one for a renamed repository, one to where its files are.
const maxRedirects = 5

func (h *Hub) mayFollow(r *http.Request, via []*http.Request) error {
	switch {
	case len(via) > maxRedirects:
		return errors.New("it redirects without end")
	case r.URL.Scheme != "https" && h.endpoint.Scheme == "https":
		return fmt.Errorf("it redirects from https to %s", r.URL.Scheme)
	}
	return nil
}
