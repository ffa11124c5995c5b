package main

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestFilesAreHeldUntilSIGTERM(t *testing.T) {
	out := make(lines, 1)
	done := make(chan error, 1)
	go func() { done <- files([]string{"-most", "7"}, out) }()
	select {
	case text := <-out:
		if !strings.HasPrefix(text, "7 files are held") {
			t.Errorf("it says %q", text)
		}
	case err := <-done:
		t.Fatalf("it ended: %v", err)
	}
	if err := unix.Kill(unix.Getpid(), unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A limit of the process is not the system's: whoever meets it proves nothing.
func TestFilesFailAtTheLimitOfTheProcess(t *testing.T) {
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			t.Error(err)
		}
	})
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 100, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	if err := files(nil, make(lines, 1)); err == nil || !strings.Contains(err.Error(), "too many open files") {
		t.Errorf("it ended with %v", err)
	}
}
