package opencode

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"github.com/tierd/tierd/agent/openai"
)

// Asked is what became of small requests to one model, by the address and with the key that the configuration names.
type Asked struct {
	Tier      string        `json:"tier"`
	Model     string        `json:"model"`              // "local_orch/orchestrator"
	URL       string        `json:"url"`                // up to and with its /v1
	LeftOut   string        `json:"left_out,omitempty"` // why nothing was asked
	Status    int           `json:"status,omitempty"`   // of HTTP; 0: no answer came
	FirstByte time.Duration `json:"-"`                  // until the first event of the answer
	Seconds   float64       `json:"first_byte_seconds,omitempty"`
	Again     time.Duration `json:"-"`                // what Retry-After said
	Loaded    bool          `json:"loaded,omitempty"` // the tier was not ready: it was loaded for this
	Tools     Tools         `json:"tools,omitempty"`  // what came of a request for a tool call; "": none was made
	Remarks   []Remark      `json:"-"`
}

// Prober asks models.
type Prober struct {
	Transport http.RoundTripper
	Key       string        // "" when the gateway wants none
	Limit     time.Duration // for each request
}

const (
	// wordTokens is enough to see that words come.
	wordTokens = 8
	// callTokens has room for a model that thinks before it calls.
	callTokens = 256
	// maxAnswer of an error is more than any engine says.
	maxAnswer = 64 << 10
)

type (
	chat struct {
		Model    string    `json:"model"`
		Most     int       `json:"max_tokens"`
		Messages []message `json:"messages"`
		Stream   bool      `json:"stream"`
		Options  struct {
			Usage bool `json:"include_usage"`
		} `json:"stream_options"`
		Tools  []tool `json:"tools,omitempty"`
		Choice string `json:"tool_choice,omitempty"`
	}
	message struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	}
	tool struct {
		Type     string   `json:"type"`
		Function function `json:"function"`
	}
	function struct {
		Name        string          `json:"name"`
		Description string          `json:"description"`
		Parameters  json.RawMessage `json:"parameters"`
	}
)

// Ask has a model say a word, and if tools is set call a tool. A tier that is not ready is loaded for it by the gateway: whether
// that may be is the caller's business.
func (p Prober) Ask(ctx context.Context, m Model, tools bool) Asked {
	a := Asked{Tier: m.Tier, Model: m.Ref, URL: m.BaseURL}
	begin := time.Now()
	s, err := p.send(ctx, m, &a, chat{Most: wordTokens, Messages: []message{{"user", "Say hello in one word."}}})
	if s != nil && !s.first.IsZero() {
		a.FirstByte = s.first.Sub(begin)
		a.Seconds = a.FirstByte.Seconds()
	}
	if err == nil {
		err = s.whole()
	}
	if err != nil {
		a.fail(m, err)
		return a
	}
	if !s.usage {
		a.Remarks = append(a.Remarks, Remark{
			Tier: m.Tier, Text: fmt.Sprintf("tier %q does not say how many tokens a request took, so OpenCode cannot tell when a session gets too long", m.Tier),
		})
	}
	if tools {
		p.askTool(ctx, m, &a)
	}
	return a
}

func (a *Asked) fail(m Model, err error) {
	r := Remark{Failed: true, Tier: m.Tier, Text: fmt.Sprintf("tier %q does not answer at %s: %v", m.Tier, m.BaseURL, err)}
	var h *hinted
	if errors.As(err, &h) {
		r.Hint = h.hint
	}
	a.Remarks = append(a.Remarks, r)
}

// hinted is an error with what to do.
type hinted struct {
	text, hint string
}

func (h *hinted) Error() string { return h.text }

// send sends one request and reads the stream that comes back.
func (p Prober) send(ctx context.Context, m Model, a *Asked, c chat) (*stream, error) {
	ctx, cancel := context.WithTimeout(ctx, p.Limit)
	defer cancel()
	c.Model, c.Stream, c.Options.Usage = m.ID, true, true
	r, err := openai.Request(ctx, m.BaseURL+"/chat/completions", p.Key, c)
	if err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", "tierctl-opencode-verify")
	answer, err := p.Transport.RoundTrip(r)
	if err != nil {
		return nil, p.unreachable(m, err)
	}
	defer answer.Body.Close()
	a.Status, a.Again = answer.StatusCode, retryAfter(answer)
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, maxAnswer)) // what came of it is what there is to show
		return nil, p.refused(m, answer, openai.Problem(text))
	}
	s, err := readStream(answer.Body, time.Now)
	if err != nil {
		return s, p.unreachable(m, err)
	}
	return s, nil
}

// unreachable says why no answer came, or only a part of one.
func (p Prober) unreachable(m Model, err error) error {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		at := m.BaseURL
		if u, e := url.Parse(m.BaseURL); e == nil {
			at = u.Host
		}
		return &hinted{"nothing listens at " + at, "systemctl status tier-gateway"}
	case errors.Is(err, context.DeadlineExceeded):
		return &hinted{fmt.Sprintf("no whole answer came within %s", p.Limit), "tierctl status " + m.Tier}
	}
	return &hinted{err.Error(), "tierctl logs " + m.Tier}
}

// refused says what an answer other than 200 means for the set-up.
func (p Prober) refused(m Model, answer *http.Response, text string) error {
	h := &hinted{text: fmt.Sprintf("status %d: %s", answer.StatusCode, text), hint: "tierctl logs " + m.Tier}
	switch answer.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		h.hint = "`tierctl key opencode` makes a key; tierctl opencode apply --key-file FILE"
	case http.StatusNotFound:
		h.hint = "tierctl opencode apply writes the names that there are"
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		if after := retryAfter(answer); after > 0 {
			h.text += fmt.Sprintf(" (try again in %s)", after)
		}
		h.hint = "tierctl status " + m.Tier
	}
	return h
}

// retryAfter is how long a server wants to be left alone; 0 when it does not say so in seconds.
func retryAfter(answer *http.Response) time.Duration {
	seconds, err := strconv.ParseUint(answer.Header.Get("Retry-After"), 10, 16)
	if err != nil {
		return 0
	}
	return time.Duration(seconds) * time.Second
}
