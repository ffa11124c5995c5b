package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/packaging/guardbench/trial"
)

func TestANumberIsReadWhereItStands(t *testing.T) {
	const text = "MemTotal:        3081616 kB\nMemAvailable:\t  800 kB\nSwapFree:  kB\nfull avg10=12.34 avg60=0.00 total=567\n"
	for name, want := range map[string]int64{
		"MemTotal:": 3081616, "MemAvailable:": 800, "SwapFree:": -1, "SwapTotal:": -1, "full avg10=": 12, "total=": 567,
	} {
		if got := field([]byte(text), name); got != want {
			t.Errorf("%s is %d, want %d", name, got, want)
		}
	}
}

func TestLookingDoesNotAllocate(t *testing.T) {
	text := []byte("some avg10=0.00 total=1\nfull avg10=0.00 total=42\n")
	var got int64
	if n := testing.AllocsPerRun(100, func() { got = field(after(text, fullLine), total) }); n > 0 || got != 42 {
		t.Errorf("%v allocations, read %d", n, got)
	}
}

func TestProcessorTimeOfAProcessWhoseNameHoldsBlanks(t *testing.T) {
	const stat = "12 (a (b) c) S 1 12 12 0 -1 4194304 100 0 0 0 7 5 0 0 20 0 1 0 100 1000 50"
	if n, err := ticks([]byte(stat)); n != 12 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	for _, broken := range []string{"", "12 (a) S 1", strings.Replace(stat, " 7 ", " x ", 1)} {
		if _, err := ticks([]byte(broken)); err == nil {
			t.Errorf("%q is no error", broken)
		}
	}
}

func FuzzTicks(f *testing.F) {
	f.Add([]byte("12 (a) S 1 12 12 0 -1 4194304 100 0 0 0 7 5 0"))
	f.Add([]byte(") "))
	f.Fuzz(func(t *testing.T, text []byte) {
		ticks(text)
		field(text, "total=")
		after(text, "full ")
	})
}

// TestTheLoadEndsWhereReviewerIsEnough holds the sizes together: what the load takes at once ends above the soft line, and with
// reviewer's memory back there is more than the line again.
func TestTheLoadEndsWhereReviewerIsEnough(t *testing.T) {
	const available = 800*mib + 12345
	for _, s := range trial.Scenarios {
		fast, limit := (&attempt{scenario: s}).amounts(available)
		if fast%mib != 0 || limit%mib != 0 || fast > limit {
			t.Errorf("%s: %d at once of %d", s.Key, fast, limit)
		}
		if limit > most*mib && s.Kind != "cache" {
			t.Errorf("%s: takes %d, which is more than a process has a place for", s.Key, limit)
		}
		left := available - limit
		switch {
		case s.Kind == "cache" && fast == limit:
		case s.Rate < trial.Fast && available-fast < trial.Soft+100*mib:
			t.Errorf("%s: only %d are left when it slows down", s.Key, available-fast)
		case s.Endless && left+int64(tiers[0].anon)*mib > 0:
			t.Errorf("%s ends", s.Key)
		case !s.Endless && (left > 0 || left+int64(tiers[0].anon)*mib < trial.Soft+50*mib):
			t.Errorf("%s: %d are left in the end, without reviewer %d", s.Key, left, left+int64(tiers[0].anon)*mib)
		}
	}
}

func TestHiddenMemoryIsInTheSameProcess(t *testing.T) {
	for _, one := range tiers {
		open, hidden := one.flags(trial.Scenario{}), one.flags(trial.Scenario{Hidden: true})
		if got := sum(t, open, "-anon"); got != one.anon || sum(t, open, "-dma") != 0 {
			t.Errorf("%s: %v", one.name, open)
		}
		if got := sum(t, hidden, "-anon") + sum(t, hidden, "-dma"); got != one.anon || sum(t, hidden, "-dma") != one.hidden {
			t.Errorf("%s: %v", one.name, hidden)
		}
	}
}

