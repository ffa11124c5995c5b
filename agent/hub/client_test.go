package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/hub/hubtest"
)

// actAsClient stands for `hf` where a real one cannot be made to fail: it takes the same arguments and brings the files.
func actAsClient(args []string) int {
	end := slices.Index(args, "--")
	if end != 6 || args[0] != "download" || args[2] != "--revision" || args[4] != "--local-dir" {
		fmt.Fprintln(os.Stderr, "Usage: hf download", args)
		return 2
	}
	repo, commit, dir := args[1], args[3], args[5]
	fmt.Println("Fetching 1 files")
	switch os.Getenv("HUB_TEST_HF") {
	case "fail":
		fmt.Fprintf(os.Stderr, "Traceback\n\x1b[31mError: 403 for %s\x1b[0m\n\n", os.Getenv("HF_TOKEN"))
		return 1
	case "nothing":
		return 0
	case "hang":
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, os.Interrupt)
		os.WriteFile(filepath.Join(dir, "begun"), data("begun", 100), 0o600)
		<-stop
		return 130
	}
	for _, name := range args[end+1:] {
		res, err := http.Get(os.Getenv("HF_ENDPOINT") + "/" + repo + "/resolve/" + commit + "/" + name)
		if err != nil {
			return 1
		}
		text, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if os.Getenv("HUB_TEST_HF") == "damage" {
			text[0] ^= 1
		}
		at := filepath.Join(dir, name)
		os.MkdirAll(filepath.Dir(at), 0o700)
		os.WriteFile(at, text, 0o600)
	}
	return 0
}

func (r *rig) client(token, how string) (*Hub, *Client) {
	h := r.hub(token)
	return h, &Client{Program: os.Args[0], Hub: h, Look: time.Millisecond, Env: append(os.Environ(), "HUB_TEST_AS=hf", "HUB_TEST_HF="+how, "HF_TOKEN=hf_old")}
}

func TestTheClientBringsWhatIsMissing(t *testing.T) {
	r := newRig(t, map[string]*hubtest.Repo{"a/m": safetensorsRepo()})
	h, c := r.client("", "")
	if _, err := r.pull(t.Context(), h, c, "a/m", ""); err != nil {
		t.Fatal(err)
	}
	wantTree(t, r, "a/m", wantedOfSafetensors)
	if left := r.waiting("a/m"); len(left) > 0 || r.seen.bytes == 0 {
		t.Errorf("left over: %q; %d bytes were seen to come", left, r.seen.bytes)
	}
	if info, _ := os.Stat(filepath.Join(r.dir, "a/m/config.json")); info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v", info.Mode())
	}
}

func TestWhatTheClientBringsIsCompared(t *testing.T) {
	r := newRig(t, map[string]*hubtest.Repo{"a/g": ggufRepo()})
	h, c := r.client("", "damage")
	if _, err := r.pull(t.Context(), h, c, "a/g/m-q4.gguf", ""); !errors.Is(err, ErrWrongSum) || len(r.tree()) > 0 {
		t.Errorf("%v, %v", err, r.tree())
	}
	h, c = r.client("", "nothing")
	if _, err := r.pull(t.Context(), h, c, "a/g/m-q4.gguf", ""); err == nil || !strings.Contains(err.Error(), "is not there; try --with http") {
		t.Error(err)
	}
	h, c = r.client("", "")
	if _, err := r.pull(t.Context(), h, c, "a/g/m-q4.gguf", ""); err != nil {
		t.Error(err)
	}
	wantTree(t, r, "a/g", []string{"m-q4.gguf"})
}

func TestTheClientsFailureIsOneLineWithoutTheToken(t *testing.T) {
	r := newRig(t, map[string]*hubtest.Repo{"a/g": ggufRepo()})
	h, c := r.client("hf_secret", "fail")
	_, err := r.pull(t.Context(), h, c, "a/g/m-q4.gguf", "")
	if err == nil || !strings.HasSuffix(err.Error(), "[31mError: 403 for (token)[0m") || strings.ContainsAny(err.Error(), "\x1b\n") {
		t.Errorf("%q", err)
	}
}

