package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

// machine has memory that is only a number: a load takes of it, and a guard gives back what its tier holds.
type machine struct {
	control
	mu        sync.Mutex
	available uint64
	tier      uint64        // held by the tier that gives way
	delay     time.Duration // until the guard acts; 0: it never does
	frees     time.Duration // until the tier's memory is back
	state     api.GuardState
	done      []api.GuardEvent
	dies      uint64 // taken, at which the load is killed; 0: never
	crossed   bool
}

func (m *machine) add(n uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.available += n
}

func (m *machine) look() (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.available, nil
}

func (m *machine) take(n uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.available -= n
	if m.available < m.state.Soft && !m.crossed && m.delay > 0 {
		m.crossed = true
		time.AfterFunc(m.delay, m.act)
	}
	return nil
}

func (m *machine) act() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done = append(m.done, api.GuardEvent{Time: time.Now(), Kind: "stop", Tier: "reviewer", Text: "reviewer gives way: it is idle", DryRun: m.state.DryRun})
	if !m.state.DryRun && m.frees > 0 {
		time.AfterFunc(m.frees, func() { m.add(m.tier) })
	}
}

func (m *machine) Guard(context.Context) (api.Guard, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	state := m.state
	return api.Guard{Enabled: true, Connected: true, State: &state, Recent: slices.Clone(m.done)}, nil
}

// fakeLoad is a load without a process.
type fakeLoad struct {
	out    chan loadReport
	holds  chan struct{}
	cancel context.CancelFunc
	err    error
}

func (m *machine) start(l load, _ bool) (taker, error) {
	ctx, cancel := context.WithCancel(context.Background())
	f := &fakeLoad{out: make(chan loadReport), holds: make(chan struct{}), cancel: cancel}
	l.available, l.take = m.look, m.take
	go func() {
		defer close(f.out)
		var taken uint64
		f.err = l.run(ctx, f.holds, func(r loadReport) error {
			taken = r.Taken
			if m.dies > 0 && taken >= m.dies {
				return errors.New("signal: killed")
			}
			select {
			case f.out <- r:
			case <-ctx.Done():
			}
			return nil
		})
		m.add(taken)
	}()
	return f, nil
}

func (f *fakeLoad) reports() <-chan loadReport { return f.out }
func (f *fakeLoad) hold()                      { close(f.holds) }
func (f *fakeLoad) why() string                { return f.err.Error() }
func (f *fakeLoad) end() {
	f.cancel()
	for range f.out {
	}
}

func TestGuardTest(t *testing.T) {
	for _, tt := range []struct {
		rule    string
		machine *machine
		size    units.Bytes
		end     string
		status  int
		says    []string
	}{
		{rule: "the guard acts and memory comes back", machine: &machine{delay: 12 * time.Millisecond, frees: 600 * time.Millisecond}, end: "back",
			says: []string{"12 ms after it fell below the soft line the guard acted: reviewer gives way: it is idle.", "603", " ms later memory was back above the soft line", "All of it is given back."}},
		{rule: "memory does not come back", machine: &machine{delay: 12 * time.Millisecond}, end: "not-back", status: exitFailed,
			says: []string{"20s after the guard acted less than 8GiB was available still", "All of it is given back."}},
		{rule: "a guard that only tells", machine: &machine{delay: 12 * time.Millisecond, state: api.GuardState{DryRun: true}}, end: "dry-run",
			says: []string{"touches nothing (dry run)", "the guard acted: reviewer gives way"}},
		{rule: "a guard that does nothing", machine: &machine{}, end: "no-action", status: exitFailed,
			says: []string{"the guard did not act, though less than 8GiB was available", "hint: journalctl -u tier-guard.service"}},
		{rule: "a guard that is too slow for what is taken", machine: &machine{delay: time.Minute}, size: 20 * units.GiB, end: "floor", status: exitFailed,
			says: []string{"less than 4GiB, the hard line, was available before memory was back: the load was taken away"}},
		{rule: "too little to reach the line", machine: &machine{}, size: 16 * units.MiB, end: "not-reached", status: exitFailed,
			says: []string{"nothing: that does not reach the soft line", "the soft line was not reached", "--size"}},
		{rule: "the kernel takes the load", machine: &machine{dies: 2 << 30}, end: "ended", status: exitFailed,
			says: []string{"the process that takes the memory ended, at ", ": signal: killed", "hint: the kernel, or a program such as earlyoom"}},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := tt.machine
				m.available, m.tier = 20<<30, 4<<30
				m.state.Soft, m.state.Hard, m.state.Order = 8<<30, 4<<30, []api.GuardVictim{{Tier: "reviewer", Why: "idle for 9m"}}
				m.done = []api.GuardEvent{{Time: noon, Kind: "ask", Tier: "reviewer", Text: "what was before"}}
				r, status, said := tryGuard(t, m, tt.size)
				if r.End != tt.end || status != tt.status {
					t.Errorf("ended %q with status %d, want %q and %d:\n%s", r.End, status, tt.end, tt.status, said)
				}
				for _, want := range tt.says {
					if !strings.Contains(said, want) {
						t.Errorf("it does not say %q:\n%s", want, said)
					}
				}
				synctest.Wait()
				if left, _ := m.look(); left < 20<<30 {
					t.Errorf("%s is still taken", size(20<<30-left))
				}
			})
		})
	}
}

// tryGuard runs one test, and returns all that the command would say.
func tryGuard(t *testing.T, m *machine, size units.Bytes) (r loadResult, status int, said string) {
	t.Helper()
	var out strings.Builder
	a := newApp()
	a.stdout, a.stderr = &out, &out
	test := newLoadTest(m.state, m.available, loadWish{size: sizeFlag{bytes: size}, rate: sizeFlag{bytes: 500 * units.MiB}, seconds: 30})
	test.start = m.start
	out.WriteString(test.explanation())
	r, err := test.run(t.Context(), m)
	if err == nil {
		a.printLoadResult(r)
		err = test.verdict(r)
	}
	a.report(err)
	return r, exitStatus(err), out.String()
}

// TestGuardTestIsInterrupted: whatever was taken is given back.
func TestGuardTestIsInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &machine{available: 20 << 30, state: api.GuardState{Soft: 8 << 30, Hard: 4 << 30, Order: []api.GuardVictim{{}}}}
		test := newLoadTest(m.state, m.available, loadWish{rate: sizeFlag{bytes: units.MiB}, seconds: 30})
		test.start = m.start
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := test.run(ctx, m)
		if left, _ := m.look(); !errors.Is(err, context.DeadlineExceeded) || left != 20<<30 {
			t.Errorf("%v, and %s available", err, size(left))
		}
	})
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
		{"all is taken below the line: the guard has its time", nil, []loadReport{{at(0), 200, 799, "holding"}}, "", -1, -1},
		{"memory is back", acted, []loadReport{{at(0), 200, 799, "paced"}, {at(5), 210, 790, "paced"}, {at(20), 210, 790, "holding"}, {at(112), 210, 900, "holding"}}, "back", 12, 100},
		{"the guard saw it first", acted, []loadReport{{at(15), 200, 799, "paced"}, {at(112), 210, 900, "holding"}}, "back", 0, 100},
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
