package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"syscall"
	"time"
)

// attempt asks once and writes into the result what came of it. It returns in how long the gateway wants to be asked again;
// 0: not at all.
func (c *client) attempt(ctx context.Context, to Target, q question, begin time.Time, r *Result) time.Duration {
	r.Status, r.By, r.Detail = "", "", ""
	res, err := c.post(ctx, to, q)
	r.Wait = time.Since(begin).Seconds()
	if err != nil {
		r.Outcome, r.Detail = Broken, err.Error()
		switch {
		case ctx.Err() != nil:
			r.Outcome = Hung
		case errors.Is(err, syscall.ECONNREFUSED):
			r.Outcome = Refused
		}
		return 0
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return refusal(ctx, res, r)
	}
	var a answer
	if q.stream {
		a, err = readStream(res.Body)
	} else {
		a, err = readPlain(res.Body)
	}
	switch {
	case err == nil:
		r.Outcome, r.Detail = a.verdict(q, to)
		if r.Outcome == OK {
			r.By = a.models[0]
		}
	case ctx.Err() != nil:
		r.Outcome, r.Detail = Hung, err.Error()
	case errors.Is(err, errEnded):
		r.Outcome, r.Detail = Short, err.Error()
	default:
		r.Outcome, r.Detail = Cut, fmt.Sprintf("%v, after the text %.80q", err, a.text)
	}
	return 0
}

// post sends the question. Each client is one session, and each fourth one works for the session before it, as OpenCode's
// subagents do.
func (c *client) post(ctx context.Context, to Target, q question) (*http.Response, error) {
	url := fmt.Sprintf("http://127.0.0.1:%d/v1/chat/completions", to.Port)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(q.body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer EMPTY")
	req.Header.Set("X-Session-Id", fmt.Sprintf("ses_%d", c.number))
	if c.number%4 == 3 {
		req.Header.Set("X-Parent-Session-Id", fmt.Sprintf("ses_%d", c.number-1))
	}
	return c.http.Do(req)
}

// refusal reads an answer that is no completion.
func refusal(ctx context.Context, res *http.Response, r *Result) time.Duration {
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	var object struct{ Error *apiError }
	switch {
	case ctx.Err() != nil:
		r.Outcome, r.Detail = Hung, fmt.Sprintf("within the body of a %d", res.StatusCode)
		return 0
	case err != nil:
		r.Outcome, r.Detail = Cut, fmt.Sprintf("within the body of a %d: %v", res.StatusCode, err)
		return 0
	}
	r.Outcome, r.Status = Failed, strconv.Itoa(res.StatusCode)
	r.Detail = fmt.Sprintf("status %d: %.300s", res.StatusCode, bytes.TrimSpace(raw))
	if json.Unmarshal(raw, &object) != nil || object.Error == nil || object.Error.Message == "" || object.Error.code() == "" {
		return 0
	}
	r.Status += " " + object.Error.code()
	if res.StatusCode != http.StatusBadGateway && res.StatusCode != http.StatusServiceUnavailable {
		return 0
	}
	r.Outcome = Clear
	seconds, err := strconv.Atoi(res.Header.Get("Retry-After"))
	if err != nil || seconds <= 0 || res.StatusCode != http.StatusServiceUnavailable {
		return 0
	}
	return time.Duration(seconds) * time.Second
}
