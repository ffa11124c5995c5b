package hub

import (
	"context"
	"errors"
	"io/fs"
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

func wantTree(t *testing.T, r *rig, repo string, files []string) {
	t.Helper()
	want := map[string]string{}
	for _, f := range files {
		want[repo+"/"+f] = string(r.served.Repos[repo].Files[f])
	}
	if got := r.tree(); !maps.Equal(got, want) {
		t.Errorf("there are %q, want %q", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
}

func TestAFolderComesWhole(t *testing.T) {
	r := newRig(t, map[string]*hubtest.Repo{"Org/M-1.5": safetensorsRepo()})
	p := r.must("Org/M-1.5")
	wantTree(t, r, "Org/M-1.5", wantedOfSafetensors)
	if left := r.waiting("Org/M-1.5"); len(left) > 0 {
		t.Errorf("left in the staging folder: %q", left)
	}
	if all, missing, _ := p.Sizes(); r.seen.bytes == 0 || all != missing {
		t.Errorf("%d bytes came of %d, %d missing", r.seen.bytes, all, missing)
	}
	// Tiers run as other users, whatever the umask of who pulled.
	_ = filepath.WalkDir(r.dir, func(at string, d fs.DirEntry, err error) error {
		info, _ := d.Info()
		if at != r.dir && (d.IsDir() && info.Mode().Perm() != 0o755 || strings.Contains(at, "Org") && !d.IsDir() && !strings.Contains(at, staging) && info.Mode().Perm() != 0o644) {
			t.Errorf("%s has mode %v", at, info.Mode())
		}
		return err
	})
	// The second time nothing comes, and nothing is read either.
	trips := len(r.served.Trips())
	if p := r.must("Org/M-1.5"); len(p.Missing) > 0 || r.seen.said("compared") {
		t.Errorf("missing %v, notes %q", p.Missing, r.seen.notes)
	}
	if n := len(r.served.Trips()) - trips; n != 1 {
		t.Errorf("%d requests for nothing", n)
	}
}

func TestOneGGUFAndASplitOne(t *testing.T) {
	r := newRig(t, map[string]*hubtest.Repo{"a/g": ggufRepo()})
	r.must("a/g/m-q4.gguf")
	wantTree(t, r, "a/g", []string{"m-q4.gguf"})
	r.must("a/g/b/m-00001-of-00003.gguf")
	wantTree(t, r, "a/g", []string{"m-q4.gguf", "b/m-00001-of-00003.gguf", "b/m-00002-of-00003.gguf", "b/m-00003-of-00003.gguf"})
}

func TestTwoNamesOfOneRepositoryAreOnePull(t *testing.T) {
	r := newRig(t, map[string]*hubtest.Repo{"a/g": ggufRepo()})
	wants, err := r.hub("").Look(t.Context(), []Name{{"a/g", "m-q4.gguf"}, {"a/g", "m-q8.gguf"}, {"a/g", "m-q4.gguf"}}, "", nil, &r.seen)
	if err != nil || len(wants) != 1 || len(wants[0].Files) != 2 {
		t.Errorf("%+v, %v", wants, err)
	}
}

func TestWhatIsThereIsComparedAndKept(t *testing.T) {
	r := newRig(t, map[string]*hubtest.Repo{"a/m": safetensorsRepo()})
	repo := r.served.Repos["a/m"]
	put := func(name string, text []byte) {
		at := filepath.Join(r.dir, "a/m", name)
		os.MkdirAll(filepath.Dir(at), 0o755)
		if err := os.WriteFile(at, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("config.json", repo.Files["config.json"])                                           // right
	put("model-00001-of-00002.safetensors", repo.Files["model-00001-of-00002.safetensors"]) // right
	put("model-00002-of-00002.safetensors", data("torn", 3000))                             // of the right size alone
	put("tokenizer.json", []byte("half"))                                                   // not even that
	put("notes.txt", []byte("mine"))                                                        // not the hub's
	p := r.must("a/m")
	if len(p.Present) != 2 {
		t.Errorf("present: %v", p.Present)
	}
	tree := r.tree()
	if tree["a/m/notes.txt"] != "mine" {
		t.Error("a file of the user's is gone")
	}
	for _, f := range wantedOfSafetensors {
		if tree["a/m/"+f] != string(repo.Files[f]) {
			t.Errorf("%s is not what the hub has", f)
		}
	}
	if info, _ := os.Stat(filepath.Join(r.dir, "a/m/model-00001-of-00002.safetensors")); info.Mode().Perm()&0o044 != 0o044 {
		t.Errorf("what was there is readable for its owner alone: %v", info.Mode())
	}
	// A file that is touched afterwards is compared again, and fetched again when it is another one.
	put("model-00001-of-00002.safetensors", data("torn", 5000))
	if p := r.must("a/m"); len(p.Missing) != 1 {
		t.Errorf("missing: %v", p.Missing)
	}
}

func TestANewRevisionReplacesTheOld(t *testing.T) {
	r := newRig(t, map[string]*hubtest.Repo{"a/m": safetensorsRepo()})
	r.must("a/m")
	r.served.Change(func() { r.served.Repos["a/m"].Files["model-00002-of-00002.safetensors"] = data("new", 3500) })
	p := r.must("a/m")
	if len(p.Missing) != 1 {
		t.Errorf("missing: %v", p.Missing)
	}
	wantTree(t, r, "a/m", wantedOfSafetensors)
}

func TestWhatARevisionHasNoMoreGoesUnlessItWasChanged(t *testing.T) {
	r := newRig(t, map[string]*hubtest.Repo{"a/m": safetensorsRepo()})
	r.must("a/m")
	if err := os.WriteFile(filepath.Join(r.dir, "a/m/LICENSE"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	r.served.Change(func() {
		files := r.served.Repos["a/m"].Files
		delete(files, "model-00001-of-00002.safetensors")
		delete(files, "model-00002-of-00002.safetensors")
		delete(files, "LICENSE")
		files["model.safetensors"] = data("one file", 7000)
	})
	r.must("a/m")
	tree := r.tree()
	if tree["a/m/LICENSE"] != "mine" || tree["a/m/model-00001-of-00002.safetensors"] != "" || len(tree["a/m/model.safetensors"]) != 7000 || len(tree) != len(wantedOfSafetensors)-1 {
		t.Errorf("%d files: %q", len(tree), slices.Sorted(maps.Keys(tree)))
	}
}

func TestARevisionIsAskedFor(t *testing.T) {
	r := newRig(t, map[string]*hubtest.Repo{"a/m": safetensorsRepo()})
	h := r.hub("")
	if p, err := r.pull(t.Context(), h, h, "a/m", r.served.Repos["a/m"].Commit()); err != nil || p.List.Commit != r.served.Repos["a/m"].Commit() {
		t.Error(err)
	}
	if _, err := r.pull(t.Context(), h, h, "a/m", "v9"); err == nil || !strings.Contains(err.Error(), "no such revision") {
		t.Error(err)
	}
	if _, err := r.pull(t.Context(), h, h, "a/m", "../x"); err == nil || !strings.Contains(err.Error(), "no branch, tag or commit") {
		t.Error(err)
	}
}

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
			r.served.Fault = c.fault
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
	r.served.Fault = func(host string, w http.ResponseWriter, tr *hubtest.Trip) bool {
		if host == "cdn" {
			w.Write(tr.Data)
		}
		return host == "cdn"
	}
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
	r.served.Fault = func(host string, w http.ResponseWriter, tr *hubtest.Trip) bool {
		if host == "cdn" {
			w.Header().Set("Content-Range", "bytes 900-1999/2000")
			w.WriteHeader(http.StatusPartialContent)
			w.Write(tr.Data[900:])
		}
		return host == "cdn"
	}
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
	r.served.Fault = func(host string, w http.ResponseWriter, tr *hubtest.Trip) bool {
		if host != "cdn" || n.Add(1) > 1 {
			return false
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(tr.Data)))
		w.Write(tr.Data[:100])
		w.(http.Flusher).Flush()
		<-tr.Request.Context().Done()
		return true
	}
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

func TestGatedModels(t *testing.T) {
	repo := ggufRepo()
	repo.Gated = true
	r := newRig(t, map[string]*hubtest.Repo{"a/g": repo})
	r.served.Token = "hf_secret"
	for _, token := range []string{"", "hf_wrong"} {
		h := r.hub(token)
		_, err := r.pull(t.Context(), h, h, "a/g/m-q4.gguf", "")
		var refused *Refused
		if !errors.As(err, &refused) || !strings.Contains(refused.Hint, r.url+"/a/g") || len(r.waiting("a/g")) > 1 {
			t.Errorf("token %q: %v", token, err)
		}
	}
	h := r.hub("hf_secret")
	if _, err := r.pull(t.Context(), h, h, "a/g/m-q4.gguf", ""); err != nil {
		t.Fatal(err)
	}
	for _, trip := range r.served.Trips() {
		if trip.Host == "cdn" && trip.Authorization != "" {
			t.Error("the second host got the token")
		}
	}
}

func TestAModelThatIsNotThere(t *testing.T) {
	r := newRig(t, nil)
	h := r.hub("")
	if _, err := r.pull(t.Context(), h, h, "a/none", ""); err == nil || !strings.Contains(err.Error(), "has no model a/none, or does not show it") {
		t.Error(err)
	}
	if entries, _ := os.ReadDir(r.dir); len(entries) > 0 {
		t.Error("it left a folder")
	}
}

func TestOnePullAtATime(t *testing.T) {
	r := newRig(t, map[string]*hubtest.Repo{"a/g": ggufRepo(), "a/h": ggufRepo()})
	folder, err := OpenFolder(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	wants, err := r.hub("").Look(t.Context(), []Name{{"a/g", "m-q4.gguf"}}, "", nil, &r.seen)
	if err != nil {
		t.Fatal(err)
	}
	p, err := folder.Begin(t.Context(), wants[0], &r.seen)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := folder.Begin(t.Context(), wants[0], &r.seen); !errors.Is(err, ErrBusy) {
		t.Error(err)
	}
	r.must("a/h/m-q4.gguf") // another repository is free
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	r.must("a/g/m-q4.gguf")
}

func TestLinksDoNotLeadOut(t *testing.T) {
	outside := t.TempDir()
	victim := filepath.Join(outside, "victim")
	if err := os.WriteFile(victim, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, lay := range map[string]func(dir string) error{
		"the staging folder": func(dir string) error { return os.Symlink(outside, filepath.Join(dir, staging)) },
		"the organisation":   func(dir string) error { return os.Symlink(outside, filepath.Join(dir, "a")) },
		"a part": func(dir string) error {
			at := filepath.Join(dir, staging, "a--g")
			sum := Sum{gitBlob, hubtest.GitSum([]byte("# m"))}
			return errors.Join(os.MkdirAll(at, 0o755), os.Symlink(victim, filepath.Join(at, sum.key()+".part")))
		},
		"the lock": func(dir string) error {
			at := filepath.Join(dir, staging, "a--g")
			return errors.Join(os.MkdirAll(at, 0o755), os.Symlink(victim, filepath.Join(at, "lock")))
		},
	} {
		r := newRig(t, map[string]*hubtest.Repo{"a/g": ggufRepo()})
		if err := lay(r.dir); err != nil {
			t.Fatal(err)
		}
		h := r.hub("")
		if _, err := r.pull(t.Context(), h, h, "a/g/m-q4.gguf", "", "README.md"); err == nil {
			t.Errorf("%s is a link out of the folder, and was followed", name)
		}
		entries, _ := os.ReadDir(outside)
		if text, _ := os.ReadFile(victim); string(text) != "mine" || len(entries) != 1 {
			t.Fatalf("%s: wrote outside: %q, %v", name, text, entries)
		}
	}
}

func TestRoom(t *testing.T) {
	folder, err := OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	free, reserve, err := folder.Room()
	if err != nil || free < 0 || reserve <= 0 || reserve > 5<<30 {
		t.Error(free, reserve, err)
	}
}
