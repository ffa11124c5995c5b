package hub

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/tierd/tierd/agent/hub/hubtest"
)

// checkNothingWrong is what holds at every moment, also after a SIGKILL: each file under its final name has the exact bytes of
// one of the repository's revisions, and a model that can be found is whole and of one revision.
func checkNothingWrong(r *rig, repo string, revisions ...map[string][]byte) error {
	tree := r.tree()
	for name, text := range tree {
		inRepo := strings.TrimPrefix(name, repo+"/")
		if !slices.ContainsFunc(revisions, func(files map[string][]byte) bool {
			is, ok := files[inRepo]
			return ok && string(is) == text
		}) {
			return fmt.Errorf("%s has bytes that no revision has", name)
		}
	}
	for _, found := range []string{"config.json", "b/m-00001-of-00003.gguf"} {
		if _, ok := tree[repo+"/"+found]; !ok {
			continue
		}
		if !slices.ContainsFunc(revisions, func(files map[string][]byte) bool { return wholeOf(tree, repo, found, files) }) {
			return fmt.Errorf("%s is there, and the model is not whole: %d files", found, len(tree))
		}
	}
	return nil
}

// wholeOf tells whether all that goes with a model of one revision is there.
func wholeOf(tree map[string]string, repo, found string, files map[string][]byte) bool {
	wanted := wantedOfSafetensors
	if found != "config.json" {
		wanted, _ = parts(found)
	}
	for _, name := range wanted {
		if text, ok := tree[repo+"/"+name]; !ok || text != string(files[name]) {
			return false
		}
	}
	return true
}

// TestFaultsAtAnyByte: whatever the server does, the result is the exact bytes, or an error and something to go on from.
func TestFaultsAtAnyByte(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := newRig(t, map[string]*hubtest.Repo{"a/m": safetensorsRepo(), "a/g": ggufRepo()})
		name := rapid.SampledFrom([]string{"a/m", "a/g/m-q8.gguf", "a/g/b/m-00001-of-00003.gguf"}).Draw(rt, "name")
		repo, _ := ParseName(name)
		var faults atomic.Int32
		faults.Store(int32(rapid.IntRange(0, 12).Draw(rt, "faults")))
		kinds := rapid.SliceOfN(rapid.IntRange(0, 6), 12, 12).Draw(rt, "kinds")
		at := rapid.SliceOfN(rapid.IntRange(0, 5200), 12, 12).Draw(rt, "at")
		r.fault(func(host string, w http.ResponseWriter, tr *hubtest.Trip) bool {
			n := faults.Add(-1)
			if n < 0 {
				return false
			}
			return misbehave(w, tr, kinds[n], at[n])
		})
		revisions := []map[string][]byte{r.served.Repos[repo.Repo].Files}
		for run := 0; ; run++ {
			h := r.hub("")
			ctx, cancel := context.WithCancel(t.Context())
			if run < 3 && rapid.Bool().Draw(rt, "interrupt") {
				limit := r.seen.bytes + int64(rapid.IntRange(0, 6000).Draw(rt, "after"))
				r.seen.got = func(total int64) {
					if total >= limit {
						cancel()
					}
				}
			}
			_, err := r.pull(ctx, h, h, name, "")
			cancel()
			r.seen.got = nil
			if wrong := checkNothingWrong(r, repo.Repo, revisions...); wrong != nil {
				rt.Fatalf("after run %d (%v): %v", run, err, wrong)
			}
			if err == nil {
				break
			}
			if run > 40 {
				rt.Fatalf("it does not get on: %v", err)
			}
		}
		tree := r.tree()
		wants, _ := r.hub("").Look(t.Context(), []Name{repo}, "", nil, &r.seen)
		for _, f := range wants[0].Files {
			if tree[repo.Repo+"/"+f.Path] != string(revisions[0][f.Path]) {
				rt.Errorf("%s is not there as the hub has it", f.Path)
			}
		}
		if left := r.waiting(repo.Repo); len(left) > 0 {
			rt.Errorf("left over: %q", left)
		}
	})
}

// misbehave is one fault of a server; false: none after all.
func misbehave(w http.ResponseWriter, tr *hubtest.Trip, kind, at int) bool {
	switch {
	case kind == 0:
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(http.StatusTooManyRequests)
	case kind == 1:
		w.WriteHeader(http.StatusBadGateway)
	case kind == 2:
		panic(http.ErrAbortHandler)
	case tr.Data == nil:
		w.Write([]byte(`{"sha":"`)) // a listing that breaks off
	case kind == 3:
		hubtest.Cut(w, tr, at)
	case kind == 4: // knows no ranges
		w.Write(tr.Data)
	case kind == 5: // one byte is another
		bad := slices.Clone(tr.Data)
		if len(bad) > 0 {
			bad[at%len(bad)] ^= 1
		}
		w.Write(bad)
	default: // says nothing of its length, and ends somewhere
		w.(http.Flusher).Flush()
		w.Write(tr.Data[:min(at, len(tr.Data))])
	}
	return true
}
