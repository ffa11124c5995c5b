package script

import (
	"encoding/json"
	"fmt"
	"strings"
)

// question is what of a request counts.
type question struct {
	Model         string
	Stream        bool
	MaxTokens     int      `json:"max_tokens"`
	Temperature   *float64 `json:"temperature"`
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	Tools []struct {
		Function struct{ Name string }
	}
	Messages []message
	bytes    int
}

// message is one of a conversation's. Content is a text, or parts of which some have one.
type message struct {
	Role    string
	Content json.RawMessage
}

func (m message) text() string {
	var whole string
	if json.Unmarshal(m.Content, &whole) == nil {
		return whole
	}
	var parts []struct{ Text string }
	if json.Unmarshal(m.Content, &parts) != nil {
		return string(m.Content)
	}
	var all strings.Builder
	for _, p := range parts {
		all.WriteString(p.Text)
	}
	return all.String()
}

func readQuestion(body []byte) (*question, error) {
	q := question{bytes: len(body)}
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, fmt.Errorf("cannot read the request: %w", err)
	}
	if len(q.Messages) == 0 {
		return nil, fmt.Errorf("the request has no messages")
	}
	return &q, nil
}

// tokens is the prompt's size as it may be guessed without a tokenizer.
func (q *question) tokens() int { return q.bytes / 4 }

func (q *question) last() string { return q.Messages[len(q.Messages)-1].text() }

// has looks for words in every message but the system's, which names every tool and every agent.
func (q *question) has(words string) bool {
	if words == "" {
		return true
	}
	for _, m := range q.Messages {
		if m.Role != "system" && strings.Contains(m.text(), words) {
			return true
		}
	}
	return false
}

// after counts the messages that came after the user's last.
func (q *question) after() int {
	for i := len(q.Messages) - 1; i >= 0; i-- {
		if q.Messages[i].Role == "user" {
			return len(q.Messages) - 1 - i
		}
	}
	return len(q.Messages)
}
