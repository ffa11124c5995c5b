//go:build vllm && !vmtest

package vmtest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// outcome is how a request ended.
type outcome struct {
	status  int
	chunks  int           // of a stream, those with text
	fault   string        // the error that a stream carried: vLLM's way to break off one that has begun
	done    bool          // a stream's [DONE], or the end of a plain answer
	first   time.Duration // until the first text
	took    time.Duration
	at      time.Duration // when it ended, by monotonic
	text    string        // the body of an answer other than 200
	failure error
}

func (o outcome) String() string {
	switch {
	case o.failure != nil && o.status == 0:
		return fmt.Sprintf("no answer: %v", o.failure)
	case o.failure != nil:
		return fmt.Sprintf("cut off after %d chunks", o.chunks)
	case o.status != http.StatusOK:
		return fmt.Sprintf("status %d", o.status)
	case o.fault != "":
		return fmt.Sprintf("an error behind %d chunks", o.chunks)
	case o.done:
		return fmt.Sprintf("complete after %.1f s, %d chunks", o.took.Seconds(), o.chunks)
	}
	return fmt.Sprintf("ended early after %d chunks", o.chunks)
}

// whole tells whether it looks to its client like all that was asked for.
func (o outcome) whole() bool {
	return o.status == http.StatusOK && o.done && o.failure == nil && o.fault == ""
}

// complete asks for exactly so many tokens, which takes a known time whatever the model has to say. started, if not nil,
// is called at the first text.
func (v *vllmBed) complete(ctx context.Context, port int, model string, tokens int, stream bool, started func()) outcome {
	body, err := json.Marshal(map[string]any{
		"model": model, "prompt": "Once upon a time", "max_tokens": tokens, "ignore_eos": true, "stream": stream, "temperature": 0,
	})
	if err != nil {
		return outcome{failure: err}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("http://127.0.0.1:%d/v1/completions", port), bytes.NewReader(body))
	if err != nil {
		return outcome{failure: err}
	}
	req.Header.Set("Content-Type", "application/json")
	begin := time.Now()
	o := v.read(req, stream, begin, started)
	o.took, o.at = time.Since(begin), monotonic()
	return o
}

// read sends a request and reads its answer to the end.
func (v *vllmBed) read(req *http.Request, stream bool, begin time.Time, started func()) outcome {
	res, err := v.HTTP().Do(req)
	if err != nil {
		return outcome{failure: err}
	}
	defer res.Body.Close()
	o := outcome{status: res.StatusCode}
	if res.StatusCode != http.StatusOK || !stream {
		text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		o.text, o.failure, o.done = string(text), err, err == nil
		return o
	}
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		switch {
		case !ok:
		case data == "[DONE]":
			o.done = true
		case strings.HasPrefix(data, `{"error"`):
			o.fault = data
		default:
			if o.chunks++; o.chunks == 1 {
				o.first = time.Since(begin)
				if started != nil {
					started()
				}
			}
		}
	}
	o.failure = lines.Err()
	return o
}

// monotonic is the clock of systemd's …TimestampMonotonic, which beds share with the runner.
func monotonic() time.Duration {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // cannot fail for a clock that exists
	return time.Duration(now.Nano())
}

// longRequest is minutes of work on a CPU, in tokens.
const longRequest = 3500

// openStream begins a long stream and returns once its first text is there. Its outcome comes on the channel.
func (v *vllmBed) openStream(ctx context.Context) (<-chan outcome, error) {
	end := make(chan outcome, 1)
	started := make(chan struct{})
	go func() { end <- v.complete(ctx, coderPort, "coder", longRequest, true, func() { close(started) }) }()
	select {
	case <-started:
		return end, nil
	case o := <-end:
		return nil, fmt.Errorf("a long stream ended at once: %v %s", o, o.text)
	}
}

// openPlain begins a long request that is not streamed, beside those that are open already, and returns once the gateway
// has given it to the engine. The gateway is asked and not vLLM, whose /load may miscount (settle in cmd/tier-shim).
func (v *vllmBed) openPlain(ctx context.Context, already int) (<-chan outcome, error) {
	end := make(chan outcome, 1)
	go func() { end <- v.complete(ctx, coderPort, "coder", longRequest, false, nil) }()
	bound := time.After(30 * time.Second)
	for {
		now, err := v.inFlight(ctx)
		if err != nil || now == already+1 {
			return end, err
		}
		select {
		case o := <-end:
			return nil, fmt.Errorf("a long request ended at once: %v %s", o, o.text)
		case <-bound:
			said, err := v.serverLoad(ctx)
			return nil, fmt.Errorf("the gateway has %d requests in flight, not %d; the engine's /load says %d (%v)", now, already+1, said, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// inFlight is how many requests the gateway has given to coder's engine.
func (v *vllmBed) inFlight(ctx context.Context) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:8000/health", nil)
	if err != nil {
		return 0, err
	}
	res, err := v.HTTP().Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	var health struct {
		Tiers map[string]struct {
			InFlight *int `json:"in_flight"`
		}
	}
	if err := json.NewDecoder(res.Body).Decode(&health); err != nil || health.Tiers["coder"].InFlight == nil {
		return 0, fmt.Errorf("the gateway's /health does not tell what coder has in flight: %v", err)
	}
	return *health.Tiers["coder"].InFlight, nil
}

// serverLoad is how many requests vLLM's API server says that it has.
func (v *vllmBed) serverLoad(ctx context.Context) (int, error) {
	said, err := v.engineSays(ctx, "/load")
	if err != nil {
		return 0, err
	}
	var load struct {
		Server *int `json:"server_load"`
	}
	if err := json.NewDecoder(strings.NewReader(said)).Decode(&load); err != nil || load.Server == nil {
		return 0, fmt.Errorf("the engine's /load says %q", said)
	}
	return *load.Server, nil
}

// engineSays asks the engine itself, past the gateway.
func (v *vllmBed) engineSays(ctx context.Context, path string) (string, error) {
	return v.Must(ctx, "curl -sS -m 10 -w ' %{http_code}' --unix-socket /run/tier/tier-coder/engine.sock http://engine"+path)
}

// endOf returns how the request ended whose engine was taken away at a time by monotonic. Its client must see that soon,
// and that it is not whole.
func endOf(request <-chan outcome, taken time.Duration) (outcome, error) {
	select {
	case o := <-request:
		switch {
		case !o.whole():
			return o, nil
		case o.at < taken:
			return o, fmt.Errorf("%w: %v", errEndedFirst, o)
		}
		return o, fmt.Errorf("a request that was cut off looks whole to its client: %v", o)
	case <-time.After(30 * time.Second):
		return outcome{}, errors.New("the engine has gone and a client still waits for it")
	}
}
