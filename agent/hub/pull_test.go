package hub

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

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
