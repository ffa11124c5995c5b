package opencode

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tierd/tierd/agent/openai"
)

// Tools is what a model made of a tool that it was to call.
type Tools string

// The ways.
const (
	ToolsCalled Tools = "called"  // as it should
	ToolsText   Tools = "text"    // it wrote the call down as text, which no client takes for one
	ToolsBroken Tools = "broken"  // a call that OpenCode cannot use
	ToolsNone   Tools = "none"    // it answered in words
	ToolsError  Tools = "refused" // the server refused, or failed
)

// toolName is that of OpenCode's own tool, which agents call most.
const toolName = "read"

// readTool is the one tool that is offered. Its shape is that of OpenCode's requests.
var readTool = []tool{{Type: "function", Function: function{
	Name: toolName, Description: "Reads a file from the disk and returns its content.",
	Parameters: json.RawMessage(`{"type":"object","properties":{"filePath":{"type":"string","description":"The path of the file"}},"required":["filePath"],"additionalProperties":false}`),
}}}

// askTool has the model call a tool, and judges what came of it.
func (p Prober) askTool(ctx context.Context, m Model, a *Asked) {
	s, err := p.send(ctx, m, a, chat{Most: callTokens, Tools: readTool, Choice: "auto", Messages: []message{
		{"system", "You are a coding agent. Use the tools that you have."},
		{"user", "Read the file README.md. Call the tool; do not answer in words."},
	}})
	if err == nil {
		err = s.whole()
	}
	if err != nil {
		a.Tools = ToolsError
		a.Remarks = append(a.Remarks, Remark{
			Failed: true, Tier: m.Tier, Text: fmt.Sprintf("tier %q answers, but not when it is offered a tool: %v", m.Tier, err), Hint: toolsHint,
		})
		return
	}
	var r Remark
	a.Tools, r = s.judge(m)
	if r.Text != "" {
		a.Remarks = append(a.Remarks, r)
	}
}

// judge says how a model called the tool.
func (s *stream) judge(m Model) (Tools, Remark) {
	r := Remark{Failed: true, Tier: m.Tier, Hint: toolsHint}
	if len(s.calls) == 0 {
		if form := callInText(s.words.String()); form != "" {
			r.Text = fmt.Sprintf("the model of tier %q writes tool calls as text (%s), which no client takes for one: its engine does not parse them", m.Tier, form)
			return ToolsText, r
		}
		r.Failed, r.Hint = false, "a model that was trained to call tools does better"
		r.Text = fmt.Sprintf("the model of tier %q called no tool when it was asked to", m.Tier)
		if s.finish == "length" {
			r.Text += fmt.Sprintf(" within %d tokens", callTokens)
		}
		return ToolsNone, r
	}
	var arguments map[string]any
	c := s.calls[0]
	switch {
	case s.nameless:
		r.Text = fmt.Sprintf("tier %q begins a tool call without its name, which OpenCode takes for an error", m.Tier)
	case c.name != toolName:
		r.Text = fmt.Sprintf("the model of tier %q called a tool %q, which it was not offered", m.Tier, openai.Line(c.name))
	case json.Unmarshal([]byte(c.arguments), &arguments) != nil:
		r.Text = fmt.Sprintf("the model of tier %q called a tool with arguments that are no JSON: %s", m.Tier, openai.Line(c.arguments))
	default:
		return ToolsCalled, Remark{}
	}
	return ToolsBroken, r
}

// callForms are how models write a tool call when nothing parses it, each by its template.
var callForms = []string{"<tool_call>", "<function=", "<function_call", "<|tool_call", "<|python_tag|>", "[TOOL_CALLS]", "<tools>", "<invoke ", "functools[", "<｜tool▁call"}

// callInText finds a tool call in words; "" when there is none.
func callInText(words string) string {
	for _, form := range callForms {
		if strings.Contains(words, form) {
			return form
		}
	}
	if plain := strings.ReplaceAll(words, " ", ""); strings.Contains(plain, `"name":"`+toolName+`"`) {
		return "JSON"
	}
	return ""
}
