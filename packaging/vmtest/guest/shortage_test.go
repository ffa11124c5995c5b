package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/packaging/vmtest/wire"
)

// shortHost is a host whose memory and tiers a test sets.
type shortHost struct {
	t    *testing.T
	root string
}

func newShortHost(t *testing.T, tiers ...string) *shortHost {
	h := &shortHost{t, t.TempDir()}
	h.memory(700)
	h.kills(3)
	for _, tier := range tiers {
		h.populated(tier, true)
	}
	return h
}

func (h *shortHost) write(path, text string) {
	h.t.Helper()
	path = filepath.Join(h.root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil { // the same file: it is open
		h.t.Fatal(err)
	}
}

func (h *shortHost) memory(availableMiB int) {
	h.write("proc/meminfo", fmt.Sprintf("MemTotal: 2000000 kB\nMemAvailable: %d kB\n", availableMiB<<10))
}
func (h *shortHost) kills(n int) {
	h.write("proc/vmstat", fmt.Sprintf("oom_kill_other 9\noom_kill %d\n", n))
}
func (h *shortHost) populated(tier string, is bool) {
	n := 0
	if is {
		n = 1
	}
	h.write(tierCgroups+"/tier-cpu.slice/tier-"+tier+".service/cgroup.events", fmt.Sprintf("populated %d\nfrozen 0\n", n))
}

func TestAShortageIsSeenFromItsCrossingToItsEnd(t *testing.T) {
	h := newShortHost(t, "orch", "utility")
	w, err := newShortWatch(h.root, 256*mib, 128*mib)
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Unix(1000, 0)
	at := func(ms int) time.Time { return begin.Add(time.Duration(ms) * time.Millisecond) }
	for _, step := range []struct {
		ms   int
		do   func()
		news bool
	}{
		{0, func() {}, false},
		{5, func() { h.memory(200) }, true},
		{10, func() { h.memory(100) }, false},
		{30, func() { h.populated("utility", false) }, true},
		{40, func() { h.memory(400); h.kills(4) }, true},
		{50, func() { h.memory(200) }, false},
	} {
		step.do()
		if news, err := w.look(at(step.ms)); err != nil || news != step.news {
			t.Errorf("after %d ms: news %t, %v", step.ms, news, err)
		}
	}
	s := w.seen
	if s.Units != 2 || s.Looks != 6 || !s.Crossed.Equal(at(5)) || !s.Back.Equal(at(40)) || len(s.Gone) != 1 || !s.Gone["tier-utility.service"].Equal(at(30)) {
		t.Errorf("%+v", s)
	}
	if s.Least != 100*mib || s.Available != 200*mib || s.OOMKills != 1 {
		t.Errorf("%+v", s)
	}
	if got := time.Duration(s.BelowHard * float64(time.Second)).Round(time.Millisecond); got != 30*time.Millisecond || s.LongestGap < 0.0199 {
		t.Errorf("below the hard line for %v, longest gap %v s", got, s.LongestGap)
	}
}

func TestAShortageNeedsItsFigures(t *testing.T) {
	for rule, spoil := range map[string]func(h *shortHost){
		"no MemAvailable": func(h *shortHost) { h.write("proc/meminfo", "MemTotal: 2 kB\n") },
		"no oom_kill":     func(h *shortHost) { h.write("proc/vmstat", "pgfault 1\n") },
		"no number":       func(h *shortHost) { h.write("proc/meminfo", "MemAvailable: many kB\n") },
	} {
		h := newShortHost(t, "orch")
		spoil(h)
		var out bytes.Buffer
		if err := shortage([]string{"-root", h.root, "-every", "1ms"}, &out); err == nil {
			t.Errorf("%s: it ran", rule)
		}
	}
}

func TestTheWatchTellsAtItsBeginning(t *testing.T) {
	h := newShortHost(t, "orch")
	out := make(lines, 1)
	done := make(chan error, 1)
	go func() { done <- shortage([]string{"-root", h.root, "-soft", "1", "-every", "1ms"}, out) }()
	var s wire.Shortage
	if err := json.Unmarshal([]byte(<-out), &s); err != nil || s.Units != 1 || s.Available != 700*mib || s.Over {
		t.Errorf("%+v, %v", s, err)
	}
	h.write("proc/vmstat", "") // which ends it
	if err := <-done; err == nil || !strings.Contains(err.Error(), "oom_kill") {
		t.Error(err)
	}
}

// lines are a writer's writes.
type lines chan string

func (l lines) Write(text []byte) (int, error) {
	l <- string(text)
	return len(text), nil
}
