package load

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// answer is what came of a completion.
type answer struct {
	models   []string // every `model` that was named in it, each once
	text     string
	finished string // finish_reason
	done     bool   // a stream's [DONE]
	tokens   int    // usage.completion_tokens
	failed   *apiError
}

// errEnded is the end of a stream in good order before it is complete: a client takes that for an answer, or asks again
// without bound.
var errEnded = errors.New("it ended in good order before it was complete")

// completion is the shape of a plain answer and of a stream's chunks.
type completion struct {
	Model   string
	Choices []struct {
		Message, Delta struct{ Content string }
		FinishReason   string `json:"finish_reason"`
	}
	Usage *struct {
		CompletionTokens int `json:"completion_tokens"`
	}
	Error *apiError
}

// apiError is OpenAI's error object.
type apiError struct {
	Message, Type string
	Code          any // a word or a number
}

func (e *apiError) code() string {
	switch code := e.Code.(type) {
	case string:
		return code
	case float64:
		return fmt.Sprint(code)
	}
	return ""
}

// maxAnswer bounds what is read of one answer: far more than any text here.
const maxAnswer = 4 << 20

// readPlain reads an answer that comes in one piece.
func readPlain(body io.Reader) (answer, error) {
	raw, err := io.ReadAll(io.LimitReader(body, maxAnswer))
	if err != nil {
		return answer{}, err
	}
	var a answer
	if err := a.add(raw); err != nil {
		return a, fmt.Errorf("%w: %w", errEnded, err)
	}
	a.done = true
	return a, nil
}

// readStream reads server-sent events up to the end of the body.
func readStream(body io.Reader) (answer, error) {
	var a answer
	lines := bufio.NewScanner(io.LimitReader(body, maxAnswer))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Bytes()
		data, isData := bytes.CutPrefix(line, []byte("data: "))
		switch {
		case len(line) == 0 || line[0] == ':' || bytes.HasPrefix(line, []byte("event:")):
		case !isData:
			return a, fmt.Errorf("the stream has the line %.100q", line)
		case a.done:
			return a, fmt.Errorf("after [DONE] comes %.100q", data)
		case string(data) == "[DONE]":
			a.done = true
		default:
			if err := a.add(data); err != nil {
				return a, err
			}
		}
	}
	return a, lines.Err()
}

// add takes in one JSON object of an answer.
func (a *answer) add(raw []byte) error {
	var c completion
	if err := json.Unmarshal(raw, &c); err != nil {
		return fmt.Errorf("it is no JSON: %w: %.200q", err, raw)
	}
	if c.Error != nil {
		a.failed = c.Error
		return nil
	}
	if !slices.Contains(a.models, c.Model) {
		a.models = append(a.models, c.Model)
	}
	for _, choice := range c.Choices {
		a.text += choice.Delta.Content + choice.Message.Content
		if choice.FinishReason != "" {
			a.finished = choice.FinishReason
		}
	}
	if c.Usage != nil {
		a.tokens = c.Usage.CompletionTokens
	}
	return nil
}

// verdict says how an answer that came to its end is to be counted, and why.
func (a answer) verdict(q question, t Target) (Outcome, string) {
	switch {
	case a.failed != nil:
		return Failed, fmt.Sprintf("the answer is the error %q: %s", a.failed.code(), a.failed.Message)
	case !a.done || a.finished == "":
		return Short, fmt.Sprintf("%v: finish_reason %q, [DONE] %t, text %.80q", errEnded, a.finished, a.done, a.text)
	case a.foreign(t) != "":
		return WrongModel, fmt.Sprintf("%q answered, not %s", a.foreign(t), strings.Join(t.Answers, " or "))
	case a.text != q.text || a.finished != "stop" || a.tokens == 0:
		return WrongText, fmt.Sprintf("finish_reason %q, %d tokens, text %q, not %q", a.finished, a.tokens, a.text, q.text)
	}
	return OK, ""
}

// foreign is a model in the answer that the target does not have, or a second one; "" when there is none.
func (a answer) foreign(t Target) string {
	if len(a.models) == 0 {
		return "nobody"
	}
	if len(a.models) > 1 {
		return strings.Join(a.models, " and then ")
	}
	if !slices.Contains(t.Answers, a.models[0]) {
		return a.models[0]
	}
	return ""
}