func TestTheClientIsToldToEnd(t *testing.T) {
	r := newRig(t, map[string]*hubtest.Repo{"a/g": ggufRepo()})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r.seen.got = func(int64) { cancel() }
	h, c := r.client("", "hang")
	if _, err := r.pull(ctx, h, c, "a/g/m-q4.gguf", ""); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	r.seen.got = nil
	r.must("a/g/m-q4.gguf") // and the lock, which it had as well, is free
}

func TestTheClientsEnvironment(t *testing.T) {
	env := []string{"PATH=/bin", "HF_TOKEN=old", "HF_ENDPOINT=https://elsewhere"}
	h, _ := New("https://hub.example", Token{"hf_secret"}, nil, Patience{})
	got := (&Client{Hub: h, Env: env}).env()
	if !slices.Contains(got, "HF_TOKEN=hf_secret") || !slices.Contains(got, "HF_ENDPOINT=https://hub.example") || slices.Contains(got, "HF_TOKEN=old") || !slices.Contains(got, "PATH=/bin") {
		t.Error(got)
	}
	clear, _ := New("http://hub.example", Token{"hf_secret"}, nil, Patience{})
	if got := (&Client{Hub: clear, Env: env}).env(); strings.Contains(strings.Join(got, " "), "HF_TOKEN=") || !slices.Contains(got, "HF_HUB_DISABLE_IMPLICIT_TOKEN=1") {
		t.Error(got)
	}
}

func TestAPartIsNotKeptBesideWhatTheClientBrought(t *testing.T) {
	r := newRig(t, map[string]*hubtest.Repo{"a/g": ggufRepo()})
	r.leavePart("a/g/m-q4.gguf", 1000)
	h, c := r.client("", "")
	if _, err := r.pull(t.Context(), h, c, "a/g/m-q4.gguf", ""); err != nil {
		t.Fatal(err)
	}
	wantTree(t, r, "a/g", []string{"m-q4.gguf"})
	if left := r.waiting("a/g"); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
}

func TestTheHubsAnswerSaysMoreThanTheClients(t *testing.T) {
	repo := ggufRepo()
	repo.Gated = true
	r := newRig(t, map[string]*hubtest.Repo{"a/g": repo})
	h, c := r.client("", "fail")
	_, err := r.pull(t.Context(), h, c, "a/g/m-q4.gguf", "")
	if refused := (*Refused)(nil); !errors.As(err, &refused) || !strings.Contains(refused.Hint, "accept its licence at "+r.url+"/a/g") {
		t.Error(err)
	}
}

// TestRealClient is the same with Hugging Face's own client, where it is installed (pip install huggingface_hub).
func TestRealClient(t *testing.T) {
	program, err := exec.LookPath("hf")
	if err != nil {
		t.Skip("hf is not in PATH")
	}
	repo := safetensorsRepo()
	repo.Gated = true
	r := newRig(t, map[string]*hubtest.Repo{"a/m": repo, "a/g": ggufRepo()})
	r.served.Token = "hf_secret"
	h := r.hub("hf_secret")
	c := &Client{Program: program, Hub: h, Env: append(os.Environ(), "HOME="+t.TempDir())}
	for _, name := range []string{"a/m", "a/g/b/m-00001-of-00003.gguf", "a/g/m-q4.gguf"} {
		if _, err := r.pull(t.Context(), h, c, name, ""); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	tree := r.tree()
	for _, f := range wantedOfSafetensors {
		if tree["a/m/"+f] != string(repo.Files[f]) {
			t.Errorf("%s is not what the hub has", f)
		}
	}
	if len(tree) != len(wantedOfSafetensors)+4 {
		t.Errorf("%d files", len(tree))
	}
	for _, trip := range r.served.Trips() {
		if trip.Host == "cdn" && trip.Authorization != "" {
			t.Error("the second host got the token")
		}
	}
	h = r.hub("")
	_, err = r.pull(t.Context(), h, &Client{Program: program, Hub: h, Env: c.Env}, "a/m", "", "pytorch_model.bin")
	if refused := (*Refused)(nil); !errors.As(err, &refused) || !strings.Contains(refused.Hint, r.url+"/a/m") {
		t.Errorf("a gated model, without a token: %v", err)
	}
}
