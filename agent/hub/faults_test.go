package hub

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/hub/hubtest"
)

// TestServersThatMisbehave: each ends with the exact bytes or a sentence.
func TestServersThatMisbehave(t *testing.T) {
	var n atomic.Int32
	first := func(do func(w http.ResponseWriter, tr *hubtest.Trip)) func(string, http.ResponseWriter, *hubtest.Trip) bool {
		return func(host string, w http.ResponseWriter, tr *hubtest.Trip) bool {
			if host != "cdn" || n.Add(1) > 1 {
				return false
			}
			do(w, tr)
			return true
		}
	}
	always := func(do func(w http.ResponseWriter, tr *hubtest.Trip)) func(string, http.ResponseWriter, *hubtest.Trip) bool {
		return func(host string, w http.ResponseWriter, tr *hubtest.Trip) bool {
			if host == "cdn" {
				n.Add(1)
				do(w, tr)
			}
			return host == "cdn"
		}
	}
	status := func(code int, header ...string) func(w http.ResponseWriter, tr *hubtest.Trip) {
		return func(w http.ResponseWriter, tr *hubtest.Trip) {
			for i := 0; i+1 < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			w.WriteHeader(code)
		}
	}
	for _, c := range []struct {
		rule  string
		fault func(string, http.ResponseWriter, *hubtest.Trip) bool
		says  string // "": it comes whole
		tries int32
		keeps bool // a part
	}{
		{"a break in the middle is gone on from", first(func(w http.ResponseWriter, tr *hubtest.Trip) { hubtest.Cut(w, tr, 700) }), "", 2, false},
		{"a body that ends too soon", first(func(w http.ResponseWriter, tr *hubtest.Trip) { w.Write(tr.Data[:500]) }), "bytes, and the hub's list says 2000", 1, true},
		{"a body of unknown length that ends too soon", first(func(w http.ResponseWriter, tr *hubtest.Trip) {
			w.(http.Flusher).Flush()
			w.Write(tr.Data[:500])
		}), "", 2, false},
		{"always broken at the same byte", always(func(w http.ResponseWriter, tr *hubtest.Trip) { hubtest.Cut(w, tr, 0) }), "bytes missing; it was tried 4 times", 4, true},
		{"too much asked, with a wish", first(status(429, "Retry-After", "1")), "", 2, false},
		{"too much asked, with an absurd wish", first(status(429, "Retry-After", "3600")), "asked again in 1h0m0s", 1, true},
		{"overloaded once", first(status(503)), "", 2, false},
		{"overloaded for good", always(status(502)), "502 Bad Gateway; it was tried 4 times", 4, true},
		{"a page for a person", always(func(w http.ResponseWriter, tr *hubtest.Trip) { w.Write([]byte("<html>sign in</html>")) }), "sends m-q4.gguf with 20 bytes", 1, true},
		{"other bytes of the same length", always(func(w http.ResponseWriter, tr *hubtest.Trip) { w.Write(data("evil", len(tr.Data))) }), "fetched whole and removed again: its checksum", 1, false},
		{"more bytes than there are", always(func(w http.ResponseWriter, tr *hubtest.Trip) {
			w.(http.Flusher).Flush()
			w.Write(append(tr.Data, "more"...))
		}), "", 1, false},
		{"packed", always(func(w http.ResponseWriter, tr *hubtest.Trip) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(tr.Data)
		}), `encoded as "gzip"`, 1, true},
		{"refused by the second host", always(status(403)), "refuses them", 1, true},
		{"a second host without the file", always(status(404)), "has no file a/g/m-q4.gguf", 1, true},
	} {
		t.Run(c.rule, func(t *testing.T) {
			n.Store(0)
			r := newRig(t, map[string]*hubtest.Repo{"a/g": ggufRepo()})
			r.fault(c.fault)
			h := r.hub("")
			_, err := r.pull(t.Context(), h, h, "a/g/m-q4.gguf", "")
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v", err)
			}
			if n.Load() != c.tries {
				t.Errorf("%d tries, want %d; %q", n.Load(), c.tries, r.seen.notes)
			}
			if err == nil {
				wantTree(t, r, "a/g", []string{"m-q4.gguf"})
				return
			}
			if tree := r.tree(); len(tree) > 0 {
				t.Errorf("under its final name in spite of that: %v", slices.Collect(maps.Keys(tree)))
			}
			if got := len(r.waiting("a/g")) == 1; got != c.keeps {
				t.Errorf("kept %q", r.waiting("a/g"))
			}
			r.served.Change(func() { r.served.Fault = nil })
			r.must("a/g/m-q4.gguf") // the next pull finds its way from whatever was left
			wantTree(t, r, "a/g", []string{"m-q4.gguf"})
		})
	}
}

func TestSilenceIsGivenUp(t *testing.T) {
	r := newRig(t, map[string]*hubtest.Repo{"a/g": ggufRepo()})
	var n atomic.Int32
	r.fault(func(host string, w http.ResponseWriter, tr *hubtest.Trip) bool {
		if host != "cdn" || n.Add(1) > 1 {
			return false
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(tr.Data)))
		w.Write(tr.Data[:100])
		w.(http.Flusher).Flush()
		<-tr.Request.Context().Done()
		return true
	})
	p := impatient
	p.Silence = 100 * time.Millisecond
	h, err := New(r.url, Token{}, nil, p)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.pull(t.Context(), h, h, "a/g/m-q4.gguf", ""); err != nil || !r.seen.said("nothing more came") {
		t.Errorf("%v, %q", err, r.seen.notes)
	}
	wantTree(t, r, "a/g", []string{"m-q4.gguf"})
}
