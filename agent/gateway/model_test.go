package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestFindModel(t *testing.T) {
	for rule, c := range map[string]struct{ body, want string }{
		"the name may come first":                       {`{"model":"coder","messages":[]}`, "coder"},
		"the name may come last":                        {`{"messages":[{"role":"user","content":"hi"}],"n":1.5e3,"stream":true,"x":null,"model":"coder"}`, "coder"},
		"space is allowed wherever JSON allows it":      {" {\t\"a\" : [ 1 , { } ] ,\r\n \"model\" : \"coder\" } ", "coder"},
		"a member of a nested object is not the name":   {`{"metadata":{"model":"no"},"tools":[{"model":"no"}],"model":"yes"}`, "yes"},
		"text that looks like the member is not it":     {`{"prompt":"\"model\":\"no\"","model":"yes"}`, "yes"},
		"a value may be called model":                   {`{"a":"model","model":"yes"}`, "yes"},
		"escaped quotes and backslashes end no string":  {`{"a":"\\\"\\\\","b":"x\\","model":"yes"}`, "yes"},
		"an escaped key is the same key":                {`{"mod\u0065l":"yes"}`, "yes"},
		"an escaped name is decoded":                    {`{"model":"a\/b\u00e9\n"}`, "a/bé\n"},
		"the first of two counts":                       {`{"model":"one","model":"two"}`, "one"},
		"what follows the name is the engine's concern": {`{"model":"yes", rubbish`, "yes"},
		"an empty name is a name":                       {`{"model":""}`, ""},
		"keys are told apart by case":                   {`{"Model":"no","model":"yes"}`, "yes"},
	} {
		got, at, err := findModel([]byte(c.body))
		if err != nil || got != c.want {
			t.Errorf("%s: got %q, %v; want %q", rule, got, err, c.want)
			continue
		}
		var again string
		if err := json.Unmarshal([]byte(c.body)[at.start:at.end], &again); err != nil || again != c.want {
			t.Errorf("%s: the span holds %q", rule, c.body[at.start:at.end])
		}
	}
}

func TestFindModelRefuses(t *testing.T) {
	for rule, body := range map[string]string{
		"nothing": ``, "only space": ` `, "no object": `["model"]`, "a bare word": `model`, "no colon": `{"model" "x"}`,
		"a number as name": `{"model":7}`, "null as name": `{"model":null}`, "an object as name": `{"model":{"a":1}}`,
		"an open string": `{"model":"x`, "an open key": `{"mod`, "no comma": `{"a":1 "model":"x"}`, "two commas": `{"a":1,,"model":"x"}`,
		"a bracket too many": `{"a":1],"model":"x"}`, "a missing value": `{"a":,"model":"x"}`, "a bad escape": `{"model":"\q"}`,
		"an open list": `{"a":[1,2`, "a control character": "{\"model\":\"a\nb\"}",
	} {
		if name, _, err := findModel([]byte(body)); err == nil {
			t.Errorf("%s: %q was taken as naming %q", rule, body, name)
		}
	}
	for _, body := range []string{`{}`, ` { } `, `{"a":1}`, `{"a":{"model":"x"}}`} {
		if _, _, err := findModel([]byte(body)); !errors.Is(err, errNoModel) {
			t.Errorf("%q: got %v, want %v", body, err, errNoModel)
		}
	}
}

