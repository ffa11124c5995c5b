package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/openai"
)

// Kinds of engine that can be measured: both take a prompt as tokens, so that its length is exact.
const (
	VLLM  = "vllm"
	Llama = "llama"
)

// Client asks one tier, through its port of the gateway.
type Client struct {
	HTTP   http.RoundTripper
	Base   string // "http://127.0.0.1:8001"
	Model  string // a name that the gateway knows the tier by
	Engine string // VLLM or Llama
	Key    string // for the gateway; "": none
}

// answer is one stream. Times are from when the request was sent.
type answer struct {
	first, last  time.Duration // of its tokens
	prompt       int           // tokens, those from a cache included
	cached       int           // of them
	tokens       int           // that came
	readingRate  float64       // tokens a second by the engine's own clock; 0: it does not say
	writingRate  float64
	begun, ended time.Time // when its first token came and its last
}

// chunk is what an engine sends for a token, and at the end of the stream.
type chunk struct {
	Choices []json.RawMessage `json:"choices"`
	Usage   *struct {
		Prompt     int `json:"prompt_tokens"`
		Completion int `json:"completion_tokens"`
		Details    *struct {
			Cached int `json:"cached_tokens"`
		} `json:"prompt_tokens_details"`
	} `json:"usage"`
	Timings *struct { // llama-server
		Cached      int     `json:"cache_n"`
		Prompt      int     `json:"prompt_n"` // without those from the cache
		PromptRate  float64 `json:"prompt_per_second"`
		Predicted   int     `json:"predicted_n"`
		WritingRate float64 `json:"predicted_per_second"`
	} `json:"timings"`
	Error json.RawMessage `json:"error"`
}

// stream asks for so many tokens and follows them to the end. Engines would end earlier where the model has no more to say.
func (c Client) stream(ctx context.Context, prompt []int, tokens int) (answer, error) {
	sent := time.Now()
	res, err := c.do(ctx, "/v1/completions", map[string]any{
		"model": c.Model, "prompt": prompt, "max_tokens": tokens, "temperature": 0, "ignore_eos": true,
		"stream": true, "stream_options": map[string]bool{"include_usage": true},
	})
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	var a answer
	done := false
	for frame, err := range api.Frames(res.Body) {
		if err != nil {
			return a, fmt.Errorf("the stream broke: %w", err)
		}
		if frame.Data == "[DONE]" { // the answer is read to its end all the same, so that the connection serves again
			done = true
			continue
		}
		if err := a.take(frame.Data, sent); err != nil {
			return a, err
		}
	}
	switch {
	case !done:
		return a, errors.New("the stream ended without being complete")
	case a.begun.IsZero() || a.tokens < 1:
		return a, errors.New("the stream is complete, and its engine did not say how many tokens it had")
	}
	return a, nil
}

func (a *answer) take(data string, sent time.Time) error {
	now := time.Now()
	var c chunk
	if err := json.Unmarshal([]byte(data), &c); err != nil {
		return fmt.Errorf("cannot read a part of the stream: %w", err)
	}
	if openai.Told(c.Error) {
		return fmt.Errorf("the stream ended with an error: %s", openai.Problem([]byte(data)))
	}
	if len(c.Choices) > 0 {
		if a.begun.IsZero() {
			a.begun, a.first = now, now.Sub(sent)
		}
		a.ended, a.last = now, now.Sub(sent)
	}
	if t := c.Timings; t != nil {
		a.cached, a.prompt, a.tokens = t.Cached, t.Prompt+t.Cached, t.Predicted
		a.readingRate, a.writingRate = t.PromptRate, t.WritingRate
	}
	if u := c.Usage; u != nil {
		if t := c.Timings; t != nil && t.Cached == 0 { // of a llama-server that does not count them
			a.cached = max(u.Prompt-t.Prompt, 0)
		}
		a.prompt, a.tokens = u.Prompt, u.Completion
		if u.Details != nil && u.Details.Cached > 0 {
			a.cached = u.Details.Cached
		}
	}
	if a.prompt < 0 || a.cached < 0 || a.tokens < 0 || a.cached > a.prompt {
		return fmt.Errorf("the engine counts %d prompt tokens, %d of them cached, and %d of its own, which cannot be", a.prompt, a.cached, a.tokens)
	}
	return nil
}

// tokenize turns text into the model's tokens.
func (c Client) tokenize(ctx context.Context, text string) ([]int, error) {
	body := map[string]any{"model": c.Model, "prompt": text, "add_special_tokens": false}
	if c.Engine == Llama {
		body = map[string]any{"model": c.Model, "content": text, "add_special": false}
	}
	res, err := c.do(ctx, "/tokenize", body)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var got struct {
		Tokens []int `json:"tokens"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(&got); err != nil {
		return nil, fmt.Errorf("cannot read its tokens: %w", err)
	}
	return got.Tokens, nil
}

// version is the engine's own, "" when it does not say.
func (c Client) version(ctx context.Context) string {
	path := "/version"
	if c.Engine == Llama {
		path = "/props"
	}
	res, err := c.do(ctx, path, nil)
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	var got struct {
		Version string `json:"version"`
		Build   string `json:"build_info"`
	}
	if json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(&got) != nil {
		return ""
	}
	if c.Engine == Llama {
		return got.Build
	}
	return got.Version
}

// maxAnswer bounds what is read of an answer that is no stream, in bytes. /props holds a chat template.
const maxAnswer = 4 << 20

// do returns an answer whose status is 200; any other is an error that says what the gateway or the engine did.
func (c Client) do(ctx context.Context, path string, body any) (*http.Response, error) {
	req, err := openai.Request(ctx, c.Base+path, c.Key, body)
	if err != nil {
		return nil, err
	}
	res, err := c.HTTP.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10))
	if res.StatusCode == http.StatusUnauthorized {
		return nil, errors.New("the gateway wants a key: put one into the variable TIERD_KEY (`tierctl key` makes one)")
	}
	return nil, fmt.Errorf("%s answered %d: %s", path, res.StatusCode, openai.Problem(text))
}
