package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// prober asks the engine questions over its unix socket.
type prober struct {
	client *http.Client
	engine string
	served string // the name to ask for; set from /v1/models when the command line named none

	drift atomic.Int64 // what vLLM's /load says when nothing is in flight
}

// newProber keeps no connection open: an idle client delays the end of either engine at a stop.
func newProber(engine, socket, served string) *prober {
	transport := &http.Transport{
		DisableKeepAlives:  true,
		DisableCompression: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "unix", socket)
		},
	}
	return &prober{client: &http.Client{Transport: transport}, engine: engine, served: served}
}

// answerLimit bounds what is read of an answer. vLLM's metrics are the longest, about 100 KiB.
const answerLimit = 2 << 20

// ask sends one request and hands the answer's body to read, which may be nil. It returns the HTTP status.
func (p *prober) ask(ctx context.Context, method, path string, body []byte, read func(io.Reader) error) (int, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://engine"+path, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	answer, err := p.client.Do(request)
	var outer *url.Error // names the request, which says nothing to a user
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return 0, errors.New("it took too long")
	case errors.As(err, &outer):
		return 0, plainNet(outer.Err)
	case err != nil:
		return 0, err
	}
	defer answer.Body.Close()
	if read != nil && answer.StatusCode == http.StatusOK {
		err = read(io.LimitReader(answer.Body, answerLimit))
	}
	return answer.StatusCode, err
}

// healthy tells whether /health answers 200. llama-server says 503 while it loads; vLLM when its
// engine process has died.
func (p *prober) healthy(ctx context.Context) error {
	status, err := p.ask(ctx, "GET", "/health", nil, nil)
	if err != nil {
		return fmt.Errorf("no answer from the engine: %w", err)
	}
	if status != http.StatusOK {
		return fmt.Errorf("the engine's /health says %d", status)
	}
	return nil
}

// listed checks that the engine serves the name that clients will be sent to it with.
func (p *prober) listed(ctx context.Context) error {
	var models struct {
		Data []struct {
			ID      string   `json:"id"`
			Aliases []string `json:"aliases"` // llama-server: the names beside the one it reports
		} `json:"data"`
	}
	status, err := p.ask(ctx, "GET", "/v1/models", nil, func(body io.Reader) error {
		return json.NewDecoder(body).Decode(&models)
	})
	switch {
	case err != nil:
		return fmt.Errorf("cannot read the engine's /v1/models: %w", err)
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return nil // the engine has a key of its own (extra_args): it answers, and clients bring the key
	case status != http.StatusOK:
		return fmt.Errorf("the engine's /v1/models says %d", status)
	}
	var names []string
	for _, model := range models.Data {
		names = append(append(names, model.ID), model.Aliases...)
	}
	for _, name := range names {
		if p.served == "" || p.served == name {
			p.served = name
			return nil
		}
	}
	return &wrongName{names, p.served}
}

// wrongName says that the engine serves another name than clients will ask for. Waiting does not change that.
type wrongName struct {
	listed []string
	want   string
}

func (e *wrongName) Error() string {
	return fmt.Sprintf("the engine serves the names %q and not %q", e.listed, e.want)
}

// completes asks for one token. An engine that has no completions (an embedding model) refuses with a status of its
// own, and that is an answer as well.
func (p *prober) completes(ctx context.Context) error {
	body, err := json.Marshal(map[string]any{"model": p.served, "prompt": "a", "max_tokens": 1, "temperature": 0})
	if err != nil {
		return err
	}
	status, err := p.ask(ctx, "POST", "/v1/completions", body, nil)
	switch {
	case err != nil:
		return fmt.Errorf("no token from the engine: %w", err)
	case status >= 500 && status != http.StatusNotImplemented:
		return fmt.Errorf("the engine answers %d to a completion", status)
	}
	return nil
}

// inFlight tells how many requests the engine has; known is false when it cannot say.
func (p *prober) inFlight(ctx context.Context) (count int, known bool) {
	seen, err := p.counters(ctx)
	return int(seen.inFlight), err == nil && seen.known
}

// load polls until the engine is ready; an error that waiting does not cure is returned. A line in the log that says
// "up" makes it ask at once. Without one, readiness is seen within 25 ms or 1 % of the load's length: asking more often
// takes time from an engine that has few cores to load on.
func (p *prober) load(ctx context.Context, kick <-chan struct{}, trouble func(error)) error {
	start := time.Now()
	for {
		err := p.ready(ctx)
		var wrong *wrongName
		if err == nil || ctx.Err() != nil || errors.As(err, &wrong) {
			return err
		}
		trouble(err)
		pause := min(max(25*time.Millisecond, time.Since(start)/100), 500*time.Millisecond)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-kick:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// ready is the probe of readiness: health, name, and one token. The token has no bound but ctx, since the first one may
// compile kernels for minutes.
func (p *prober) ready(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := p.healthy(bounded); err != nil {
		return err
	}
	if err := p.listed(bounded); err != nil {
		return err
	}
	return p.completes(ctx)
}

// latest holds the last error of a goroutine for another.
type latest struct {
	mu  sync.Mutex
	err error
}

func (l *latest) set(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

func (l *latest) get() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}
