package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/tierd/tierd/packaging/guardbench/trial"
)

// attempt is one scenario under one guard.
type attempt struct {
	trial.Run
	scenario trial.Scenario
	tiers    []*unit
	leaker   *unit   // one of the tiers, or the load
	watched  []*unit // tiers, and the load if there is one
}

func newAttempt(r trial.Run) (*attempt, error) {
	s, ok := trial.Find(r.Scenario)
	if !ok {
		return nil, fmt.Errorf("there is no scenario %q", r.Scenario)
	}
	return &attempt{Run: r, scenario: s}, nil
}

// run makes everything ready, lets the load go, looks on, and cleans up.
func (t *attempt) run() (*trial.Record, error) {
	begin := time.Now()
	if err := t.clear(); err != nil {
		return nil, err
	}
	if err := t.populate(); err != nil {
		return nil, err
	}
	tierd, err := newStandIn(benchPath("guard.sock"), tableOf(t.scenario, t.tiers, time.Now()))
	if err != nil {
		return nil, err
	}
	defer tierd.listener.Close()
	g, err := startGuard(t.Guard, tierd)
	if err != nil {
		return nil, err
	}
	r := &trial.Record{Run: t.Run, RSS: g.resident()}
	gone, err := t.watch(r, begin)
	if err != nil {
		return nil, err
	}
	begin = time.Now()
	r.Words = tierd.said(gone)
	if g.pid > 0 {
		left := g.resident()
		r.RSS, r.Crashed = max(r.RSS, left), left == 0
	}
	if r.Broken = !systemdLives(); !r.Broken {
		if err := t.leaker.end(); err != nil {
			return nil, err
		}
	}
	r.Cleanup = time.Since(begin).Seconds()
	return r, nil
}

// clear ends what an earlier run may have left, apart from tiers.
func (t *attempt) clear() error {
	if err := stopGuards(); err != nil {
		return err
	}
	if err := (&unit{name: trial.Load, slice: loadSlice}).end(); err != nil {
		return err
	}
	if err := setSwap(t.scenario.Zram, endTiers); err != nil {
		return err
	}
	return os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0)
}

// populate has all processes ready.
func (t *attempt) populate() (err error) {
	if t.tiers, err = ensureTiers(t.scenario); err != nil {
		return err
	}
	t.watched = t.tiers
	if t.scenario.By == trial.Load {
		t.leaker, err = startLoad(t.scenario)
		t.watched = append(t.watched, t.leaker)
		return err
	}
	for _, u := range t.tiers {
		if u.name == t.scenario.By {
			t.leaker = u
		}
	}
	return nil
}

// systemdLives asks systemd for something. Where memory was gone altogether its first process may have ended by a fault, and
// the kernel goes on without it.
func systemdLives() bool {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return exec.CommandContext(ctx, "systemctl", "show", "-P", "Version").Run() == nil
}

// watch is the run proper. It returns when the load was let go.
func (t *attempt) watch(r *trial.Record, began time.Time) (gone time.Time, err error) {
	if r.Total, err = meminfo("MemTotal:"); err != nil {
		return gone, err
	}
	if r.Start, err = t.awaitMemory(); err != nil {
		return gone, err
	}
	before, err := procField("/proc/vmstat", "oom_kill ")
	if err != nil {
		return gone, err
	}
	fast, wanted := t.amounts(r.Start)
	r.Cap = wanted
	limit := longest
	if t.scenario.Endless {
		limit = endless
	}
	s, err := newSampler(t.leaker, t.watched, limit)
	if err != nil {
		return gone, err
	}
	defer s.close()
	r.Setup = time.Since(began).Seconds()
	err = s.watch(func() {
		gone = time.Now()
		t.leaker.page.begin(uint64(fast), uint64(wanted))
	})
	if err != nil {
		return gone, err
	}
	s.seen(r)
	now, err := procField("/proc/vmstat", "oom_kill ")
	r.OOMKills = now - before
	return gone, err
}

// amounts are what the load takes at once, and in all: whole MiB, since the load takes no less than 64 KiB at a time.
func (t *attempt) amounts(available int64) (fast, limit int64) {
	available = available / mib * mib
	limit = available + 150*mib
	switch s := t.scenario; {
	case s.Kind == "cache":
		limit = 4 << 30
		return limit, limit
	case s.Endless:
		limit = 2600 * mib
	case s.Rate == trial.Fast:
		return limit, limit
	}
	return max(available-trial.Soft-150*mib, 0), limit
}

// awaitMemory waits until what the run before has taken is free again: enough is available, and it grows no more.
func (t *attempt) awaitMemory() (available int64, err error) {
	most, since := int64(0), time.Now()
	enough, err := within(8*time.Second, func() (bool, error) {
		if available, err = meminfo("MemAvailable:"); err != nil {
			return false, err
		}
		if available > most+4*mib {
			most, since = available, time.Now()
		}
		return available > 700*mib && time.Since(since) > 100*time.Millisecond, nil
	})
	if err == nil && !enough {
		err = fmt.Errorf("only %d MiB are available before the load", available/mib)
	}
	return available, err
}

func endTiers() error {
	for _, t := range tiers {
		if err := (&unit{name: t.name, slice: tiersSlice}).end(); err != nil {
			return err
		}
	}
	return nil
}
