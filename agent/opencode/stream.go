package opencode

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// stream is what came in one streamed answer.
type stream struct {
	first    time.Time // of the first event; zero: there was none
	words    strings.Builder
	calls    []call
	finish   string // why it ended: "stop", "length", "tool_calls"; "" when it did not say
	usage    bool
	nameless bool   // a call began without its name
	fault    string // an event that is an error
}

// call is one tool call, put together from its parts.
type call struct {
	index     int
	name      string
	arguments string
}

const (
	// maxStream is far more than the few tokens that are asked for, each an event of some 300 bytes.
	maxStream = 1 << 20
	// maxWords is as much of an answer as is looked at.
	maxWords = 16 << 10
)

// event is one of a stream, as OpenAI has it and llama-server and vLLM follow.
type event struct {
	Choices []struct {
		Delta struct {
			Content string `json:"content"`
			Calls   []struct {
				Index    int `json:"index"`
				Function struct {
					Name      string `json:"name"`
					Arguments string `json:"arguments"`
				} `json:"function"`
			} `json:"tool_calls"`
		} `json:"delta"`
		Finish string `json:"finish_reason"`
	} `json:"choices"`
	Usage json.RawMessage `json:"usage"`
	Error json.RawMessage `json:"error"`
}

// readStream reads server-sent events up to [DONE] or their end. Comments, which hold a connection open, are no events.
func readStream(r io.Reader, now func() time.Time) (*stream, error) {
	s := &stream{}
	counted := &io.LimitedReader{R: r, N: maxStream}
	lines := bufio.NewScanner(counted)
	lines.Buffer(nil, maxStream)
	for lines.Scan() {
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data:"))
		if !ok {
			continue
		}
		if s.first.IsZero() {
			s.first = now()
		}
		data = bytes.TrimSpace(data)
		if string(data) == "[DONE]" {
			return s, nil
		}
		if err := s.take(data); err != nil && counted.N > 0 { // else it is only cut off
			return s, err
		}
	}
	if err := lines.Err(); err != nil {
		return s, err
	}
	if counted.N == 0 {
		return s, fmt.Errorf("the answer has more than %d MiB", maxStream>>20)
	}
	return s, nil
}

func (s *stream) take(data []byte) error {
	var e event
	if err := json.Unmarshal(data, &e); err != nil {
		return fmt.Errorf("an event of the stream is not what OpenAI's are: %w", err)
	}
	if told(e.Error) {
		s.fault = errorText(e.Error)
	}
	s.usage = s.usage || told(e.Usage)
	for _, c := range e.Choices {
		if c.Finish != "" {
			s.finish = c.Finish
		}
		if s.words.Len() < maxWords {
			s.words.WriteString(c.Delta.Content)
		}
		for _, part := range c.Delta.Calls {
			i := slices.IndexFunc(s.calls, func(c call) bool { return c.index == part.Index })
			if i < 0 {
				i = len(s.calls)
				s.calls = append(s.calls, call{index: part.Index})
				s.nameless = s.nameless || part.Function.Name == ""
			}
			s.calls[i].name += part.Function.Name
			s.calls[i].arguments += part.Function.Arguments
		}
	}
	return nil
}

func told(v json.RawMessage) bool { return len(v) > 0 && string(v) != "null" }

// errorText reads an error object, or the text that some servers have instead.
func errorText(v json.RawMessage) string {
	var o struct {
		Message string `json:"message"`
	}
	var text string
	switch {
	case json.Unmarshal(v, &o) == nil && o.Message != "":
		text = o.Message
	case json.Unmarshal(v, &text) == nil && text != "":
	default:
		text = string(v)
	}
	return oneLine(text)
}

// bodyText reads what an answer with an error status says.
func bodyText(body []byte) string {
	var o struct {
		Error   json.RawMessage `json:"error"`
		Detail  string          `json:"detail"`
		Message string          `json:"message"`
	}
	if json.Unmarshal(body, &o) == nil {
		switch {
		case told(o.Error):
			return errorText(o.Error)
		case o.Message != "":
			return oneLine(o.Message)
		case o.Detail != "":
			return oneLine(o.Detail)
		}
	}
	return oneLine(string(body))
}

// oneLine makes foreign text fit to be shown: one line, no escape sequences, not too long.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(escapes.ReplaceAllString(strings.ToValidUTF8(text, "?"), " ")), " ")
	if len(text) > maxComplaint {
		text = strings.ToValidUTF8(text[:maxComplaint], "") + "…"
	}
	return text
}

// whole tells what is wrong with how a stream ended; nil when OpenCode could go on from there.
func (s *stream) whole() error {
	switch {
	case s.fault != "":
		return fmt.Errorf("the answer ended with an error: %s", s.fault)
	case s.first.IsZero():
		return errors.New("the answer is no stream, or an empty one")
	case s.finish == "":
		return errors.New("the stream ended without a finish_reason, on which OpenCode asks again without an end")
	}
	return nil
}
