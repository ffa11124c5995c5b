package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
)

// upstream is the server that a remote tier forwards to.
type upstream struct {
	tier      string
	base      *url.URL
	model     string
	keyName   string
	key       string // never in a message, a log line or an answer
	timeout   time.Duration
	repeat    time.Duration // how soon a kept connection must break for its request to be sent again
	transport *http.Transport
	requests  atomic.Int64 // in flight
}

// Bounds of what goes to upstream. The answer's body has none: a stream may last for hours.
const (
	upstreamDial  = 10 * time.Second
	upstreamProbe = 30 * time.Second
	bodyLimit     = 64 << 20
)

// newUpstream checks the URL and reads the key from the credentials directory. base is nil but for tests, which bring a
// transport that trusts their own certificate.
func newUpstream(o options, credentials string, base *http.Transport) (*upstream, error) {
	target, err := url.Parse(o.url)
	switch {
	case err != nil || target.Host == "":
		return nil, fmt.Errorf("cannot use the server's url: it is not of the form https://host/path")
	case target.User != nil || target.RawQuery != "":
		return nil, fmt.Errorf("cannot use the url of %s: a secret belongs in a credential, not in the url", target.Host)
	case target.Scheme != "https" && (target.Scheme != "http" || o.key != "" && !loopback(target.Hostname())):
		return nil, fmt.Errorf("cannot use the url of %s: it must be https", target.Host)
	}
	target.Path = strings.TrimRight(target.Path, "/")
	u := &upstream{tier: o.tier, base: target, model: o.model, keyName: o.key, timeout: o.timeout, repeat: roundTrip, transport: base}
	if o.key != "" {
		if u.key, err = readKey(credentials, o.key); err != nil {
			return nil, err
		}
	}
	if base == nil {
		u.transport = &http.Transport{
			Proxy:               nil, // where the key goes is decided by tiers.toml, not by the environment
			DialContext:         (&net.Dialer{Timeout: upstreamDial}).DialContext,
			TLSHandshakeTimeout: upstreamDial,
			MaxIdleConnsPerHost: 64, // there is one host, and with HTTP/1.1 each request in flight has a connection
			IdleConnTimeout:     90 * time.Second,
			DisableCompression:  true, // the client's own Accept-Encoding goes through
			ForceAttemptHTTP2:   true,
			// All requests share an HTTP/2 connection. When the network has gone, nothing else would find that out.
			HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second},
		}
	}
	return u, nil
}

// readKey reads one credential. systemd puts it where only this unit's user can read it.
func readKey(credentials, name string) (string, error) {
	if credentials == "" {
		return "", fmt.Errorf("cannot read the key %q: the unit has no credentials", name)
	}
	if name != filepath.Base(name) || strings.HasPrefix(name, ".") {
		return "", fmt.Errorf("cannot read the key %q: it is not the name of a credential", name)
	}
	text, err := os.ReadFile(filepath.Join(credentials, name))
	if err != nil {
		return "", fmt.Errorf("cannot read the key %q: %w", name, plain(err))
	}
	key := strings.TrimSpace(string(text))
	if key == "" || strings.IndexFunc(key, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) >= 0 {
		return "", fmt.Errorf("cannot use the key %q: a key is one word, and this credential is not", name)
	}
	return key, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// host is how messages call the server.
func (u *upstream) host() string { return u.base.Scheme + "://" + u.base.Host }

// path maps a client's path below the base URL. A base is usually written with its /v1, and clients send theirs.
func (u *upstream) path(path string) string {
	if strings.HasSuffix(u.base.Path, "/v1") && (path == "/v1" || strings.HasPrefix(path, "/v1/")) {
		path = strings.TrimPrefix(path, "/v1")
	}
	return u.base.Path + path
}

// keyRefused says that upstream does not take the key.
type keyRefused struct {
	name, host string
	status     int
}

func (e *keyRefused) Error() string {
	if e.name == "" {
		return fmt.Sprintf("%s wants a key (HTTP %d) and the tier names none", e.host, e.status)
	}
	return fmt.Sprintf("the key %q was refused by %s (HTTP %d)", e.name, e.host, e.status)
}

// probe asks upstream for its models. Any answer that is not a refusal of the key and not a failure of the server
// counts: some servers have no such list. The error is a *keyRefused, or one that may pass.
func (u *upstream) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, upstreamProbe)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, "GET", u.host()+u.path("/v1/models"), nil)
	if err != nil {
		return err
	}
	u.authorize(request.Header)
	answer, err := u.transport.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("cannot reach %s: %w", u.host(), plainNet(err))
	}
	defer answer.Body.Close()
	switch {
	case answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden:
		return &keyRefused{u.keyName, u.host(), answer.StatusCode}
	case answer.StatusCode >= 500:
		return fmt.Errorf("%s answers with HTTP %d", u.host(), answer.StatusCode)
	}
	return nil
}

