package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func yes(string) admitAnswer { return admitAnswer{OK: true} }

// pidIn finds "NAME pid=N" in a log.
func (b *bed) pidIn(name string) int {
	b.t.Helper()
	pattern := regexp.MustCompile(name + ` pid=(\d+)`)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if found := pattern.FindStringSubmatch(b.stdout.String()); found != nil {
			pid, _ := strconv.Atoi(found[1])
			return pid
		}
	}
	b.t.Fatalf("no pid of %s in the log:\n%s", name, b.stdout.String())
	return 0
}

// gone waits until a process has ended; a zombie that nobody has reaped yet has ended as well.
func (b *bed) gone(pid int) {
	b.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil || strings.Contains(string(status), "State:\tZ") {
			return
		}
	}
	b.t.Errorf("process %d is still there", pid)
}

func (b *bed) post(path string) {
	b.t.Helper()
	if status, err := newProber("llama", b.socket, "").ask(context.Background(), "POST", path, []byte("{}"), nil); err != nil || status != 200 {
		b.t.Fatalf("cannot post %s: %d, %v", path, status, err)
	}
}

func TestReadyAfterAToken(t *testing.T) {
	b := newBed(t)
	b.tierd(yes)
	b.run([]string{"--served=t"})
	b.await("READY=1")
	if got := b.await("STATUS=Ready"); !strings.Contains(got, "loaded in") {
		t.Errorf("status is %q", got)
	}
	if out := b.stdout.String(); !strings.Contains(out, `notify=""`) {
		t.Errorf("the engine has inherited the notification socket: %s", out)
	}
	b.signal(syscall.SIGTERM)
	b.wantEnd(0, "Stopped")
	if _, err := os.Lstat(b.socket); err == nil {
		t.Error("the socket file is still there after the stop")
	}
}

func TestAWrongNameIsAConfigurationFault(t *testing.T) {
	b := newBed(t)
	b.tierd(yes)
	b.run([]string{"--served=coder"}).wantEnd(78, `serves the names ["a-name" "a-name" "t"] and not "coder"`)
	b.gone(b.pidIn("engine"))
}

func TestAnEmbeddingModelIsReady(t *testing.T) {
	b := newBed(t)
	b.tierd(yes)
	b.run(nil, "--embeddings").await("READY=1")
}

func TestEndsBeforeReadiness(t *testing.T) {
	tests := []struct {
		name   string
		engine []string
		status int
		words  string
	}{
		{"an exit with no word is the engine's death", []string{"--exit=1"}, 70, "exit status 1"},
		{"status 0 is a death as well", []string{"--exit=0"}, 70, "exit status 0"},
		{"status 2 is a refused command line", []string{"--exit=2"}, 78, "command line"},
		{"the last error is quoted", []string{"--exit=1", "--say=RuntimeError: the cat ate it"}, 70, "the cat ate it"},
		{"the engine's reason decides the class", []string{"--exit=1", "--say=error: invalid argument: --no-mmap"}, 78, "--no-mmap"},
		{"a missing model", []string{"--exit=1", "--say=gguf_init_from_file: failed to open GGUF file '/m.gguf' (No such file or directory)"}, 66, "/m.gguf"},
		{"a budget too small", []string{"--exit=1", "--say=ggml_vulkan: Device memory allocation of size 45097156608 failed."}, 71, "42 GiB"},
		{"a lost device, although it ends by a signal", []string{"--die=6", "--say=Memory access fault by GPU node-1 (Agent handle: 0x1) on address 0x2"}, 69, "GPU"},
		{"a kill from outside", []string{"--die=9"}, 137, "SIGKILL"},
		{"a crash of its own", []string{"--die=11"}, 70, "segmentation fault"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			b.tierd(yes)
			b.run(nil, test.engine...).wantEnd(test.status, test.words)
			if b.count("READY=1") > 0 {
				t.Error("READY was sent")
			}
		})
	}
}

func TestAMissingEngineIsAConfigurationFault(t *testing.T) {
	b := newBed(t)
	b.tierd(yes)
	b.start([]string{"run", "--tier=t", "--engine=llama", "--socket=" + b.socket, "--admit=" + b.admit, "--", "/nowhere/llama-server"}, nil)
	b.wantEnd(78, "Cannot start /nowhere/llama-server: no such file or directory")
}

func TestABlockedTierSaysWhy(t *testing.T) {
	b := newBed(t)
	b.run([]string{"--blocked=model:the model /m.gguf is not there"}, "--exit=3").wantEnd(66, "the model /m.gguf is not there")
	if b.stdout.String() != "" {
		t.Error("the engine was started")
	}
}

