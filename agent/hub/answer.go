package hub

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Refused is a hub's answer that no further try will change.
type Refused struct {
	Message string
	Hint    string
}

func (e *Refused) Error() string { return e.Message }

// transient is what may be otherwise at the next try, after a while that the hub may have named.
type transient struct {
	err   error
	after time.Duration // 0: it named none
}

func (e *transient) Error() string { return e.err.Error() }
func (e *transient) Unwrap() error { return e.err }

// errRange: the server has no bytes where the part of an earlier try ends.
var errRange = errors.New("the server has a shorter file than the one that was begun")

// judge turns the status of an answer into an error; nil for what a request can have meant to get.
func (h *Hub) judge(res *http.Response, repo, what string) error {
	code := res.Header.Get("X-Error-Code") // huggingface.co's reason in a word; other hubs send none
	switch status := res.StatusCode; {
	case status == http.StatusOK || status == http.StatusPartialContent:
		return nil
	case code == "GatedRepo" || status == http.StatusForbidden:
		return h.gated(repo, res.Request.URL)
	case status == http.StatusUnauthorized:
		return h.unknown(repo)
	case status == http.StatusNotFound && code == "RevisionNotFound":
		return &Refused{Message: fmt.Sprintf("%s has no such revision", repo), Hint: h.page(repo) + "/commits shows which there are"}
	case status == http.StatusNotFound:
		return &Refused{Message: fmt.Sprintf("%s has no %s", h.endpoint.Host, what), Hint: "look for its name on " + h.Endpoint()}
	case status == http.StatusRequestedRangeNotSatisfiable:
		return &transient{err: errRange}
	case status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status >= 500:
		return &transient{fmt.Errorf("%s answers %s", res.Request.URL.Host, statusText(status)), retryAfter(res.Header.Get("Retry-After"), time.Now())}
	default:
		return &Refused{Message: fmt.Sprintf("%s answers %s to a request for %s", res.Request.URL.Host, statusText(status), what)}
	}
}

func (h *Hub) page(repo string) string { return h.Endpoint() + "/" + repo }

// gated: the owner wants a licence accepted, by the account that the token is of.
func (h *Hub) gated(repo string, at *url.URL) error {
	if !strings.EqualFold(at.Host, h.endpoint.Host) {
		return &Refused{Message: fmt.Sprintf("%s, where the hub keeps the files of %s, refuses them", at.Host, repo)}
	}
	hint := fmt.Sprintf("accept its licence at %s with the account that the token is of, then do this again", h.page(repo))
	if h.token.secret == "" {
		hint = fmt.Sprintf("accept its licence at %s, make a token there, and give it as HF_TOKEN (sudo drops it: sudo --preserve-env=HF_TOKEN)", h.page(repo))
	}
	return &Refused{Message: fmt.Sprintf("%s is gated: its owner gives it to accounts that accepted its licence", repo), Hint: hint}
}

// unknown: huggingface.co answers 401 also for what does not exist, so that nobody learns which private models do.
func (h *Hub) unknown(repo string) error {
	hint := fmt.Sprintf("check the name, and that the token may read it: %s", h.page(repo))
	switch {
	case h.token.secret == "":
		hint = fmt.Sprintf("check the name; for a private or gated one accept its licence at %s and give a token as HF_TOKEN", h.page(repo))
	case !h.mayHaveToken(h.endpoint):
		hint = "the token is not sent, since the hub's address is http and not on this machine; use https"
	}
	return &Refused{Message: fmt.Sprintf("%s has no model %s, or does not show it to you", h.endpoint.Host, repo), Hint: hint}
}

func statusText(status int) string {
	return strings.TrimSpace(strconv.Itoa(status) + " " + http.StatusText(status))
}

// retryAfter reads seconds or a date (RFC 9110, 10.2.3); 0 for none and for what is neither.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(strings.TrimSpace(text), 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(at.Sub(now), 0)
	}
	return 0
}

// plain is an error of the transport without the address that it quotes: those of a CDN are signed.
func plain(err error) error {
	var at *url.Error
	if !errors.As(err, &at) {
		return err
	}
	host := "the hub"
	if to, parseErr := url.Parse(at.URL); parseErr == nil && to.Host != "" {
		host = to.Host
	}
	return fmt.Errorf("cannot reach %s: %w", host, at.Err)
}
