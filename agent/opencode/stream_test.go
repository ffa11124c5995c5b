package opencode

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func TestCommentsAndOtherFieldsAreNoEvents(t *testing.T) {
	text := ": waiting\n\nevent: x\nid: 3\nretry: 10\n\r\ndata:" + word("Hello") + "\r\n\r\n" + sse(finish("stop"), "[DONE]") + "data: {"
	begin := time.Now()
	s, err := readStream(strings.NewReader(text), func() time.Time { return begin })
	if err != nil || s.words.String() != "Hello" || s.finish != "stop" || s.first != begin || s.whole() != nil {
		t.Errorf("%+v, %v", s, err)
	}
	broken := errors.New("broken")
	if _, err := readStream(io.MultiReader(strings.NewReader(sse(word("x"))), failing{broken}), time.Now); !errors.Is(err, broken) {
		t.Errorf("the error is %v", err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func FuzzStream(f *testing.F) {
	for _, seed := range []string{
		goodWord, goodCall, sse(`{"error":"x"}`), ": c\n\n", "data:\n\n", sse(`{"choices":[{"delta":{"tool_calls":[{"index":-1}]}}]}`), `{"error":{"message":"\u001b[2J"}}`, "\xff",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		s, err := readStream(strings.NewReader(string(body)), time.Now)
		if s == nil {
			t.Fatal("there is no stream")
		}
		if err == nil {
			_ = s.whole()
			if tools, r := s.judge(modelAt("http://h")); (tools == ToolsCalled) != (r.Text == "") || strings.ContainsAny(r.Text, "\n\x1b") {
				t.Errorf("%s %+v", tools, r)
			}
		}
	})
}
