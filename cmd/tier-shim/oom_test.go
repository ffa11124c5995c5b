package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestOOMCounts(t *testing.T) {
	for _, row := range []struct {
		rule, events string
		want         oomCount
	}{
		{"a group that never was short", "low 0\nhigh 0\nmax 0\noom 0\noom_kill 0\noom_group_kill 0\n", oomCount{0, 0}},
		{"its own limit", "low 0\nhigh 9\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n", oomCount{3, 2}},
		{"reclaim at the limit is no shortage", "low 0\nhigh 900\nmax 12\noom 0\noom_kill 0\n", oomCount{0, 0}},
		{"a shortage of the host", "low 0\nhigh 0\nmax 0\noom 0\noom_kill 1\noom_group_kill 0\n", oomCount{0, 1}},
		{"an older kernel", "oom 1\noom_kill 1\n", oomCount{1, 1}},
		{"no number", "oom x\noom_kill -1\noom_kill 4\n", oomCount{0, 0}},
		{"nothing", "", oomCount{0, 0}},
	} {
		group := cgroup(t.TempDir())
		events(t, group, row.events)
		if got := group.ooms(); got != row.want {
			t.Errorf("%s: got %+v, want %+v", row.rule, got, row.want)
		}
	}
}

func events(t *testing.T, group cgroup, text string) {
	t.Helper()
	if err := os.WriteFile(string(group)+"/memory.events", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsNotThereIsNotKnown(t *testing.T) {
	for _, group := range []cgroup{"", cgroup(t.TempDir())} {
		if n := group.ooms(); n != (oomCount{}) || group.max() != 0 || group.killed(t.Context(), n) != nil {
			t.Errorf("%q: %+v, %d", group, n, group.max())
		}
	}
}

func TestTheLimitOfAGroup(t *testing.T) {
	for text, want := range map[string]uint64{"max\n": 0, "2818572288\n": 2818572288, "": 0} {
		group := cgroup(t.TempDir())
		if err := os.WriteFile(string(group)+"/memory.max", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := group.max(); got != want {
			t.Errorf("%q is %d", text, got)
		}
	}
}

func TestAKillIsTold(t *testing.T) {
	group := cgroup(t.TempDir())
	events(t, group, "oom 1\noom_kill 1\n")
	told := group.killed(t.Context(), group.ooms())
	events(t, group, "high 5\noom 1\noom_kill 1\n")
	select {
	case <-told:
		t.Fatal("of a kill from before")
	default:
	}
	events(t, group, "high 5\noom 2\noom_kill 2\n")
	select {
	case <-told:
	case <-time.After(patience):
		t.Fatal("nothing was told")
	}
}

func TestAKillBetweenCountAndWatchIsTold(t *testing.T) {
	group := cgroup(t.TempDir())
	events(t, group, "oom 1\noom_kill 1\n")
	select {
	case <-group.killed(t.Context(), oomCount{}):
	case <-time.After(patience):
		t.Fatal("nothing was told")
	}
}

func TestNobodyWatchesAfterTheEnd(t *testing.T) {
	before := openFiles(t)
	ctx, cancel := context.WithCancel(context.Background())
	group := cgroup(t.TempDir())
	events(t, group, "oom 0\noom_kill 0\n")
	told := group.killed(ctx, oomCount{})
	cancel()
	for deadline := time.Now().Add(patience); openFiles(t) > before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d files are open, %d were", openFiles(t), before)
		}
	}
	select {
	case <-told:
		t.Error("a kill that never was")
	default:
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestWhoseMemoryWasShortDecides(t *testing.T) {
	limited := cgroup(t.TempDir())
	if err := os.WriteFile(string(limited)+"/memory.max", []byte("2818572288\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		rule    string
		group   cgroup
		variant string
		memory  uint64
		n       oomCount
		status  int
		text    string
	}{
		{"nobody was killed", limited, "llama", 2684354560, oomCount{}, 0, ""},
		{"the limit was met and nobody killed", limited, "llama", 2684354560, oomCount{limit: 1}, 0, ""},
		{"the unit's own", limited, "llama", 2684354560, oomCount{2, 1}, 71,
			"The engine took more than its limit of 2.6 GiB and the kernel ended it: raise `memory` of utility/llama in tiers.toml, or lower context or parallel"},
		{"of a unit from before an upgrade", limited, "", 2684354560, oomCount{2, 1}, 71,
			"The engine took more than its limit of 2.6 GiB and the kernel ended it: raise `memory` of utility in tiers.toml, or lower context or parallel"},
		{"a limit that is gone by now", "", "llama", 2684354560, oomCount{1, 1}, 71,
			"The engine took more than its limit and the kernel ended it: raise `memory` of utility/llama in tiers.toml, or lower context or parallel"},
		{"of a GPU tier", limited, "rocm", 40 << 30, oomCount{2, 1}, 71,
			"The engine took more of the host's RAM than the 2.6 GiB that its unit allows (MemoryMax=) and the kernel ended it: lower context or parallel of utility/rocm in tiers.toml, or raise the limit by `systemctl edit`"},
		{"of a small one on the GPU, or a drop-in's", limited, "rocm", 1 << 30, oomCount{2, 1}, 71,
			"The engine took more of the host's RAM than the 2.6 GiB that its unit allows (MemoryMax=) and the kernel ended it: lower context or parallel of utility/rocm in tiers.toml, or raise the limit by `systemctl edit`"},
		{"the host's", limited, "llama", 2684354560, oomCount{0, 1}, 137, "The kernel's OOM killer ended the engine: the host was out of memory"},
	} {
		s := &shim{opts: options{tier: "utility", variant: row.variant, memory: row.memory}, cgroup: row.group}
		got := s.outOfMemory(row.n)
		if got == nil {
			got = &end{}
		}
		if got.status != row.status || got.text != row.text {
			t.Errorf("%s: %d %q", row.rule, got.status, got.text)
		}
	}
}

// group makes the cgroup of a bed's shim, with its counters at zero and a limit.
func (b *bed) group() cgroup {
	b.t.Helper()
	group := cgroup(filepath.Join(b.dir, "cgroup"))
	if err := os.Mkdir(string(group), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(string(group)+"/memory.max", []byte("268435456\n"), 0o644); err != nil {
		b.t.Fatal(err)
	}
	events(b.t, group, "oom 0\noom_kill 0\n")
	b.t.Setenv("SHIM_TEST_CGROUP", string(group))
	return group
}

func TestAReadyEngineThatLosesAHelperToItsLimitIsABudgetError(t *testing.T) {
	b := newBed(t)
	group := b.group()
	b.tierd(yes)
	b.run([]string{"--variant=v", "--memory=250000000"}, "--child")
	b.await("READY=1")
	events(t, group, "high 3\nmax 9\noom 1\noom_kill 1\n") // the main process lives on
	b.wantEnd(71, "more than its limit of 256 MiB and the kernel ended it: raise `memory` of t/v in tiers.toml")
	b.gone(b.pidIn("engine"))
	b.gone(b.pidIn("helper"))
}

func TestALoadingEngineThatLosesAHelperToTheHostWasKilled(t *testing.T) {
	b := newBed(t)
	group := b.group()
	b.tierd(yes)
	b.run(nil, "--never", "--child")
	helper := b.pidIn("helper")
	events(t, group, "oom 0\noom_kill 1\n")
	b.wantEnd(137, "the host was out of memory")
	b.gone(helper)
}

func TestAnEngineThatExitsWellOverAKillWasKilled(t *testing.T) {
	b := newBed(t)
	group := b.group()
	b.tierd(yes)
	b.run([]string{"--memory=250000000"})
	b.await("READY=1")
	events(t, group, "max 1\noom 1\noom_kill 1\n")
	newProber("llama", b.socket, "").ask(t.Context(), "POST", "/test/exit/0", nil, nil) // nobody is left to answer
	b.wantEnd(71, "more than its limit")
}

func TestKillsOfAnEarlierStartDoNotCount(t *testing.T) {
	b := newBed(t)
	events(t, b.group(), "max 9\noom 2\noom_kill 2\n")
	b.tierd(yes)
	b.run(nil, "--exit=0").wantEnd(70, "ended by itself")
}

func TestTheKernelTakesTheEngineBeforeTheShim(t *testing.T) {
	b := newBed(t)
	b.tierd(yes)
	b.run(nil, "--child").await("READY=1")
	own := score(t, os.Getpid())
	if got := score(t, b.cmd.Process.Pid); got != own {
		t.Errorf("the shim has %d, its parent %d", got, own)
	}
	for _, name := range []string{"engine", "helper"} {
		if got := score(t, b.pidIn(name)); got != min(own+engineFirst, 1000) {
			t.Errorf("the %s has %d, the shim %d", name, got, own)
		}
	}
}

func TestWhereTheKernelNeverTakesTheShimTheEngineHasTheScoreOfItsRank(t *testing.T) {
	tests := []struct{ own, rank, want int }{
		{untouchable, 660, 660},
		{untouchable, 0, 0},
		{300, 660, 350}, // an administrator's score of the unit
		{-500, 660, -450},
		{980, 660, 1000},
	}
	for _, test := range tests {
		if got := victimScore(test.own, test.rank); got != test.want {
			t.Errorf("a shim of %d and the rank %d: %d, want %d", test.own, test.rank, got, test.want)
		}
	}
}

func score(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid))
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func FuzzCounter(f *testing.F) {
	f.Add("low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n", "oom_kill")
	f.Add("oom 99999999999999999999\n", "oom")
	f.Fuzz(func(t *testing.T, text, name string) {
		if n := counter(text, name); n < 0 {
			t.Errorf("%q of %q is %d", name, text, n)
		}
	})
}
