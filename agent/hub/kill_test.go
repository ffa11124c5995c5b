package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/hub/hubtest"
)

// pullAsProcess is one pull in a process that is killed.
func pullAsProcess() int {
	var job struct{ URL, Dir, Name, HF string }
	if err := json.Unmarshal([]byte(os.Getenv("HUB_TEST_JOB")), &job); err != nil {
		return 2
	}
	r := &rig{dir: job.Dir}
	h, err := New(job.URL, Token{}, nil, impatient)
	var with Transfer = h
	if job.HF != "" {
		with = &Client{Program: os.Args[0], Hub: h, Env: append(os.Environ(), "HUB_TEST_AS=hf", "HUB_TEST_HF="+job.HF)}
	}
	if err == nil {
		_, err = r.pull(context.Background(), h, with, job.Name, "")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// start runs a pull in a process of its own, with a client that behaves in some way, if any.
func (r *rig) start(name, hf string) *exec.Cmd {
	job, _ := json.Marshal(map[string]string{"URL": r.url, "Dir": r.dir, "Name": name, "HF": hf})
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "HUB_TEST_AS=pull", "HUB_TEST_JOB="+string(job))
	cmd.Stderr = os.Stderr
	return cmd
}

// TestKilledAtAnyMoment kills pulls of a new revision over an old one with SIGKILL: by the bytes that came, and, after the last
// of them, while the files get their places.
func TestKilledAtAnyMoment(t *testing.T) {
	r := newRig(t, map[string]*hubtest.Repo{"a/m": safetensorsRepo()})
	r.must("a/m")
	old := r.served.Repos["a/m"].Files
	killed := 0
	for round := range 12 {
		next := safetensorsRepo()
		for name := range next.Files {
			if len(next.Files[name]) > 64 {
				next.Files[name] = data(fmt.Sprint(name, round), len(next.Files[name]))
			}
		}
		answers := make(chan struct{}, 100)
		r.served.Change(func() {
			r.served.Repos["a/m"] = next
			r.served.Fault = func(string, http.ResponseWriter, *hubtest.Trip) bool { answers <- struct{}{}; return false }
		})
		for range 3 {
			cmd := r.start("a/m", "")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			awaitAnswers(answers, ended, 1+rand.IntN(8))
			time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond) // where in the work it falls is the point
			if cmd.Process.Kill() == nil {
				killed++
			}
			<-ended
			if err := checkNothingWrong(r, "a/m", old, next.Files); err != nil {
				t.Fatalf("round %d: %v", round, err)
			}
		}
		r.must("a/m")
		wantTree(t, r, "a/m", wantedOfSafetensors)
		if left := r.waiting("a/m"); len(left) > 0 {
			t.Errorf("left over: %q", left)
		}
		old = next.Files
	}
	if killed == 0 {
		t.Error("none was killed in time")
	}
}

// awaitAnswers waits until the server was asked so often, or the process is over, which it tells the channel again.
func awaitAnswers(answers <-chan struct{}, ended chan error, n int) {
	for range n {
		select {
		case <-answers:
		case err := <-ended:
			ended <- err
			return
		}
	}
}

func TestAKilledPullLetsGoOfItsLockAndGoesOn(t *testing.T) {
	r := newRig(t, map[string]*hubtest.Repo{"a/g": ggufRepo()})
	sent := make(chan struct{}, 1)
	r.fault(func(host string, w http.ResponseWriter, tr *hubtest.Trip) bool {
		if host != "cdn" {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(tr.Data)))
		w.Write(tr.Data[:1500])
		w.(http.Flusher).Flush()
		sent <- struct{}{}
		<-tr.Request.Context().Done()
		return true
	})
	cmd := r.start("a/g/m-q4.gguf", "")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-sent
	h := r.hub("")
	if _, err := r.pull(t.Context(), h, h, "a/g/m-q4.gguf", ""); !errors.Is(err, ErrBusy) {
		t.Errorf("beside another one: %v", err)
	}
	part := filepath.Join(r.dir, staging, "a--g", r.waiting("a/g")[0])
	for size := int64(0); size < 1500; {
		if info, err := os.Stat(part); err == nil {
			size = info.Size()
		}
		time.Sleep(time.Millisecond)
	}
	cmd.Process.Kill()
	cmd.Wait()
	r.served.Change(func() { r.served.Fault, r.served.Seen = nil, nil })
	r.must("a/g/m-q4.gguf")
	wantTree(t, r, "a/g", []string{"m-q4.gguf"})
	if got := r.cdnRanges(); !slices.Equal(got, []string{"bytes=1500-"}) {
		t.Errorf("asked for %q", got)
	}
}

func TestTheClientEndsWithAKilledPull(t *testing.T) {
	r := newRig(t, map[string]*hubtest.Repo{"a/g": ggufRepo()})
	cmd := r.start("a/g/m-q4.gguf", "hang")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	begun := filepath.Join(r.dir, staging, "a--g", clientDir, "begun")
	for _, err := os.Stat(begun); err != nil; _, err = os.Stat(begun) {
		time.Sleep(time.Millisecond)
	}
	cmd.Process.Kill()
	cmd.Wait()
	h := r.hub("")
	for { // the client has the lock until it is gone
		_, err := r.pull(t.Context(), h, h, "a/g/m-q4.gguf", "")
		if err == nil {
			break
		}
		if !errors.Is(err, ErrBusy) {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	wantTree(t, r, "a/g", []string{"m-q4.gguf"})
}