// first is what encoding/json makes of a body: the first top-level member "model".
func first(body []byte) (name string, found, valid bool) {
	if !json.Valid(body) {
		return "", false, false
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if open, _ := d.Token(); open != json.Delim('{') {
		return "", false, true
	}
	for d.More() {
		key, _ := d.Token()
		var raw json.RawMessage
		if d.Decode(&raw) != nil {
			return "", false, true
		}
		if key == "model" {
			return name, json.Unmarshal(raw, &name) == nil && raw[0] == '"', true
		}
	}
	return "", false, true
}

func FuzzFindModel(f *testing.F) {
	for _, seed := range []string{
		`{"model":"coder"}`, `{"a":[1,{"model":"x"}],"model":"y"}`, `{"mod\u0065l":"\u0000"}`, `{"a":"\\","model":"z"}`,
		`{"model":1}`, `[]`, `{"":{},"model":"\ud800"}`, "{\"\xff\":1,\"model\":\"\xff\"}", `{"a":-1.5e+3,"model":"q"} `,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		kept := bytes.Clone(body)
		name, at, err := findModel(body)
		if !bytes.Equal(kept, body) {
			t.Fatal("the body was changed")
		}
		want, found, valid := first(body)
		if valid && (err == nil) != found {
			t.Fatalf("%q: found %v (%v), encoding/json says %v", body, err == nil, err, found)
		}
		if valid && found && name != want {
			t.Fatalf("%q: found %q, encoding/json says %q", body, name, want)
		}
		if err != nil || !valid {
			return
		}
		with := bytes.Join(replaceModel(body, at, "served/\"name\""), nil)
		if again, _, err := findModel(with); err != nil || again != "served/\"name\"" {
			t.Fatalf("%q became %q, which names %q, %v", body, with, again, err)
		}
		if !json.Valid(with) {
			t.Fatalf("%q became %q, which is not JSON", body, with)
		}
	})
}

func TestReplacingTheNameChangesNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "members")
		members["model"] = rapid.String().Draw(t, "model")
		with := rapid.String().Draw(t, "with")
		body, _ := json.Marshal(members)
		name, at, err := findModel(body)
		if err != nil || name != members["model"] {
			t.Fatalf("%s: found %q, %v", body, name, err)
		}
		var got map[string]string
		if err := json.Unmarshal(bytes.Join(replaceModel(body, at, with), nil), &got); err != nil {
			t.Fatal(err)
		}
		members["model"] = with
		for key, value := range members {
			if got[key] != value {
				t.Fatalf("%q is %q, want %q", key, got[key], value)
			}
		}
	})
}

func TestFindModelAllocatesNothingForALargeBody(t *testing.T) {
	body := []byte(`{"messages":[{"content":"` + strings.Repeat(`word \"quoted\" `, 300_000) + `"}],"model":"coder"}`)
	allocs := testing.AllocsPerRun(3, func() {
		if name, _, err := findModel(body); err != nil || name != "coder" {
			t.Fatal(name, err)
		}
	})
	if allocs > 10 { // decoding the name itself
		t.Errorf("%v allocations", allocs)
	}
}

func BenchmarkFindModelLast(b *testing.B) {
	body := []byte(`{"messages":[{"content":"` + strings.Repeat("word ", 1<<20) + `"}],"model":"coder"}`)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, _, err := findModel(body); err != nil {
			b.Fatal(err)
		}
	}
}

func TestWhoWantsAStream(t *testing.T) {
	for body, want := range map[string]bool{
		`{"stream":true}`: true,
		`{"model":"a","messages":[{}],"stream" : true ,"n":1}`: true,
		"{\"str\\u0065am\":true}":                              true,
		`{"stream":false}`:                                     false,
		`{"stream":"true"}`:                                    false,
		`{"stream":truest}`:                                    false,
		`{"stream":`:                                           false,
		`{"messages":[{"stream":true}]}`:                       false,
		`{"messages":"\"stream\":true"}`:                       false,
		`["stream",true]`:                                      false,
		`stream=true`:                                          false,
		``:                                                     false,
	} {
		if got := wantsStream([]byte(body)); got != want {
			t.Errorf("%s: %v", body, got)
		}
	}
}

// FuzzWantsStream holds the scanner to encoding/json, for bodies with one such member.
func FuzzWantsStream(f *testing.F) {
	f.Add([]byte(`{"model":"a","stream":true}`))
	f.Add([]byte(`{"a":[{"stream":true}],"stream":false}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got := wantsStream(body)
		var all map[string]json.RawMessage
		if json.Unmarshal(body, &all) != nil || bytes.Count(body, []byte(`stream`)) > 1 || bytes.IndexByte(body, '\\') >= 0 {
			return
		}
		if want := string(all["stream"]) == "true"; got != want {
			t.Fatalf("%q: %v", body, got)
		}
	})
}