func TestARefusedTierDoesNotStart(t *testing.T) {
	b := newBed(t)
	b.tierd(func(op string) admitAnswer {
		return admitAnswer{Class: classRefused, Message: "coder needs 65 GiB and 20 GiB are free"}
	})
	b.run(nil).wantEnd(75, "coder needs 65 GiB")
	if b.stdout.String() != "" {
		t.Error("the engine was started")
	}
}

func TestWithoutTierdFreeMemoryDecides(t *testing.T) {
	t.Run("enough", func(t *testing.T) {
		b := newBed(t)
		b.run([]string{"--memory=1048576"}).await("READY=1")
		if !strings.Contains(b.stderr.String(), "free memory alone decides") {
			t.Errorf("the journal does not say so: %s", b.stderr.String())
		}
	})
	t.Run("not enough", func(t *testing.T) {
		newBed(t).run([]string{fmt.Sprintf("--memory=%d", uint64(1)<<52)}).wantEnd(75, "free", "tierd does not answer")
	})
}

func TestSockets(t *testing.T) {
	t.Run("a stale one is removed", func(t *testing.T) {
		b := newBed(t)
		b.tierd(yes)
		listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: b.socket, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		listener.SetUnlinkOnClose(false)
		listener.Close()
		b.run(nil).await("READY=1")
	})
	t.Run("one that is held is left alone and its holder named", func(t *testing.T) {
		b := newBed(t)
		b.tierd(yes)
		listener, err := net.Listen("unix", b.socket)
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		b.run(nil).wantEnd(73, fmt.Sprintf("pid %d", os.Getpid()), filepath.Base(os.Args[0]))
		if _, err := os.Lstat(b.socket); err != nil {
			t.Error("the holder's socket was removed")
		}
	})
	t.Run("a file of another kind is left alone", func(t *testing.T) {
		b := newBed(t)
		b.tierd(yes)
		os.WriteFile(b.socket, []byte("mine"), 0o600)
		b.run(nil).wantEnd(73, "another kind")
	})
}

func TestAnEngineThatNeverGetsReadyIsGivenUp(t *testing.T) {
	for name, engine := range map[string][]string{
		"it stays at 503":           {"--never"},
		"it never listens":          {"--mute"},
		"it floods its log instead": {"--flood", "--mute"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBed(t)
			b.tierd(yes)
			b.run([]string{"--load-timeout=1s"}, engine...).wantEnd(74, "did not get ready")
			b.await("EXTEND_TIMEOUT_USEC=")
			b.gone(b.pidIn("engine"))
		})
	}
}

func TestAFloodOfLogDelaysNobody(t *testing.T) {
	b := newBed(t)
	b.tierd(yes)
	b.run(nil, "--flood").await("READY=1")
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	if rss := procField(string(status), "VmRSS") << 10; rss > 200<<20 { // the race detector's share is most of it
		t.Errorf("the shim takes %s under a flood", size(rss))
	}
	b.signal(syscall.SIGTERM)
	b.wantEnd(0, "Stopped")
}

func TestAnEndAfterReadinessIsAFailureWhateverItsStatus(t *testing.T) {
	b := newBed(t)
	b.tierd(yes)
	b.run(nil, "--child").await("READY=1")
	helper := b.pidIn("helper")
	newProber("llama", b.socket, "").ask(context.Background(), "POST", "/test/exit/0", nil, nil)
	b.wantEnd(70, "ended by itself with exit status 0")
	b.gone(helper)
}

func TestFlagsAreChosenByTheEnginesHelpAndKept(t *testing.T) {
	b := newBed(t)
	b.tierd(yes)
	args := []string{"--prefer=--unheard-of 1|--say hello|", "--prefer=--unknown|", "--prefer=--gone"}
	b.run(args).await("READY=1")
	if out := b.stdout.String(); !strings.Contains(out, `"--say" "hello"]`) {
		t.Errorf("the engine was started as %s", out)
	}
	kept, err := filepath.Glob(filepath.Join(b.dir, "flags-*.json"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("flags are kept in %q, %v", kept, err)
	}
	b.await("STATUS=Reading the engine's flags")
	b.signal(syscall.SIGTERM)
	b.wantEnd(0)

	b.again()
	b.run(args).await("READY=1")
	if b.count("STATUS=Reading the engine's flags (once for each version)") > 0 {
		t.Error("the second start asked for the help again")
	}
}
