package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// engineAnswers are what an engine says when it is asked for a word, and when it is offered a tool.
var engineAnswers = map[string]struct {
	status     int
	word, tool string
}{
	"good":    {200, engineWord, engineCall},
	"text":    {200, engineWord, strings.Replace(engineWord, "Hello", `<tool_call>{\"name\": \"read\"}`, 1)},
	"endless": {200, `data: {"choices":[{"delta":{"content":"Hello"}}]}` + "\n\n", ""},
	"locked":  {401, `{"error":{"message":"A key is needed."}}`, ""},
}

const (
	engineEnd  = `data: {"choices":[{"delta":{},"finish_reason":"stop"}]}` + "\n\n" + `data: {"choices":[],"usage":{"prompt_tokens":1}}` + "\n\ndata: [DONE]\n\n"
	engineWord = `data: {"choices":[{"delta":{"content":"Hello"}}]}` + "\n\n" + engineEnd
	engineCall = `data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"read","arguments":"{}"}}]}}]}` + "\n\n" + engineEnd
)

// engineCommand stands in for the port of a tier, or of the gateway: `engine VARIABLE KIND` sets VARIABLE to its number. Who asks for
// words is in the file "asked"; whoever asks for the context of a tier hears that it is large.
func engineCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: engine VARIABLE KIND")
	}
	answer, ok := engineAnswers[args[1]]
	if !ok {
		ts.Fatalf("there is no engine %q", args[1])
	}
	log := ts.MkAbs("asked")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			io.WriteString(w, `{"default_generation_settings":{"n_ctx":131072}}`)
			return
		}
		body, _ := io.ReadAll(r.Body)
		if file, err := os.OpenFile(log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
			fmt.Fprintf(file, "%s %q\n", args[0], r.Header.Get("Authorization"))
			file.Close()
		}
		w.WriteHeader(answer.status)
		if strings.Contains(string(body), `"tools"`) {
			io.WriteString(w, answer.tool)
		} else {
			io.WriteString(w, answer.word)
		}
	})}
	go server.Serve(listener)
	ts.Defer(func() { server.Close() })
	_, port, err := net.SplitHostPort(listener.Addr().String())
	ts.Check(err)
	ts.Setenv(args[0], port)
}
