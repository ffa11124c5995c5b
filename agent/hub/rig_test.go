package hub

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/hub/hubtest"
)

func TestMain(m *testing.M) {
	switch os.Getenv("HUB_TEST_AS") {
	case "pull":
		os.Exit(pullAsProcess())
	case "hf":
		os.Exit(actAsClient(os.Args[1:]))
	}
	syscall.Umask(0o077) // the strictest that a user may have: what is fetched has to be readable all the same
	os.Exit(m.Run())
}

// impatient has a test over in milliseconds.
var impatient = Patience{Tries: 4, Pause: time.Millisecond, Longest: 2 * time.Second, Silence: 20 * time.Second}

// rig is a hub with its second host, and a folder.
type rig struct {
	t      testing.TB
	served *hubtest.Hub
	url    string
	dir    string
	seen   watcher
}

func newRig(t testing.TB, repos map[string]*hubtest.Repo) *rig {
	r := &rig{t: t, served: &hubtest.Hub{Repos: repos, Large: 64}, dir: t.TempDir()}
	cdn := httptest.NewServer(handler(r.served.ServeCDN))
	r.served.CDN = cdn.URL
	front := httptest.NewServer(r.served)
	r.url = front.URL
	t.Cleanup(func() { front.Close(); cdn.Close() })
	return r
}

func (r *rig) hub(token string) *Hub {
	r.t.Helper()
	h, err := New(r.url, Token{token}, nil, impatient)
	if err != nil {
		r.t.Fatal(err)
	}
	return h
}

// fault is what goes wrong from now on.
func (r *rig) fault(f func(host string, w http.ResponseWriter, t *hubtest.Trip) bool) {
	r.served.Change(func() { r.served.Fault = f })
}

// pull does what tierctl does with one name.
func (r *rig) pull(ctx context.Context, h *Hub, with Transfer, name, revision string, include ...string) (*Pull, error) {
	n, err := ParseName(name)
	if err != nil {
		return nil, err
	}
	wants, err := h.Look(ctx, []Name{n}, revision, include, &r.seen)
	if err != nil {
		return nil, err
	}
	folder, err := OpenFolder(r.dir)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	p, err := folder.Begin(ctx, wants[0], &r.seen)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	return p, p.Run(ctx, with, &r.seen)
}

func (r *rig) must(name string) *Pull {
	r.t.Helper()
	h := r.hub("")
	p, err := r.pull(r.t.Context(), h, h, name, "")
	if err != nil {
		r.t.Fatalf("pull %s: %v", name, err)
	}
	return p
}

// tree is what is in the folder under final names.
func (r *rig) tree() map[string]string {
	r.t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(r.dir, func(at string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == staging {
				return filepath.SkipDir
			}
			return nil
		}
		text, err := os.ReadFile(at)
		name, _ := filepath.Rel(r.dir, at)
		found[name] = string(text)
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return found
}

// waiting are the names in a repository's staging folder, without those that always are there.
func (r *rig) waiting(repo string) []string {
	entries, _ := os.ReadDir(filepath.Join(r.dir, staging, strings.ReplaceAll(repo, "/", "--")))
	var names []string
	for _, e := range entries {
		if e.Name() != "lock" && e.Name() != recordFile {
			names = append(names, e.Name())
		}
	}
	return names
}

// watcher keeps what it is told.
type watcher struct {
	mu    sync.Mutex
	bytes int64
	notes []string
	got   func(total int64) // called at each byte count
}

func (w *watcher) Got(n int64) {
	w.mu.Lock()
	w.bytes += n
	total, got := w.bytes, w.got
	w.mu.Unlock()
	if got != nil {
		got(total)
	}
}

func (w *watcher) Note(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notes = append(w.notes, text)
}

func (w *watcher) said(part string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.notes {
		if strings.Contains(n, part) {
			return true
		}
	}
	return false
}

// data is a file's content that no other seed has.
func data(seed string, size int) []byte {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, "%s %d\n", seed, i)
	}
	return []byte(b.String()[:size])
}

// safetensorsRepo has what such repositories have, and the same model in other forms.
func safetensorsRepo() *hubtest.Repo {
	return &hubtest.Repo{Files: map[string][]byte{
		"config.json":                      []byte(`{"model_type":"x"}`),
		"tokenizer.json":                   data("tokenizer", 900),
		"model-00001-of-00002.safetensors": data("one", 5000),
		"model-00002-of-00002.safetensors": data("two", 3000),
		"model.safetensors.index.json":     []byte(`{}`),
		"1_Pooling/config.json":            []byte(`{"pooling":1}`),
		"generation_config.json":           []byte(`{"model_type":"x"}`), // the content of another file
		"LICENSE":                          []byte("MIT"),
		"empty.txt":                        {},
		".gitattributes":                   []byte("*"),
		"pytorch_model.bin":                data("torch", 4000),
		"original/consolidated.00.pth":     data("pth", 4000),
		"original/params.json":             []byte("{}"),
		"onnx/model.onnx":                  data("onnx", 4000),
		"consolidated.safetensors":         data("twice", 4000),
	}}
}

var wantedOfSafetensors = []string{
	"1_Pooling/config.json", "LICENSE", "config.json", "empty.txt", "generation_config.json", "model-00001-of-00002.safetensors",
	"model-00002-of-00002.safetensors", "model.safetensors.index.json", "tokenizer.json",
}

func ggufRepo() *hubtest.Repo {
	return &hubtest.Repo{Files: map[string][]byte{
		"README.md":               []byte("# m"),
		"m-q4.gguf":               data("q4", 2000),
		"m-q8.gguf":               data("q8", 4000),
		"b/m-00001-of-00003.gguf": data("b1", 1000),
		"b/m-00002-of-00003.gguf": data("b2", 1000),
		"b/m-00003-of-00003.gguf": data("b3", 1000),
	}}
}