// sum is the number after a flag.
func sum(t *testing.T, args []string, flag string) int {
	t.Helper()
	var n int
	if err := json.Unmarshal([]byte(args[slices.Index(args, flag)+1]), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAPageIsThereWhenItIsWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "page")
	if _, err := openPage(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("none: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := openPage(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty one: %v", err)
	}
	if err := os.Truncate(path, int64(os.Getpagesize())); err != nil {
		t.Fatal(err)
	}
	one, err := openPage(path)
	if err != nil {
		t.Fatal(err)
	}
	one.begin(7, 9)
	other, err := openPage(path)
	if err != nil || other.Go.Load() != 1 || other.Fast.Load() != 7 || other.Cap.Load() != 9 || other.Ready.Load() != 0 {
		t.Errorf("%+v, %v", other, err)
	}
}

func someUnits() []*unit {
	var units []*unit
	for i, one := range tiers {
		units = append(units, &unit{name: one.name, slice: tiersSlice, pid: 100 + i})
	}
	return units
}

func TestTheTableIsWhatTierdWouldTell(t *testing.T) {
	now := time.Now()
	s, _ := trial.Find("a")
	table := tableOf(s, someUnits(), now)
	if table.Refuse <= table.Soft || table.Soft <= table.Hard || table.Hard <= table.Emergency || table.Emergency == 0 {
		t.Errorf("lines %+v", table)
	}
	var names []string
	for i, g := range table.Tiers {
		names = append(names, g.Tier)
		if g.Cgroup != "tiers.slice/"+g.Tier+".service" || g.MainPID != 100+i || g.Charge == 0 {
			t.Errorf("%+v", g)
		}
		if g.Busy != g.IdleSince.IsZero() || g.Busy != (g.Tier == "coder") {
			t.Errorf("%s: busy %v, idle since %v", g.Tier, g.Busy, g.IdleSince)
		}
		if i > 0 && g.Priority <= table.Tiers[i-1].Priority {
			t.Errorf("%s comes too late", g.Tier)
		}
	}
	if !slices.Equal(names, trial.Tiers) {
		t.Errorf("tiers %v", names)
	}
	s, _ = trial.Find("f")
	if busy := tableOf(s, someUnits(), now).Tiers[0]; !busy.Busy || !busy.IdleSince.IsZero() {
		t.Errorf("reviewer with requests in flight is %+v", busy)
	}
}

// TestTheStandInSpeaksAsTierdDoes dials it as the guard does.
func TestTheStandInSpeaksAsTierdDoes(t *testing.T) {
	s, _ := trial.Find("a")
	want := tableOf(s, someUnits(), time.Now())
	tierd, err := newStandIn(filepath.Join(t.TempDir(), "guard.sock"), want)
	if err != nil {
		t.Fatal(err)
	}
	defer tierd.listener.Close()
	conn, err := net.Dial("unix", tierd.path())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in, out := json.NewDecoder(bufio.NewReader(conn)), json.NewEncoder(conn)
	var table, ask api.GuardOrder
	if err := errors.Join(in.Decode(&table), in.Decode(&ask)); err != nil {
		t.Fatal(err)
	}
	if table.Table == nil || len(table.Table.Tiers) != len(want.Tiers) || table.Table.Soft != want.Soft || ask.Ask != "state" {
		t.Fatalf("%+v, %+v", table, ask)
	}
	say := func(w api.GuardWord) {
		if err := out.Encode(w); err != nil {
			t.Fatal(err)
		}
	}
	say(api.GuardWord{State: &api.GuardState{Why: "not yet"}})
	if err := in.Decode(&ask); err != nil || ask.Ask != "state" {
		t.Fatalf("it is not asked again: %+v, %v", ask, err)
	}
	now := time.Now()
	say(api.GuardWord{Event: &api.GuardEvent{Time: now, Kind: "stop", Tier: "orch", Text: "it gives way"}})
	say(api.GuardWord{State: &api.GuardState{Armed: true, Soft: trial.Soft, Hard: trial.Hard}})
	if err := tierd.awaitArmed(); err != nil {
		t.Fatal(err)
	}
	if said := tierd.said(now.Add(-2 * time.Second)); !slices.Equal(said, []string{"2000 ms, stop orch: it gives way"}) {
		t.Errorf("kept %q", said)
	}
}

func TestAGuardWithOtherLinesIsNotCompared(t *testing.T) {
	tierd := &standIn{armed: make(chan api.GuardState, 1)}
	tierd.armed <- api.GuardState{Armed: true, Soft: trial.Soft + 1, Hard: trial.Hard}
	if err := tierd.awaitArmed(); err == nil {
		t.Error("its figures would be compared")
	}
}
