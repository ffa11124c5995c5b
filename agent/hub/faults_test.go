package hub

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"os"
	"path/filepath"
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

func TestACutAtEveryByte(t *testing.T) {
	const size = 150
	r := newRig(t, map[string]*hubtest.Repo{"a/g": {Files: map[string][]byte{"m.gguf": data("m", size)}}})
	for at := range size {
		var n atomic.Int32
		r.fault(func(host string, w http.ResponseWriter, tr *hubtest.Trip) bool {
			if host != "cdn" || n.Add(1) > 1 {
				return false
			}
			hubtest.Cut(w, tr, at)
			return true
		})
		r.served.Change(func() { r.served.Seen = nil })
		r.must("a/g/m.gguf")
		wantTree(t, r, "a/g", []string{"m.gguf"})
		want := ""
		if at > 0 {
			want = "bytes=" + strconv.Itoa(at) + "-"
		}
		if got := r.cdnRanges(); len(got) != 2 || got[1] != want {
			t.Fatalf("cut at %d it asked for %q", at, got)
		}
		if err := os.RemoveAll(filepath.Join(r.dir, "a")); err != nil {
			t.Fatal(err)
		}
	}
}

// leavePart ends a pull when so many bytes came.
func (r *rig) leavePart(name string, bytes int) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(r.t.Context())
	defer cancel()
	r.served.Change(func() {
		r.served.Fault = hubtest.StopAt(bytes)
	})
	from := r.seen.bytes
	r.seen.got = func(total int64) {
		if total-from >= int64(bytes) {
			cancel()
		}
	}
	h := r.hub("")
	if _, err := r.pull(ctx, h, h, name, ""); !errors.Is(err, context.Canceled) {
		r.t.Fatalf("the pull that was to be interrupted ended with %v", err)
	}
	r.seen.got = nil
	r.served.Change(func() { r.served.Fault, r.served.Seen = nil, nil })
}

func (r *rig) cdnRanges() []string {
	var ranges []string
	for _, trip := range r.served.Trips() {
		if trip.Host == "cdn" {
			ranges = append(ranges, trip.Range)
		}
	}
	return ranges
}

func TestAnInterruptedPullGoesOn(t *testing.T) {
	r := newRig(t, map[string]*hubtest.Repo{"a/g": ggufRepo()})
	r.leavePart("a/g/m-q4.gguf", 1234)
	if len(r.tree()) > 0 || len(r.waiting("a/g")) != 1 {
		t.Fatalf("%v, waiting %v", r.tree(), r.waiting("a/g"))
	}
	r.must("a/g/m-q4.gguf")
	wantTree(t, r, "a/g", []string{"m-q4.gguf"})
	if got := r.cdnRanges(); !slices.Equal(got, []string{"bytes=1234-"}) {
		t.Errorf("asked for %q", got)
	}
}

func TestAServerWithoutRangesBeginsAnew(t *testing.T) {
	r := newRig(t, map[string]*hubtest.Repo{"a/g": ggufRepo()})
	r.leavePart("a/g/m-q4.gguf", 1234)
	r.fault(func(host string, w http.ResponseWriter, tr *hubtest.Trip) bool {
		if host == "cdn" {
			w.Write(tr.Data)
		}
		return host == "cdn"
	})
	before := r.seen.bytes
	r.must("a/g/m-q4.gguf")
	wantTree(t, r, "a/g", []string{"m-q4.gguf"})
	if !r.seen.said("knows no ranges") || r.seen.bytes-before != 2000-1234 {
		t.Errorf("%q, %d bytes", r.seen.notes, r.seen.bytes-before)
	}
}

func TestARangeOfAnotherPlaceIsRefused(t *testing.T) {
	r := newRig(t, map[string]*hubtest.Repo{"a/g": ggufRepo()})
	r.leavePart("a/g/m-q4.gguf", 1000)
	r.fault(func(host string, w http.ResponseWriter, tr *hubtest.Trip) bool {
		if host == "cdn" {
			w.Header().Set("Content-Range", "bytes 900-1999/2000")
			w.WriteHeader(http.StatusPartialContent)
			w.Write(tr.Data[900:])
		}
		return host == "cdn"
	})
	h := r.hub("")
	if _, err := r.pull(t.Context(), h, h, "a/g/m-q4.gguf", ""); err == nil || !strings.Contains(err.Error(), "sends those from 900 on") {
		t.Error(err)
	}
}

func TestAPartOfAnotherRevisionIsNotGoneOnFrom(t *testing.T) {
	r := newRig(t, map[string]*hubtest.Repo{"a/g": ggufRepo()})
	r.leavePart("a/g/m-q4.gguf", 1234)
	r.served.Change(func() { r.served.Repos["a/g"].Files["m-q4.gguf"] = data("newer", 2000) })
	r.must("a/g/m-q4.gguf")
	wantTree(t, r, "a/g", []string{"m-q4.gguf"})
	if got := r.cdnRanges(); !slices.Equal(got, []string{""}) || !r.seen.said("another revision is dropped") {
		t.Errorf("asked for %q, said %q", got, r.seen.notes)
	}
	// One that a change of other files leaves as it was is gone on from.
	r.leavePart("a/g/m-q8.gguf", 1000)
	r.served.Change(func() { r.served.Repos["a/g"].Files["README.md"] = []byte("new") })
	r.must("a/g/m-q8.gguf")
	if got := r.cdnRanges(); !slices.Equal(got, []string{"bytes=1000-"}) {
		t.Errorf("asked for %q", got)
	}
}

func TestADamagedPartIsFound(t *testing.T) {
	r := newRig(t, map[string]*hubtest.Repo{"a/g": ggufRepo()})
	r.leavePart("a/g/m-q4.gguf", 1234)
	at := filepath.Join(r.dir, staging, "a--g", r.waiting("a/g")[0])
	if err := os.WriteFile(at, make([]byte, 1234), 0o644); err != nil { // as after a power failure
		t.Fatal(err)
	}
	h := r.hub("")
	if _, err := r.pull(t.Context(), h, h, "a/g/m-q4.gguf", ""); !errors.Is(err, ErrWrongSum) || len(r.tree()) > 0 || len(r.waiting("a/g")) > 0 {
		t.Errorf("%v, %v, %v", err, r.tree(), r.waiting("a/g"))
	}
	r.must("a/g/m-q4.gguf")
	// One that is longer than the file begins anew by itself.
	r.leavePart("a/g/m-q8.gguf", 100)
	at = filepath.Join(r.dir, staging, "a--g", r.waiting("a/g")[0])
	if err := os.WriteFile(at, make([]byte, 9999), 0o644); err != nil {
		t.Fatal(err)
	}
	r.must("a/g/m-q8.gguf")
	wantTree(t, r, "a/g", []string{"m-q4.gguf", "m-q8.gguf"})
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
