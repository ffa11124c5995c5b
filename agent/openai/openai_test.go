package openai

import (
	"encoding/json"
	"io"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestWhatAnErrorSays(t *testing.T) {
	for _, row := range []struct{ rule, body, want string }{
		{"OpenAI's form", `{"error":{"message":"A key is needed.","type":"x","code":null}}`, "A key is needed."},
		{"an error that is a text", `{"error":"no"}`, "no"},
		{"an error without a message is shown whole", `{"error":{"code":7}}`, `{"code":7}`},
		{"no error beside a message", `{"error":null,"message":"none"}`, "none"},
		{"older vLLM's form", `{"object":"error","message":"too long","code":40303}`, "too long"},
		{"FastAPI's form", `{"detail":"Not Found"}`, "Not Found"},
		{"a list of details is shown whole", `{"detail":[{"loc":["body"]}]}`, `{"detail":[{"loc":["body"]}]}`},
		{"a proxy's page", "<html>\r\n <b>502</b>\n</html>\n", "<html> <b>502</b> </html>"},
		{"nothing", "", ""},
		{"a colour and what else a terminal obeys", `{"error":{"message":"\u001b[31mred\u001b[0m \u0007 and\u0000 more"}}`, "red and more"},
		{"what is no UTF-8", "\xff\xfe", "?"},
	} {
		if got := Problem([]byte(row.body)); got != row.want {
			t.Errorf("%s: %q, want %q", row.rule, got, row.want)
		}
	}
}

func TestALineEndsWhereAPersonStopsToRead(t *testing.T) {
	if got := Line(strings.Repeat("a", MaxLine)); len(got) != MaxLine {
		t.Errorf("%d bytes of %d that may be shown", len(got), MaxLine)
	}
	got := Line(strings.Repeat("ä", MaxLine))
	if len(got) != MaxLine+len("…") || !strings.HasSuffix(got, "ä…") {
		t.Errorf("it ends in the middle of a letter: %q", got)
	}
}

func TestARequest(t *testing.T) {
	type message struct {
		Model string `json:"model"`
	}
	for _, row := range []struct {
		rule, key, method, kind, auth, text string
		body                                any
	}{
		{"a body makes it a POST", "", "POST", "application/json", "", `{"model":"m"}`, message{"m"}},
		{"a GET has none", "", "GET", "", "", "", nil},
		{"with a key", "tierd_x", "GET", "", "Bearer tierd_x", "", nil},
	} {
		r, err := Request(t.Context(), "http://127.0.0.1:1/v1/models", row.key, row.body)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(r.Body)
		if r.Method != row.method || r.Header.Get("Content-Type") != row.kind || r.Header.Get("Authorization") != row.auth || string(text) != row.text {
			t.Errorf("%s: %s %v %s", row.rule, r.Method, r.Header, text)
		}
		if row.body == nil && r.ContentLength != 0 {
			t.Errorf("%s: a length of %d", row.rule, r.ContentLength)
		}
	}
	if _, err := Request(t.Context(), "http://bad host/", "", nil); err == nil {
		t.Error("an address that is none makes a request")
	}
	if _, err := Request(t.Context(), "http://127.0.0.1/", "", json.RawMessage("{")); err == nil {
		t.Error("a body that is no JSON is sent")
	}
}

func FuzzProblem(f *testing.F) {
	for _, seed := range []string{`{"error":{"message":"\u001b[2J"}}`, `{"error":"x"}`, `{"detail":null}`, "\xff", "\u2028", "\u009b2J"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if text := Problem(body); strings.ContainsAny(text, "\n\x1b\x00") || len(text) > MaxLine+len("…") {
			t.Errorf("%q", text)
		}
	})
}

// TestALineIsShownAsItIs: what was made fit once is not changed again, so that an error may hold another's words.
func TestALineIsShownAsItIs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.SampledFrom([]rune("a \n\t\x1b[3m\x00\u00e4")))).Draw(t, "text")
		if once := Line(text); len(once) <= MaxLine && Line(once) != once {
			t.Errorf("%q is %q, and then %q", text, once, Line(once))
		}
	})
}

func TestNullIsNothingTold(t *testing.T) {
	for text, want := range map[string]bool{"": false, "null": false, "{}": true, `""`: true, "0": true} {
		if Told(json.RawMessage(text)) != want {
			t.Errorf("%q: %t", text, !want)
		}
	}
}
