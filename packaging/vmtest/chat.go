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
)

// StatusError is an answer other than 200.
type StatusError struct {
	Port, Status int
	Body         string // its first 4 KiB
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("port %d: status %d: %s", e.Port, e.Status, e.Body)
}

// Client asks the ports inside a bed or a VM.
type Client struct{ http *http.Client }

// HTTP is a client whose connections start inside.
func (c Client) HTTP() *http.Client { return c.http }

// Chat asks a port inside for a completion of a few tokens and returns what the model said. An empty model is
// the first that the port lists.
func (c Client) Chat(ctx context.Context, port int, model, prompt string, tokens int) (string, error) {
	res, err := c.ask(ctx, port, model, prompt, tokens, false)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	var reply struct {
		Choices []struct {
			Message struct{ Content string }
		}
	}
	if err := json.NewDecoder(res.Body).Decode(&reply); err != nil {
		return "", fmt.Errorf("port %d: cannot read the completion: %w", port, err)
	}
	if len(reply.Choices) != 1 || reply.Choices[0].Message.Content == "" {
		return "", fmt.Errorf("port %d: the completion is empty", port)
	}
	return reply.Choices[0].Message.Content, nil
}

// Stream asks for a streamed completion and returns what came. It calls first when the first token is there. A stream
// that does not end as the protocol says, with a finish reason and [DONE], is an error.
func (c Client) Stream(ctx context.Context, port int, model, prompt string, tokens int, first func()) (string, error) {
	res, err := c.ask(ctx, port, model, prompt, tokens, true)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	var text strings.Builder
	var finished, done bool
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		if data == "[DONE]" {
			done = true
			continue
		}
		var chunk struct {
			Choices []struct {
				Delta        struct{ Content string }
				FinishReason *string `json:"finish_reason"`
			}
		}
		if err := json.Unmarshal([]byte(data), &chunk); err != nil {
			return text.String(), fmt.Errorf("port %d: cannot read a chunk of the stream: %w: %s", port, err, data)
		}
		for _, choice := range chunk.Choices {
			if choice.Delta.Content != "" && text.Len() == 0 {
				first()
			}
			text.WriteString(choice.Delta.Content)
			finished = finished || choice.FinishReason != nil
		}
	}
	switch {
	case lines.Err() != nil:
		return text.String(), fmt.Errorf("port %d: the stream broke after %d bytes of text: %w", port, text.Len(), lines.Err())
	case !finished || !done:
		return text.String(), fmt.Errorf("port %d: the stream ended after %d bytes of text without being complete", port, text.Len())
	case text.Len() == 0:
		return "", fmt.Errorf("port %d: the stream is complete and empty", port)
	}
	return text.String(), nil
}

// ask posts a chat request and returns the response when its status is 200; any other is an error with the body.
func (c Client) ask(ctx context.Context, port int, model, prompt string, tokens int, stream bool) (*http.Response, error) {
	if model == "" {
		models, err := c.Models(ctx, port)
		if err != nil {
			return nil, err
		}
		if len(models) == 0 {
			return nil, fmt.Errorf("port %d lists no model", port)
		}
		model = models[0]
	}
	body, err := json.Marshal(map[string]any{
		"ignore_eos": stream, // both engines know it: a stream then has exactly as many tokens as were asked for
		"model":      model, "max_tokens": tokens, "stream": stream, "temperature": 0,
		"messages": []map[string]string{{"role": "user", "content": prompt}},
	})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("http://127.0.0.1:%d/v1/chat/completions", port), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		defer res.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10))
		return nil, &StatusError{Port: port, Status: res.StatusCode, Body: string(bytes.TrimSpace(text))}
	}
	return res, nil
}

// Models returns the ids that /v1/models of a port inside lists.
func (c Client) Models(ctx context.Context, port int) ([]string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/v1/models", port), nil)
	if err != nil {
		return nil, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var list struct{ Data []struct{ ID string } }
	if err := json.NewDecoder(res.Body).Decode(&list); err != nil {
		return nil, errors.Join(fmt.Errorf("port %d: cannot read the list of models (status %d)", port, res.StatusCode), err)
	}
	ids := make([]string, len(list.Data))
	for i, m := range list.Data {
		ids[i] = m.ID
	}
	return ids, nil
}