// authorize replaces whatever a client sent to prove itself: that was meant for the gateway, not for a foreign server.
func (u *upstream) authorize(header http.Header) {
	for _, name := range []string{"Authorization", "X-Api-Key", "Api-Key", "Cookie", "Origin", "Referer"} {
		header.Del(name)
	}
	if u.key != "" {
		header.Set("Authorization", "Bearer "+u.key)
	}
}

// inFlight counts the requests that are being forwarded.
func (u *upstream) inFlight(context.Context) (int, bool) { return int(u.requests.Load()), true }

// handler forwards every request, and answers /health itself. Each write of upstream's goes out at once. A stream that
// breaks off is broken off towards the client as well, never ended in good order.
func (u *upstream) handler(journal *log.Logger) http.Handler {
	proxy := &httputil.ReverseProxy{
		Transport:      again{u.transport, u.repeat},
		FlushInterval:  -1,
		ErrorLog:       journal,
		ModifyResponse: hearBody,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = u.base.Scheme, u.base.Host, ""
			r.Out.URL.Path, r.Out.URL.RawPath = u.path(r.In.URL.Path), u.path(r.In.URL.EscapedPath())
			r.Out.URL.RawQuery = r.In.URL.RawQuery // ReverseProxy leaves out what it cannot parse
			u.authorize(r.Out.Header)
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			status, message := http.StatusBadGateway, fmt.Sprintf("cannot reach %s: %v", u.host(), plainNet(err))
			switch {
			case errors.Is(context.Cause(r.Context()), errSilent):
				status, message = http.StatusGatewayTimeout, fmt.Sprintf("the server %s did not begin its answer within %v", u.host(), u.timeout)
			case r.Context().Err() != nil:
				return // the client has left
			}
			journal.Print(message)
			writeError(w, status, fmt.Sprintf("%s. Ask again, or have another variant answer: `tierctl switch %s VARIANT`.", capital(message), u.tier))
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/health" {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, `{"status":"ok"}`)
			return
		}
		if slices.Contains(strings.Split(r.URL.Path, "/"), "..") {
			writeError(w, http.StatusBadRequest, "The path has \"..\" in it, and could leave the url that tiers.toml sends the key to.")
			return
		}
		u.requests.Add(1)
		defer u.requests.Add(-1)
		if status, err := u.rename(r); err != nil {
			writeError(w, status, capital(err.Error())+".")
			return
		}
		ctx, end := watchSilence(r.Context(), u.timeout)
		defer end()
		proxy.ServeHTTP(w, r.WithContext(ctx))
	})
}

// rename puts upstream's model name into a JSON body. The status is for the client when it fails.
func (u *upstream) rename(r *http.Request) (int, error) {
	if r.Body == nil || r.Method != "POST" || !strings.Contains(r.Header.Get("Content-Type"), "json") {
		return 0, nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, bodyLimit))
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		return http.StatusRequestEntityTooLarge, fmt.Errorf("the request is longer than %s, the most that a remote variant passes on", size(bodyLimit))
	case err != nil:
		return http.StatusBadRequest, errors.New("the request broke off before its end")
	}
	body = renameModel(body, u.model)
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	r.Body, _ = r.GetBody()
	r.ContentLength = int64(len(body))
	r.Header.Del("Content-Length")
	return 0, nil
}

// writeError answers in the shape that OpenAI's clients show to their users.
func writeError(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{
		"message": message, "type": "tier_shim_error", "code": status,
	}})
}

// plainNet keeps the cause of a network error: the operation and the addresses say nothing to a user.
func plainNet(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}
