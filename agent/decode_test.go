package agent

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tierd/tierd/agent/api"
)

func TestDecodeSaysWhatIsWrongAndWhere(t *testing.T) {
	tests := []struct {
		name, body, want string
	}{
		{"no body", "", `the request has no body; it takes an object with "action", "variant", "evict", "drain"`},
		{"blanks are no body", " \n", `the request has no body; it takes an object with "action", "variant", "evict", "drain"`},
		{"a list is not an object", `[]`, `the request is not an object; it takes one with "action", "variant", "evict", "drain"`},
		{"null is not an object", `null`, `the request is not an object; it takes one with "action", "variant", "evict", "drain"`},
		{"an unknown field is named", `{"action":"stop","varant":"x"}`, `the request has an unknown field "varant"; it takes "action", "variant", "evict", "drain"`},
		{"a wrong type is named with its place", "{\n  \"action\": 5}", `"action" in the request cannot be a number, at line 2, column 13`},
		{"a syntax error has a place", "{\"action\":\n \"stop\",,}", `the request is not JSON, at line 2, column 9: invalid character ',' looking for beginning of object key string`},
		{"an object that breaks off", `{"action":"st`, `the request is not JSON: it ends at line 1, column 13, in the middle of its object`},
		{"more after the object", `{"action":"stop"} {}`, `the request goes on after its object, at line 1, column 19`},
		{"plain text", `stop`, `the request is not JSON, at line 1, column 1: invalid character 's' looking for beginning of value`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := decode[api.TierRequest]([]byte(test.body))
			var e *api.Error
			if !errors.As(err, &e) || e.Kind != api.KindBadRequest || e.Message != test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}

func TestDecodeTakesWhatTheClientWrites(t *testing.T) {
	want := api.StackRequest{Action: "up", Mode: "full", Boot: true}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := decode[api.StackRequest](append(text, " \n"...)); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestBodyLimit(t *testing.T) {
	for size, want := range map[int]string{
		maxBody:     "",
		maxBody + 1: "the request is larger than 65536 bytes",
	} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(strings.Repeat(" ", size)))
		_, err := readBody(httptest.NewRecorder(), r)
		var e *api.Error
		switch {
		case want == "" && err != nil:
			t.Errorf("%d bytes: %v", size, err)
		case want != "" && (!errors.As(err, &e) || e.Kind != api.KindTooLarge || e.Message != want):
			t.Errorf("%d bytes: got %v, want %q", size, err, want)
		}
	}
}

func TestOneOf(t *testing.T) {
	for action, want := range map[string]string{
		"stop":  "",
		"":      `"action" is missing; it can be "start", "stop"`,
		"Stop":  `unknown action "Stop"; it can be "start", "stop"`,
		"start": "",
	} {
		err := oneOf(action, "start", "stop")
		if got := message(err); got != want {
			t.Errorf("%q: got %q, want %q", action, got, want)
		}
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Whatever the bytes: a value that survives a round trip, or a bad request in one line.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"action":"stop"}`, `{"listeners":[{"tier":"","port":8000,"error":"in use"}],"in_flight":{"coder":2},"drained":["a"]}`,
		`{"listeners":null}`, `{"listeners":[{"port":1e400}]}`, `{"in_flight":{"a":1.5}}`, "{", "null", `{"listeners":[]}x`, "\xff", `{"LISTENERS":[]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		report, err := decode[api.GatewayReport](text)
		if err != nil {
			var e *api.Error
			if !errors.As(err, &e) || e.Kind != api.KindBadRequest || e.Message == "" {
				t.Fatalf("%q: %v is not a bad request", text, err)
			}
			return
		}
		again, err := json.Marshal(report)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decode[api.GatewayReport](again); err != nil {
			t.Errorf("%q was taken, %q is not: %v", text, again, err)
		}
	})
}
