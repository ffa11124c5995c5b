package hub

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tierd/tierd/agent/hub/hubtest"
)

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
