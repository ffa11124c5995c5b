// Package openai is what asking a server with OpenAI's API takes, whoever asks: a request, and what an error says.
package openai

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
)

// Request makes a request: a POST of body as JSON, or a GET when body is nil. key is the server's; "": it wants none.
func Request(ctx context.Context, url, key string, body any) (*http.Request, error) {
	method, text := http.MethodGet, []byte(nil)
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return nil, err
		}
		method = http.MethodPost
	}
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	return r, nil
}
