package main

import (
	"encoding/json"
	"testing"
)

func TestRenameModel(t *testing.T) {
	tests := []struct{ name, body, want string }{
		{"the field is replaced where it stands", `{"a":1,"model":"x","b":2}`, `{"a":1,"model":"M","b":2}`},
		{"blanks and order stay", "{ \"model\" :\n \"x\" , \"b\": [ 1,2 ] }\n", "{ \"model\" :\n \"M\" , \"b\": [ 1,2 ] }\n"},
		{"a field further down is not it", `{"b":{"model":"x"}}`, `{"model":"M","b":{"model":"x"}}`},
		{"missing, put in front", `{"b":1}`, `{"model":"M","b":1}`},
		{"an empty object", `{}`, `{"model":"M"}`},
		{"twice", `{"model":"x","model":3}`, `{"model":"M","model":"M"}`},
		{"a value of another kind", `{"model":null}`, `{"model":"M"}`},
		{"an escaped key", `{"mo\u0064el":"x"}`, `{"mo\u0064el":"M"}`},
		{"no object", `[1]`, `[1]`},
		{"broken", `{"model":"x"`, `{"model":"x"`},
		{"empty", ``, ``},
	}
	for _, test := range tests {
		if got := string(renameModel([]byte(test.body), "M")); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

func FuzzRenameModel(f *testing.F) {
	f.Add([]byte(`{"a":1,"model":"x","b":[{"model":2}]}`))
	f.Add([]byte(" { \"model\"  : 1e9 } trailing"))
	f.Fuzz(func(t *testing.T, body []byte) {
		var before, after map[string]json.RawMessage
		if json.Unmarshal(body, &before) != nil || before == nil {
			return
		}
		got := renameModel(body, "M")
		if err := json.Unmarshal(got, &after); err != nil {
			t.Fatalf("%q became %q: %v", body, got, err)
		}
		if string(after["model"]) != `"M"` {
			t.Errorf("%q became %q", body, got)
		}
		delete(before, "model")
		delete(after, "model")
		for key, value := range before {
			if string(after[key]) != string(value) {
				t.Errorf("%q became %q: %s differs", body, got, key)
			}
		}
		if len(before) != len(after) {
			t.Errorf("%q became %q", body, got)
		}
	})
}
