package opencode

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/openai"
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

// readStream reads server-sent events up to [DONE] or their end.
func readStream(r io.Reader, now func() time.Time) (*stream, error) {
	s := &stream{}
	counted := &io.LimitedReader{R: r, N: maxStream}
	for frame, err := range api.Frames(counted) {
		if err != nil {
			return s, err
		}
		if s.first.IsZero() {
			s.first = now()
		}
		if frame.Data == "[DONE]" {
			return s, nil
		}
		if err := s.take([]byte(frame.Data)); err != nil {
			return s, err
		}
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
	if openai.Told(e.Error) {
		s.fault = openai.Problem(data)
	}
	s.usage = s.usage || openai.Told(e.Usage)
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
