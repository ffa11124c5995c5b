package main

import (
	"bytes"
	"encoding/json"
)

// renameModel sets the top-level field "model" of a JSON object, and leaves every other byte as it was: the order of the
// keys, large numbers and the spelling of strings are the client's business. What is no object stays untouched, and
// upstream says so.
func renameModel(body []byte, model string) []byte {
	name, err := json.Marshal(model)
	if err != nil {
		return body
	}
	fields := json.NewDecoder(bytes.NewReader(body))
	if open, err := fields.Token(); err != nil || open != json.Delim('{') {
		return body
	}
	first := fields.InputOffset()
	out := make([]byte, 0, len(body)+len(name)+16)
	var copied int64
	found, empty := false, true
	for fields.More() {
		key, err := fields.Token()
		if err != nil {
			return body
		}
		var value json.RawMessage
		if err := fields.Decode(&value); err != nil {
			return body
		}
		empty = false
		if key == "model" { // every one of them: servers differ in which they take when a key comes twice
			stop := fields.InputOffset()
			out = append(append(out, body[copied:stop-int64(len(value))]...), name...)
			copied, found = stop, true
		}
	}
	if _, err := fields.Token(); err != nil {
		return body
	}
	if !found {
		out = append(append(append(out, body[:first]...), `"model":`...), name...)
		if !empty {
			out = append(out, ',')
		}
		copied = first
	}
	return append(out, body[copied:]...)
}
