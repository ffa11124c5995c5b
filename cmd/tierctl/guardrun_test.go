package main

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

// fakeGuard acts on the memory of this machine: it gives back what it holds itself when less than its soft line is available.
type fakeGuard struct {
	control
	mu    sync.Mutex
	state api.GuardState
	tier  []byte // nil: it does nothing
	done  []api.GuardEvent
}

// newFakeGuard has its soft line a little below what is available now.
func newFakeGuard(t *testing.T, below, holds uint64) *fakeGuard {
	t.Helper()
	g := &fakeGuard{done: []api.GuardEvent{{Time: noon, Kind: "ask", Tier: "reviewer", Text: "what was before"}}}
	if holds > 0 {
		mem, err := unix.Mmap(-1, 0, int(holds), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		if err != nil {
			t.Fatal(err)
		}
		fill(mem)
		g.tier = mem
		t.Cleanup(func() { g.giveUp() })
	}
	available, err := availableNow()
	if err != nil {
		t.Fatal(err)
	}
	if available < 4<<30 {
		t.Skipf("only %s is available here, too little to take some of it", units.Bytes(available))
	}
	g.state = api.GuardState{Armed: true, Soft: available - below, Hard: 64 * mib, Emergency: 32 * mib, Refuse: available,
		Order: []api.GuardVictim{{Tier: "reviewer", Why: "idle for 9m"}}}
	return g
}

func (g *fakeGuard) giveUp() {
	if g.tier != nil {
		_ = unix.Munmap(g.tier)
		g.tier = nil
	}
}

func (g *fakeGuard) Guard(context.Context) (api.Guard, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	available, err := availableNow()
	if err == nil && available < g.state.Soft && (g.tier != nil || g.state.DryRun) {
		g.giveUp()
		g.done = append(g.done, api.GuardEvent{Time: time.Now(), Kind: "ask", Tier: "reviewer", Text: "reviewer gives way: it is idle", DryRun: g.state.DryRun})
	}
	state := g.state
	return api.Guard{Enabled: true, Connected: true, State: &state, Recent: append([]api.GuardEvent(nil), g.done...)}, err
}

// TestGuardTest takes real memory, up to a gigabyte. Other programs take and free some meanwhile, so that a run may miss the
// line: three are enough.
func TestGuardTest(t *testing.T) {
	for _, tt := range []struct {
		rule   string
		below  uint64
		holds  uint64
		dryRun bool
		size   units.Bytes
		end    string
		status int
		says   []string
	}{
		{rule: "the guard acts and memory comes back", below: 200 * mib, holds: 600 * mib, size: units.GiB,
			end: "back", says: []string{"ms after it fell below the soft line the guard acted: reviewer gives way: it is idle", "memory was back above the soft line", "All of it is given back."}},
		{rule: "a guard that only tells", below: 100 * mib, dryRun: true, size: units.GiB,
			end: "dry-run", says: []string{"the guard acted: reviewer gives way"}},
		{rule: "a guard that does nothing", below: 100 * mib, size: 300 * units.MiB,
			end: "no-action", status: exitFailed, says: []string{"the guard did not act, though less than", "journalctl -u tier-guard.service"}},
		{rule: "too little to reach the line", below: 3000 * mib, size: 16 * units.MiB,
			end: "not-reached", status: exitFailed, says: []string{"nothing: that does not reach the soft line", "the soft line was not reached", "--size"}},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			var r loadResult
			var status int
			var said string
			for range 3 {
				g := newFakeGuard(t, tt.below, tt.holds)
				g.state.DryRun = tt.dryRun
				if r, status, said = tryGuard(t, g, tt.size); r.End == tt.end {
					break
				}
			}
			if r.End != tt.end || status != tt.status {
				t.Errorf("ended %q with status %d, want %q and %d:\n%s", r.End, status, tt.end, tt.status, said)
			}
			if tt.end == "back" && (r.Delay == nil || r.Back == nil || r.Taken < tt.below/2 || r.Lowest >= r.Before || len(r.Events) != 1) {
				t.Errorf("%+v", r)
			}
			for _, want := range tt.says {
				if !strings.Contains(said, want) {
					t.Errorf("it does not say %q:\n%s", want, said)
				}
			}
		})
	}
}

