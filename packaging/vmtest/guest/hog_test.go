package main

import (
	"bytes"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// ownRSS is what this process has in memory, in bytes.
func ownRSS(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

func TestAHogHoldsWhatItTook(t *testing.T) {
	before := ownRSS(t)
	out := make(lines, 1)
	done := make(chan error, 1)
	go func() { done <- hog([]string{"-size", "33554432", "-rate", "1073741824"}, out) }()
	select {
	case text := <-out:
		if !strings.HasPrefix(text, "32 MiB taken") {
			t.Errorf("it says %q", text)
		}
	case err := <-done:
		t.Fatalf("it ended: %v", err)
	}
	if grown := ownRSS(t) - before; grown < 30<<20 {
		t.Errorf("it holds %d MiB", grown>>20)
	}
	if err := unix.Kill(os.Getpid(), unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAHogEndsWhenItIsToldWhileItTakes(t *testing.T) {
	own := make(chan os.Signal, 1) // so that one that comes too early ends nothing
	signal.Notify(own, unix.SIGTERM)
	defer signal.Stop(own)
	done := make(chan error, 1)
	go func() { done <- hog([]string{"-size", "1099511627776", "-rate", "1048576"}, new(bytes.Buffer)) }()
	for {
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			return
		case <-time.After(10 * time.Millisecond):
			if err := unix.Kill(os.Getpid(), unix.SIGTERM); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestAHogIsToldWhatToTake(t *testing.T) {
	for _, args := range [][]string{{"-kind", "gold"}, {"-rate", "0"}, {"-size", "much"}} {
		if err := hog(args, new(bytes.Buffer)); err == nil {
			t.Errorf("%q ran", args)
		}
	}
}

func TestFilesAreHeldUntilTheEnd(t *testing.T) {
	out := make(lines, 1)
	done := make(chan error, 1)
	go func() { done <- files([]string{"-most", "20"}, out) }()
	if text := <-out; text != "20 files are held\n" {
		t.Errorf("it says %q", text)
	}
	unix.Kill(os.Getpid(), unix.SIGTERM)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
