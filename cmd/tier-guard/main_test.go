package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/api/guardwire"
	"github.com/tierd/tierd/agent/guard"
)

func TestFlags(t *testing.T) {
	for _, test := range []struct {
		name, args string
		status     int
		says       string
	}{
		{"the version", "-version", 0, "tier-guard development build\n"},
		{"help", "-help", 0, "usage: tier-guard"},
		{"an argument", "now", 2, `unknown argument "now"`},
		{"an unknown flag", "-fast", 2, "flag provided but not defined: -fast"},
		{"a size without a unit", "-soft 8", 2, "is not a size like 8GiB"},
		{"no size", "-fill-rate lots", 2, "is not a size like 8GiB"},
		{"a hard line above the soft one", "-soft 1GiB -hard 2GiB", 2, "-hard 2GiB is not below -soft 1GiB"},
		{"a host without /proc", "-root /nowhere", 1, "open /nowhere/proc/meminfo: no such file or directory"},
	} {
		var out bytes.Buffer
		if status := run(strings.Fields(test.args), &out, &out); status != test.status || !strings.Contains(out.String(), test.says) {
			t.Errorf("%s: status %d, %q", test.name, status, out.String())
		}
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]uint64{"8GiB": 8 << 30, "1.5 GiB": 3 << 29, "300MiB": 300 << 20, "4KiB": 4096} {
		var b bytesFlag
		if err := b.Set(text); err != nil || uint64(b) != want {
			t.Errorf("%q is %d, %v", text, b, err)
		}
	}
	for _, text := range []string{"", "8", "GiB", "-1GiB", "0GiB", "NaNGiB", "InfGiB", "9999999GiB", "8GB"} {
		var b bytesFlag
		if err := b.Set(text); err == nil {
			t.Errorf("%q is %d", text, b)
		}
	}
}

// TestFlagsGoOverWhatTierdSays, and that over what goes for any host of that size.
func TestFlagsGoOverWhatTierdSays(t *testing.T) {
	const gib = 1 << 30
	said := &guardwire.Table{Refuse: 5 * gib, Soft: 4 * gib, Hard: 3 * gib, Emergency: gib, FillRate: 7 * gib, DryRun: true}
	broken := &guardwire.Table{Refuse: gib, Soft: 4 * gib}
	for _, test := range []struct {
		name  string
		o     options
		table *guardwire.Table
		lines guard.Lines
		pace  guard.Pace
	}{
		{"nobody has said anything", options{}, nil, guard.HostLines(128 * gib), guard.HostPace(128 * gib)},
		{"tierd has", options{}, said, guard.Lines{Refuse: 5 * gib, Soft: 4 * gib, Hard: 3 * gib, Emergency: gib}, guard.Pace{FillRate: 7 * gib, DryRun: true}},
		{"lines that cannot be are not taken", options{}, broken, guard.HostLines(128 * gib), guard.HostPace(128 * gib)},
		{"-soft moves all of them", options{soft: 2 * gib}, said, guard.KeepFreeLines(2*gib, 0, 0), guard.Pace{FillRate: 7 * gib, DryRun: true}},
		{"-hard and -dry-run", options{hard: gib, dryRun: true, fillRate: 9}, nil, guard.KeepFreeLines(8*gib, 0, gib), guard.Pace{FillRate: 9, DryRun: true}},
	} {
		if lines, pace := test.o.over(test.table, 128*gib); lines != test.lines || pace != test.pace {
			t.Errorf("%s: %+v, %+v", test.name, lines, pace)
		}
	}
}

// TestATraceReplays: written by the whole program until SIGTERM.
func TestATraceReplays(t *testing.T) {
	root, dir := t.TempDir(), t.TempDir()
	fakeHost(t, root, 128<<10, 64<<10)
	trace := filepath.Join(dir, "trace")
	status := make(chan int)
	var out logs
	go func() {
		status <- run([]string{"-root", root, "-socket", filepath.Join(dir, "none"), "-trace", trace}, &out, &out)
	}()
	until(t, "it watches", func() bool { return out.has("watching") })
	put(t, root, "proc/meminfo", meminfoOf(128<<10, 7<<10))
	until(t, "it has told", func() bool { return out.has("kind=refuse") || out.has("kind=alarm") })
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case s := <-status:
		if s != 0 {
			t.Errorf("status %d", s)
		}
	case <-time.After(bound):
		t.Fatal("it does not end")
	}
	f, err := os.Open(trace)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if looks, err := guard.Replay(f, nil); err != nil || looks == 0 {
		t.Errorf("%d looks, %v", looks, err)
	}
}

func TestATraceThatCannotBeWrittenIsRefused(t *testing.T) {
	root := t.TempDir()
	fakeHost(t, root, 128<<10, 64<<10)
	var out bytes.Buffer
	if status := run([]string{"-root", root, "-trace", "/nowhere/trace"}, &out, &out); status != 1 || !strings.Contains(out.String(), "cannot write a trace: open /nowhere/trace") {
		t.Errorf("status %d, %q", status, out.String())
	}
}