// tryGuard runs one test, and returns all that the command would say.
func tryGuard(t *testing.T, g *fakeGuard, size units.Bytes) (r loadResult, status int, said string) {
	t.Helper()
	var out strings.Builder
	a := newApp()
	a.stdout, a.stderr = &out, &out
	available, err := availableNow()
	if err != nil {
		t.Fatal(err)
	}
	test := newLoadTest(g.state, available, loadWish{size: sizeFlag{bytes: size}, rate: sizeFlag{bytes: 500 * units.MiB}, seconds: 2})
	out.WriteString(test.explanation())
	r, err = test.run(t.Context(), g)
	if err == nil {
		a.printLoadResult(r)
		err = test.verdict(r)
	}
	a.report(err)
	return r, exitStatus(err), out.String()
}

func TestWhatAGuardTestSaysBeforehand(t *testing.T) {
	s := api.GuardState{Soft: 8 << 30, Hard: 4 << 30, Order: []api.GuardVictim{{Tier: "reviewer", Why: "idle for 9m, priority 40"}}}
	wish := loadWish{rate: sizeFlag{bytes: 500 * units.MiB}, seconds: 30}
	got := newLoadTest(s, 20<<30, wish).explanation()
	want := `This takes memory of this machine until the guard acts.

  How much   up to 13GiB of the 20GiB that are available now, down to 7GiB; the soft line is 8GiB
  How fast   without a pause down to 8.98GiB, then 500MiB a second, for 30s at most
  Expected   reviewer gives way (idle for 9m, priority 40); its requests wait until it may come back
  Bounds     all is given back then, below 4GiB (the hard line), and at Ctrl-C; the kernel would
             end the process that takes it before any other

`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	s.DryRun = true
	if got := newLoadTest(s, 17<<29, wish).explanation(); !strings.Contains(got, "touches nothing (dry run)") || strings.Contains(got, "without a pause") {
		t.Errorf("got\n%s", got)
	}
}

// TestHowAGuardTestEnds goes by what the load and the guard report.
func TestHowAGuardTestEnds(t *testing.T) {
	at := func(ms int) time.Time { return noon.Add(time.Duration(ms) * time.Millisecond) }
	test := newLoadTest(api.GuardState{Soft: 800, Hard: 400}, 1000, loadWish{seconds: 1})
	acted := &api.GuardEvent{Time: at(12), Kind: "ask"}
	for _, tt := range []struct {
		rule    string
		action  *api.GuardEvent
		reports []loadReport
		end     string
		delay   float64
		back    float64
	}{
		{"above the line nothing has happened yet", nil, []loadReport{{at(0), 100, 900, "paced"}}, "", -1, -1},
		{"all is taken, and the line is far", nil, []loadReport{{at(0), 100, 900, "holding"}}, "not-reached", -1, -1},
		{"all is taken below the line: the guard has its time", nil, []loadReport{{at(0), 200, 800, "holding"}}, "", -1, -1},
		{"memory is back", acted, []loadReport{{at(0), 200, 800, "paced"}, {at(20), 210, 790, "holding"}, {at(112), 210, 900, "holding"}}, "back", 12, 100},
		{"the guard saw it first", acted, []loadReport{{at(15), 200, 800, "paced"}, {at(112), 210, 900, "holding"}}, "back", 0, 100},
		{"below the floor", acted, []loadReport{{at(20), 600, 399, "floor"}}, "floor", 0, -1},
	} {
		r := loadResult{Lowest: 1000, Action: tt.action}
		for _, report := range tt.reports {
			test.note(&r, report)
		}
		value := func(p *float64) float64 {
			if p == nil {
				return -1
			}
			return *p
		}
		if r.End != tt.end || value(r.Delay) != tt.delay || value(r.Back) != tt.back {
			t.Errorf("%s: %q after %v, back after %v", tt.rule, r.End, value(r.Delay), value(r.Back))
		}
	}
}
