package openai

import (
	"encoding/json"
	"regexp"
	"strings"
)

// MaxLine is as much of foreign text as a person reads, in bytes.
const MaxLine = 400

// Problem reads what is wrong from a body with an error status, or from an event of a stream: the sentence in it where it has one
// of the forms that servers use, else the body's beginning. It is fit to be shown, see Line.
func Problem(body []byte) string {
	var o struct {
		Error   json.RawMessage `json:"error"`
		Detail  string          `json:"detail"`
		Message string          `json:"message"`
	}
	if json.Unmarshal(body, &o) == nil {
		switch {
		case Told(o.Error):
			return errorText(o.Error)
		case o.Message != "":
			return Line(o.Message)
		case o.Detail != "":
			return Line(o.Detail)
		}
	}
	return Line(string(body))
}

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
	return Line(text)
}

// Told tells whether an answer has a field, and something in it.
func Told(v json.RawMessage) bool { return len(v) > 0 && string(v) != "null" }

// Escapes are the colours that programs write also where nobody sees them, and what else a terminal would obey.
var Escapes = regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")

// Line makes foreign text fit to be shown: one line, no escape sequences, not too long.
func Line(text string) string {
	text = strings.Join(strings.Fields(Escapes.ReplaceAllString(strings.ToValidUTF8(text, "?"), " ")), " ")
	if len(text) > MaxLine {
		text = strings.ToValidUTF8(text[:MaxLine], "") + "…"
	}
	return text
}
