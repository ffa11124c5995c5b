package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/tierd/tierd/agent/api/guardwire"
	"github.com/tierd/tierd/agent/guard"
	"golang.org/x/sys/unix"
)

// why the guard is not armed, and what to do; "" when it is.
func (k *keeper) why() string {
	switch {
	case k.hot.counts.blind.Load():
		return "the kernel does not tell how much memory is available (/proc/meminfo)"
	case k.disarmedWhy != "":
		return k.disarmedWhy
	case !k.proof.proven:
		return "it is still trying out on a child of its own whether it could act"
	}
	return k.lostWhy
}

// status is for systemctl. It has no figure that changes by itself: each change wakes everybody who watches the unit.
func (k *keeper) status() {
	what := "Armed"
	switch why := k.why(); {
	case why != "":
		what = "Not armed: " + why
	case k.table.pace.DryRun:
		what = "Dry run"
	}
	of := ", by what was heard last"
	switch {
	case !k.silent:
		of = ""
	case k.spoken == nil:
		of = ", found without tierd"
	}
	tiers := "tiers"
	if len(k.table.tiers) == 1 {
		tiers = "tier"
	}
	k.notify.send(fmt.Sprintf("STATUS=%s; soft line %s, %d %s watched%s", what, guard.Size(k.table.lines.Soft), len(k.table.tiers), tiers, of))
}

// state is the guard as tierctl shows it.
func (k *keeper) state() guardwire.State {
	c := &k.hot.counts
	s := guardwire.State{
		Why: k.why(), DryRun: k.table.pace.DryRun,
		Refuse: k.table.lines.Refuse, Soft: k.table.lines.Soft, Hard: k.table.lines.Hard, Emergency: k.table.lines.Emergency,
		Poll: time.Duration(c.poll.Load()).Seconds(), Looks: c.looks.Load(), Stops: c.stops.Load(), Kills: c.kills.Load(),
		Resident: resident(), CPU: processorTime().Seconds(), Since: k.started, Last: k.last,
	}
	s.Armed, s.Order = s.Why == "", []guardwire.Victim{}
	a, err := k.hot.ask(false)
	if err != nil {
		s.Armed, s.Why = false, err.Error()
		return s
	}
	s.Level, s.Available, s.Slope = a.decision.Level.String(), a.facts.Available, a.decision.Slope
	s.SwapFree, s.SwapTotal = a.facts.SwapFree, a.facts.SwapTotal
	if a.facts.GTT.Known {
		s.GTTUsed = &a.facts.GTT.Bytes
	}
	for _, v := range a.guard.Order(&a.facts) {
		t := &a.facts.Tiers[v.Tier]
		s.Order = append(s.Order, guardwire.Victim{Tier: t.Name, Unit: t.Unit, RAM: known(t.RAM), GPU: known(t.GPU), Charge: t.Charge, Why: v.Why})
	}
	s.Would = a.guard.Would(&a.facts)
	return s
}

func known(a guard.Amount) *uint64 {
	if !a.Known {
		return nil
	}
	return &a.Bytes
}

// resident are the bytes that this process has in memory; 0 when /proc does not say.
func resident() uint64 {
	data, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(data, space)
	pages, _, _ := bytes.Cut(rest, space)
	n, _ := number(pages, 50)
	return n * uint64(os.Getpagesize())
}

// processorTime is what this process has used.
func processorTime() time.Duration {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }
