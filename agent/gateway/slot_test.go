package gateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// The engine gets the slot as the first member of the body, and the rest as it was.
func TestTheSlotGoesIntoTheBody(t *testing.T) {
	bodies := make(chan []byte, 10)
	engine := startEngine(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.ContentLength != int64(len(body)) {
			t.Errorf("a length of %d for %d bytes", r.ContentLength, len(body))
		}
		bodies <- body
		io.WriteString(w, "ok")
	})
	r := route(t, "utility", engine.socket)
	r.Hold, r.Parallel, r.Concurrency = 240, 2, 2
	rig := startRig(t, Config{}, r)
	for _, c := range []struct{ path, session, body, want string }{
		{"/v1/chat/completions", "s", ` {"messages":[]}`, `{"id_slot":0,"messages":[]}`},
		{"/completion", "t", `{ "prompt":"{"}`, `{"id_slot":1, "prompt":"{"}`},
		{"/v1/completions", "s", `{"prompt":"\"id_slot\""}`, `{"id_slot":0,"prompt":"\"id_slot\""}`},
		{"/v1/completions", "s", `{"prompt":"x","id_slot":1}`, `{"prompt":"x","id_slot":1}`},
		{"/v1/completions", "", `{"prompt":"x"}`, `{"prompt":"x"}`},
		{"/v1/completions", "s", `{}`, `{}`},
		{"/v1/completions", "s", `[1]`, `[1]`},
		{"/v1/completions", "s", ``, ``},
		{"/v1/embeddings", "s", `{"input":"x"}`, `{"input":"x"}`},
	} {
		fetch(t, "POST", rig.tierURL("utility", c.path), c.body, "X-Session-Id", c.session)
		// The client has its answer a moment before the slot is free again.
		eventually(t, "the slot is free", func() bool { return rig.hold.stats()["utility"].InFlight == 0 })
		if got := string(<-bodies); got != c.want {
			t.Errorf("%s of session %q with %s: the engine got %s, want %s", c.path, c.session, c.body, got, c.want)
		}
	}
}

func FuzzWithSlot(f *testing.F) {
	f.Add([]byte(`{"a":1}`), 3)
	f.Add([]byte(" \n{ \"a\" : {\"id_slot\":4} }"), 1)
	f.Add([]byte(`{}`), 1)
	f.Fuzz(func(t *testing.T, body []byte, slot int) {
		if slot < 1 || !json.Valid(body) || !slottable("/completion", body) {
			return
		}
		with := bytes.Join((&Lease{Slot: slot}).withSlot(whole(body)), nil)
		var before, after map[string]json.RawMessage
		if err := json.Unmarshal(body, &before); err != nil {
			t.Fatalf("%q is no object", body)
		}
		if err := json.Unmarshal(with, &after); err != nil {
			t.Fatalf("%q became %q: %v", body, with, err)
		}
		if _, own := before["id_slot"]; own { // written with escapes: the client's, which is the last, wins
			before["id_slot"] = after["id_slot"]
		} else if string(after["id_slot"]) != fmt.Sprint(slot-1) {
			t.Fatalf("slot %s", after["id_slot"])
		} else {
			delete(after, "id_slot")
		}
		for key, value := range before {
			if !bytes.Equal(after[key], value) {
				t.Fatalf("%q became %q", value, after[key])
			}
		}
		if len(before) != len(after) {
			t.Fatalf("%d members became %d", len(before), len(after))
		}
	})
}

func BenchmarkSlottable(b *testing.B) {
	text := strings.Repeat(`say \"{x: 1}\" and foo_bar = [\"id\"]; `, 5<<20/40)
	body := []byte(`{"model":"a","messages":[{"role":"user","content":"` + text + `"}]}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if !slottable("/v1/chat/completions", body) {
			b.Fatal("it is")
		}
	}
}
