package hub

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tierd/tierd/agent/hub/hubtest"
)

// handler serves a method of the hub's, whose aborted answers are meant.
type handler func(http.ResponseWriter, *http.Request)

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h(w, r) }

func TestEndpoints(t *testing.T) {
	for text, says := range map[string]string{
		"https://huggingface.co":           "",
		"https://mirror.example/hf/":       "",
		"http://127.0.0.1:8080":            "",
		"huggingface.co":                   "not of the form",
		"ftp://mirror.example":             "not of the form",
		"https://mirror.example?x=1":       "not of the form",
		"https://me:secret@mirror.example": "holds a name or a password",
		"https://me:secret@mirror example": "is no URL",
		"":                                 "not of the form",
	} {
		h, err := New(text, Token{}, nil, Patience{})
		if (err == nil) != (says == "") || err != nil && (!strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%q: %v", text, err)
		}
		if err == nil && strings.HasSuffix(h.Endpoint(), "/") {
			t.Errorf("%q ends with a slash", h.Endpoint())
		}
	}
}

// roundTrip answers requests without a network.
type roundTrip func(*http.Request) *http.Response

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }

func answer(r *http.Request, status int, header ...string) *http.Response {
	w := httptest.NewRecorder()
	for i := 0; i+1 < len(header); i += 2 {
		w.Header().Set(header[i], header[i+1])
	}
	w.WriteHeader(status)
	res := w.Result()
	res.Request = r
	return res
}

func TestTheTokenGoesToTheHubAlone(t *testing.T) {
	for _, c := range []struct {
		rule, endpoint, to string
		token              bool // at the second host
		sent               bool // at the first
		says               string
	}{
		{"another host", "https://hub.example", "https://cdn.example/x", false, true, ""},
		{"a host below the hub's, to which net/http would send it", "https://hub.example", "https://cdn.hub.example/x", false, true, ""},
		{"another port", "https://hub.example", "https://hub.example:8443/x", false, true, ""},
		{"the hub itself: a repository that was renamed", "https://hub.example", "https://hub.example/api/models/new/name/revision/main", true, true, ""},
		{"in clear text, though the hub has TLS", "https://hub.example", "http://hub.example/x", false, true, "redirects from https to http"},
		{"a file", "https://hub.example", "file:///etc/passwd", false, true, "redirects from https to file"},
		{"a hub in clear text over the network", "http://hub.example", "http://hub.example/y", false, false, ""},
		{"a hub on this machine", "http://127.0.0.1:99", "http://localhost:99/x", false, true, ""},
	} {
		var first, second []string
		base := roundTrip(func(r *http.Request) *http.Response {
			if first == nil {
				first = append([]string{}, r.Header.Values("Authorization")...)
				return answer(r, http.StatusFound, "Location", c.to)
			}
			second = append([]string{}, r.Header.Values("Authorization")...)
			if r.Header.Get("Referer") != "" {
				t.Errorf("%s: sends the address before", c.rule)
			}
			return answer(r, http.StatusOK)
		})
		h, err := New(c.endpoint, Token{"hf_secret"}, base, impatient)
		if err != nil {
			t.Fatal(err)
		}
		_, err = h.get(t.Context(), c.endpoint+"/a/b", 0, "a/b", "model a/b")
		if (err == nil) != (c.says == "") || err != nil && (!strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%s: %v", c.rule, err)
		}
		if (len(first) == 1) != c.sent || (len(second) == 1) != c.token {
			t.Errorf("%s: the hub got %d tokens, the other %d", c.rule, len(first), len(second))
		}
	}
}

func TestRedirectsEnd(t *testing.T) {
	n := 0
	base := roundTrip(func(r *http.Request) *http.Response { n++; return answer(r, http.StatusFound, "Location", "/again") })
	h, _ := New("https://hub.example", Token{}, base, Patience{})
	if _, err := h.get(t.Context(), "https://hub.example/x", 0, "a/b", "x"); err == nil || !strings.Contains(err.Error(), "redirects without end") || n > 10 {
		t.Error(n, err)
	}
}

func TestASignedAddressIsNotInAnError(t *testing.T) {
	r := newRig(t, map[string]*hubtest.Repo{"a/g": ggufRepo()})
	r.served.CDN = "http://127.0.0.1:1" // nobody listens on port 1
	h := r.hub("")
	_, err := r.pull(t.Context(), h, h, "a/g/m-q4.gguf", "")
	if err == nil || strings.Contains(err.Error(), "Signature") || !strings.Contains(err.Error(), "cannot reach 127.0.0.1:1") {
		t.Error(err)
	}
	if r.seen.said("Signature") {
		t.Error(r.seen.notes)
	}
}

// TestWhatAStatusMeans: each in one sentence with what to do, and only those tried again that may pass.
func TestWhatAStatusMeans(t *testing.T) {
	for _, c := range []struct {
		rule        string
		status      int
		code, token string
		says, hint  string
		again       bool
	}{
		{"gated, without a token", 401, "GatedRepo", "", "a/b is gated", "accept its licence at https://hub.example/a/b, make a token", false},
		{"gated, with one", 403, "GatedRepo", "hf_secret", "a/b is gated", "with the account that the token is of", false},
		{"forbidden without a word", 403, "", "hf_secret", "a/b is gated", "https://hub.example/a/b", false},
		{"not there, or private", 401, "RepoNotFound", "", "hub.example has no model a/b, or does not show it", "give a token", false},
		{"the same with a token", 401, "", "hf_secret", "has no model a/b", "the token may read it", false},
		{"not there", 404, "EntryNotFound", "", "hub.example has no file a/b/x", "look for its name", false},
		{"no such revision", 404, "RevisionNotFound", "", "a/b has no such revision", "/commits", false},
		{"too much asked", 429, "", "", "429 Too Many Requests", "", true},
		{"overloaded", 503, "", "", "503", "", true},
		{"too slow", 408, "", "", "408", "", true},
		{"no part of a file there", 416, "", "", "shorter file", "", true},
		{"a teapot", 418, "", "", "418 I'm a teapot to a request for file a/b/x", "", false},
		{"nothing at all", 204, "", "", "204", "", false},
	} {
		base := roundTrip(func(r *http.Request) *http.Response { return answer(r, c.status, "X-Error-Code", c.code) })
		h, err := New("https://hub.example", Token{c.token}, base, Patience{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = h.get(t.Context(), "https://hub.example/a/b/resolve/c/x", 0, "a/b", "file a/b/x")
		var again *transient
		var refused *Refused
		errors.As(err, &refused)
		if err == nil || !strings.Contains(err.Error(), c.says) || errors.As(err, &again) != c.again || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", c.rule, err)
		}
		if c.hint != "" && (refused == nil || !strings.Contains(refused.Hint, c.hint)) {
			t.Errorf("%s: hint %+v", c.rule, refused)
		}
	}
}

func TestAHubInClearTextIsToldApart(t *testing.T) {
	base := roundTrip(func(r *http.Request) *http.Response { return answer(r, 401) })
	h, _ := New("http://hub.example", Token{"hf_secret"}, base, Patience{})
	_, err := h.get(t.Context(), "http://hub.example/x", 0, "a/b", "x")
	var refused *Refused
	if !errors.As(err, &refused) || !strings.Contains(refused.Hint, "the token is not sent") {
		t.Errorf("%v %+v", err, refused)
	}
}
