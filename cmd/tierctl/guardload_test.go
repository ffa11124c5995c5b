package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/agent/api"
)

const mib = 1 << 20

// TestLoad lets a load take of a host's memory that is only a number.
func TestLoad(t *testing.T) {
	for _, tt := range []struct {
		rule   string
		load   load
		holdAt uint64 // taken, at which it is told to hold; 0: never
		end    string // the phase at the end
		taken  uint64
		within time.Duration // that it lasts, but for holding
	}{
		{"far from the lines it takes without a pause, then at its pace", load{size: 600 * mib, quick: 500 * mib, rate: 100 * mib}, 0, "holding", 600 * mib, time.Second},
		{"it takes no more than its size", load{size: 10 * mib, quick: 2000 * mib, rate: 100 * mib}, 0, "holding", 10 * mib, 100 * time.Millisecond},
		{"it holds when it is told to", load{size: 600 * mib, quick: 2000 * mib, rate: 100 * mib}, 50 * mib, "holding", 50 * mib, 500 * time.Millisecond},
		{"below the floor it ends", load{size: 600 * mib, quick: 2000 * mib, rate: 100 * mib, floor: 900 * mib}, 0, "floor", 100 * mib, time.Second},
		{"also where there is no pause", load{size: 900 * mib, quick: 100 * mib, rate: 100 * mib, floor: 500 * mib}, 0, "floor", 512 * mib, 0},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var last loadReport
				available := uint64(1000 * mib)
				tt.load.available = func() (uint64, error) { return available, nil }
				tt.load.take = func(n uint64) error { available -= n; return nil }
				hold := make(chan struct{})
				begun, held := time.Now(), time.Time{}
				err := tt.load.run(ctx, hold, func(r loadReport) error {
					if r.Available != available || r.Taken != 1000*mib-available {
						t.Errorf("reports %+v where %d is available", r, available)
					}
					if last = r; tt.holdAt > 0 && r.Taken >= tt.holdAt && hold != nil {
						close(hold)
						hold = nil
					}
					if r.Phase == "holding" && held.IsZero() {
						held = time.Now()
						time.AfterFunc(time.Second, cancel)
					}
					return nil
				})
				if held.IsZero() {
					held = time.Now()
				}
				if err != nil || last.Phase != tt.end || last.Taken < tt.taken || last.Taken > tt.taken+mib {
					t.Errorf("%+v, %v", last, err)
				}
				if took := held.Sub(begun); took > tt.within+20*time.Millisecond || took < tt.within-20*time.Millisecond {
					t.Errorf("took %s", took)
				}
			})
		})
	}
}

func TestLoadEndsWithItsErrors(t *testing.T) {
	gone := errors.New("gone")
	fine := func() (uint64, error) { return 100 * mib, nil }
	for rule, l := range map[string]load{
		"memory that cannot be read":  {available: func() (uint64, error) { return 0, gone }},
		"memory that cannot be taken": {size: mib, available: fine, take: func(uint64) error { return gone }},
	} {
		if err := l.run(t.Context(), nil, func(loadReport) error { return nil }); !errors.Is(err, gone) {
			t.Errorf("%s: %v", rule, err)
		}
	}
	if err := (load{available: fine}).run(t.Context(), nil, func(loadReport) error { return gone }); !errors.Is(err, gone) {
		t.Errorf("nobody to report to: %v", err)
	}
}

// TestLoadProcess takes real memory in a real process.
func TestLoadProcess(t *testing.T) {
	p, err := startLoad(load{size: 64 * mib, quick: 1, rate: mib}, false)
	if err != nil {
		t.Fatal(err)
	}
	defer p.end()
	for r := range p.reports() {
		if r.Taken == 64*mib && r.Phase == "holding" {
			break
		}
	}
	pid := childOf(t, os.Getpid())
	if adj := readProc(t, pid, "oom_score_adj"); strings.TrimSpace(adj) != "1000" {
		t.Errorf("oom_score_adj is %s", adj)
	}
	if fields := strings.Fields(readProc(t, pid, "statm")); len(fields) < 2 || number(t, fields[1])*os.Getpagesize() < 64*mib {
		t.Errorf("it holds %v pages", fields)
	}
	handle := watchProcess(t, pid)
	p.end()
	awaitEnd(t, handle)
}

// TestLoadDiesWithItsParent kills the one that asked, which can then tell nobody.
func TestLoadDiesWithItsParent(t *testing.T) {
	available, err := availableNow()
	if err != nil {
		t.Fatal(err)
	}
	if available < 4<<30 {
		t.Skipf("only %s is available here, too little to take some of it", size(available))
	}
	state := api.GuardState{Armed: true, Soft: available - 32*mib, Hard: 64 * mib, Order: []api.GuardVictim{{Tier: "reviewer"}}}
	text, err := json.Marshal(api.Guard{Enabled: true, Connected: true, State: &state})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "guard.json")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	socket := serveFake(t, map[string][]string{"GET /v1/guard": {"200 @" + fromTestdata(t, file)}})
	cmd := exec.Command("tierctl", "guard", "test", "--yes", "--size", "2GiB", "--rate", "1MiB/s", "--seconds", "60", "--socket", socket)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	if _, err := stderr.Read(make([]byte, 4096)); err != nil { // the explanation: what follows is the load
		t.Fatal(err)
	}
	handle := watchProcess(t, childOf(t, cmd.Process.Pid))
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	awaitEnd(t, handle)
}

// fromTestdata is a file as a fake control server names it.
func fromTestdata(t *testing.T, file string) string {
	t.Helper()
	here, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	name, err := filepath.Rel(here, file)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// childOf waits for the one child of a process.
func childOf(t *testing.T, parent int) int {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		entries, err := os.ReadDir("/proc")
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
			if err != nil {
				continue
			}
			_, rest, _ := strings.Cut(string(stat), ") ")
			if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
				return number(t, e.Name())
			}
		}
	}
	t.Fatalf("process %d has no child", parent)
	return 0
}

func readProc(t *testing.T, pid int, file string) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func watchProcess(t *testing.T, pid int) (pidfd int) {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatalf("process %d is gone already: %v", pid, err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// awaitEnd returns when the process has ended: its descriptor becomes readable then (pidfd_open(2)).
func awaitEnd(t *testing.T, pidfd int) {
	t.Helper()
	const patience = 20_000 // milliseconds
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, patience)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n != 1 {
			t.Errorf("the process that takes the memory lives on: %d, %v", n, err)
		}
		return
	}
}
