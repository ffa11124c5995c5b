package main

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The test binary is also the shim and the fake engine: signals, exit statuses and the death of a parent can be seen on
// real processes only.
func TestMain(m *testing.M) {
	switch os.Getenv("SHIM_TEST_ROLE") {
	case "shim":
		os.Setenv("SHIM_TEST_ROLE", "engine") // for what it starts
		group := ownCgroup()
		if dir := os.Getenv("SHIM_TEST_CGROUP"); dir != "" {
			group = cgroup(dir)
		}
		os.Exit(runIn(group, os.Args[1:], os.Stdout, os.Stderr, os.Environ()))
	case "engine":
		os.Exit(fakeEngine(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// patience bounds every wait in these tests; it is reached only when something is broken.
const patience = 30 * time.Second

// bed is a shim in a process of its own, between a fake systemd, a fake tierd and a fake engine.
type bed struct {
	t      *testing.T
	dir    string
	socket string
	admit  string
	cmd    *exec.Cmd
	stdout locked
	stderr locked
	exited chan struct{}

	mu      sync.Mutex
	notes   []string // lines of the notification socket, in order
	arrived *sync.Cond
}

// newBed makes the directory and the fake systemd. The directory is short: a socket's path has 107 bytes at most.
func newBed(t *testing.T) *bed {
	t.Helper()
	dir, err := os.MkdirTemp("", "shim")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	b := &bed{t: t, dir: dir, socket: filepath.Join(dir, "engine.sock"), admit: filepath.Join(dir, "admit.sock"), exited: make(chan struct{})}
	b.arrived = sync.NewCond(&b.mu)
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go b.listen(conn)
	return b
}

func (b *bed) listen(conn *net.UnixConn) {
	buffer := make([]byte, 8<<10)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return
		}
		b.mu.Lock()
		b.notes = append(b.notes, strings.Split(string(buffer[:n]), "\n")...)
		b.arrived.Broadcast()
		b.mu.Unlock()
	}
}

// tierd serves the admission socket; the answer to each op comes from the function.
func (b *bed) tierd(answer func(op string) admitAnswer) {
	listener, err := net.Listen("unix", b.admit)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				var ask admitRequest
				if json.NewDecoder(conn).Decode(&ask) == nil {
					json.NewEncoder(conn).Encode(answer(ask.Op))
				}
			}()
		}
	}()
}

// run starts the shim with its options before, and the fake engine's behind.
func (b *bed) run(options []string, engine ...string) *bed {
	b.t.Helper()
	args := append([]string{"run", "--tier=t", "--socket=" + b.socket, "--admit=" + b.admit}, options...)
	if !slices.ContainsFunc(options, func(o string) bool { return strings.HasPrefix(o, "--engine=") }) {
		args = append(args, "--engine=llama")
	}
	args = append(args, "--", os.Args[0], "--socket="+b.socket)
	return b.start(append(args, engine...), nil)
}

func (b *bed) start(args, env []string) *bed {
	b.t.Helper()
	b.cmd = exec.Command(os.Args[0], args...)
	b.cmd.Env = append(os.Environ(), "SHIM_TEST_ROLE=shim", "NOTIFY_SOCKET="+filepath.Join(b.dir, "notify"), "CACHE_DIRECTORY="+b.dir)
	b.cmd.Env = append(b.cmd.Env, env...)
	b.cmd.Stdout, b.cmd.Stderr = &b.stdout, &b.stderr
	b.cmd.WaitDelay = patience
	if err := b.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	cmd, exited := b.cmd, b.exited
	go func() {
		cmd.Wait()
		close(exited)
	}()
	b.t.Cleanup(func() { cmd.Process.Kill(); <-exited })
	return b
}

// again forgets an ended shim, so that the next one starts in the same place.
func (b *bed) again() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.exited, b.notes = make(chan struct{}), nil
}

// await returns the first notification with the prefix, which may have come already.
func (b *bed) await(prefix string) string {
	b.t.Helper()
	timer := time.AfterFunc(patience, func() { b.arrived.Broadcast() })
	defer timer.Stop()
	deadline := time.Now().Add(patience)
	b.mu.Lock()
	defer b.mu.Unlock()
	for {
		for _, note := range b.notes {
			if strings.HasPrefix(note, prefix) {
				return note
			}
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("no notification %q; came %q; the journal has\n%s", prefix, b.notes, b.stderr.String())
		}
		b.arrived.Wait()
	}
}

// count tells how many notifications are exactly this one.
func (b *bed) count(note string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, have := range b.notes {
		if have == note {
			n++
		}
	}
	return n
}

func (b *bed) signal(sig syscall.Signal) {
	b.t.Helper()
	if err := b.cmd.Process.Signal(sig); err != nil {
		b.t.Fatal(err)
	}
}

// end waits for the shim and returns its exit status and the last status line.
func (b *bed) end() (status int, text string) {
	b.t.Helper()
	select {
	case <-b.exited:
	case <-time.After(patience):
		b.t.Fatalf("the shim does not end; the journal has\n%s", b.stderr.String())
	}
	mark := dialNotify(filepath.Join(b.dir, "notify")) // datagrams keep their order, so all of the shim's come before it
	mark.send("END=1")
	mark.close()
	b.await("END=1")
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, note := range b.notes {
		if line, found := strings.CutPrefix(note, "STATUS="); found {
			text = line
		}
	}
	return b.cmd.ProcessState.ExitCode(), text
}

// wantEnd fails unless the shim ends with that status, and with a sentence that has all the words and is in the journal.
func (b *bed) wantEnd(status int, words ...string) {
	b.t.Helper()
	got, text := b.end()
	if got != status {
		b.t.Errorf("exit status %d (%s), want %d; the journal has\n%s", got, text, status, b.stderr.String())
	}
	for _, word := range words {
		if !strings.Contains(text, word) {
			b.t.Errorf("the last status is %q, without %q", text, word)
		}
	}
	if !strings.Contains(b.stderr.String(), "tier-shim: "+text) {
		b.t.Errorf("the journal does not have the last status %q:\n%s", text, b.stderr.String())
	}
}

// locked is a buffer that one goroutine fills while another looks.
type locked struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
