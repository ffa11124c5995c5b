package main

import (
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/guard"
	"golang.org/x/sys/unix"
)

// fakeHot is a hot goroutine that is not running yet, on a host of 128 GiB with one tier, which is idle on demand.
func fakeHot(t testing.TB, root string, availableMiB int, units ...*watched) *hot {
	t.Helper()
	fakeHost(t, root, 128<<10, availableMiB)
	h, err := openHost(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.close)
	first := &table{seq: 1, lines: guard.HostLines(128 << 30), pace: guard.HostPace(128 << 30), units: units}
	for _, w := range units {
		first.tiers = append(first.tiers, guard.Tier{Name: w.unit, Unit: w.unit, Main: w.main, Demand: true, Priority: 10, Charge: 2 << 30})
	}
	return newHot(h, first, &notifier{fd: -1})
}

func TestALookShowsTheHostAndItsTiers(t *testing.T) {
	root := t.TempDir()
	main := start(t, "meek")
	fakeUnit(t, root, coderGroup, main.pid())
	w := opened(t, root, coderGroup, main.pid())
	h := fakeHot(t, root, 64<<10, w)
	w.gpu.set(7<<30, boottime())
	h.gtt.set(9<<30, boottime())
	h.round()
	f := &h.facts
	if f.Total != 128<<30 || f.Available != 64<<30 || !f.PSI || f.GTT != (guard.Amount{Bytes: 9 << 30, Known: true}) || len(f.Tiers) != 1 {
		t.Fatalf("%+v", f)
	}
	tier := f.Tiers[0]
	if !tier.Up || tier.RAM != (guard.Amount{Bytes: 1<<30 + 27, Known: true}) || tier.GPU != (guard.Amount{Bytes: 7 << 30, Known: true}) || tier.Lost {
		t.Errorf("%+v", tier)
	}
	put(t, root, filepath.Join(cgroups, coderGroup, "cgroup.events"), "populated 0\nfrozen 0\n")
	h.round()
	if tier := h.facts.Tiers[0]; tier.Up || tier.RAM != (guard.Amount{Known: true}) {
		t.Errorf("a tier without processes: %+v", tier)
	}
}

func TestASampleOfAReaderThatHangsGrowsOld(t *testing.T) {
	var s sample
	if a := s.amount(time.Hour, gpuOld); a.Known {
		t.Errorf("before the first sample: %+v", a)
	}
	s.set(5, int64(time.Hour))
	if a := s.amount(time.Hour+gpuOld, gpuOld); a != (guard.Amount{Bytes: 5, Known: true}) {
		t.Errorf("a fresh one: %+v", a)
	}
	if a := s.amount(time.Hour+gpuOld+1, gpuOld); a.Known {
		t.Errorf("an old one: %+v", a)
	}
}

// TestARoundDoesNotAllocate: calm, and with an action each time.
func TestARoundDoesNotAllocate(t *testing.T) {
	root := t.TempDir()
	main, engine := start(t, "deaf"), start(t, "deaf")
	fakeUnit(t, root, coderGroup, main.pid(), engine.pid())
	w := opened(t, root, coderGroup, main.pid())
	h := fakeHot(t, root, 64<<10, w)
	if n := testing.AllocsPerRun(2000, func() { h.round() }); n != 0 {
		t.Errorf("%v allocations in a calm round", n)
	}
	put(t, root, "proc/meminfo", meminfoOf(128<<10, 6<<10))
	if n := testing.AllocsPerRun(200, func() {
		w.ramAt = 0
		h.round()
	}); n != 0 {
		t.Errorf("%v allocations in a round that acts", n)
	}
	act := guard.Decision{Act: guard.Ask, Tier: 0}
	if n := testing.AllocsPerRun(200, func() {
		act.Act = guard.Ask
		h.do(&act)
		act.Act = guard.Stop
		h.do(&act)
		act.Act = guard.Alarm
		h.tell(&act, 0)
		h.act.reaper.soon(1 << 30)
	}); n != 0 {
		t.Errorf("%v allocations in an action", n)
	}
	if h.counts.stops.Load() == 0 {
		t.Error("nothing was done at all")
	}
	engine.Process.Kill()
	engine.ended(t)
	act.Act = guard.Kill
	if n := testing.AllocsPerRun(200, func() {
		h.do(&act)
		h.goOn()
	}); n != 0 {
		t.Errorf("%v allocations in a kill", n)
	}
}

// TestAnIdleTierGivesWayBelowTheSoftLine goes the whole way from a file of /proc to a signal.
func TestAnIdleTierGivesWayBelowTheSoftLine(t *testing.T) {
	root := t.TempDir()
	main := start(t, "meek")
	fakeUnit(t, root, coderGroup, main.pid())
	h := fakeHot(t, root, 8400, opened(t, root, coderGroup, main.pid()))
	go h.act.reaper.run()
	defer close(h.act.reaper.pids)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		h.run()
	}()
	defer func() {
		h.end()
		<-ended
	}()
	until(t, "it has looked", func() bool { return h.counts.looks.Load() > 0 })
	put(t, root, "proc/meminfo", meminfoOf(128<<10, 8100))
	if s := main.ended(t); s != syscall.SIGTERM {
		t.Errorf("it ended by %s", s)
	}
	for {
		select {
		case told := <-h.told:
			if told.Act == guard.Ask || told.Act == guard.Stop {
				if told.Victim.Unit != "tier-coder.service" || told.errno != 0 || told.wall.IsZero() {
					t.Errorf("%+v", told)
				}
				return
			}
		case <-time.After(bound):
			t.Fatal("nobody was told")
		}
	}
}

func TestADryRunTouchesNothing(t *testing.T) {
	root := t.TempDir()
	main := start(t, "meek")
	fakeUnit(t, root, coderGroup, main.pid())
	w := opened(t, root, coderGroup, main.pid())
	h := fakeHot(t, root, 1<<10, w)
	h.table.pace.DryRun = true
	h.guard.Set(h.table.lines, h.table.pace)
	for range 50 {
		h.round()
	}
	for _, act := range []guard.Act{guard.Ask, guard.Stop, guard.Kill} {
		if errno := h.do(&guard.Decision{Act: act, Tier: 0}); errno != 0 {
			t.Error(errno)
		}
	}
	if !main.alive() || killed(t, root, coderGroup) || h.counts.stops.Load() != 0 || w.killing {
		t.Error("something was done")
	}
	if told := <-h.told; !told.dryRun {
		t.Errorf("told as if it had been done: %+v", told)
	}
}

func TestATierThatMayNotBeSignalledIsLost(t *testing.T) {
	root := t.TempDir()
	main := start(t, "meek")
	fakeUnit(t, root, coderGroup, main.pid())
	w := opened(t, root, coderGroup, main.pid())
	h := fakeHot(t, root, 64<<10, w)
	readOnly, err := open(filepath.Join(root, cgroups, coderGroup, "cgroup.kill"), unix.O_RDONLY)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(w.kill)
	w.kill = readOnly
	if errno := h.do(&guard.Decision{Act: guard.Kill, Tier: 0}); errno != unix.EBADF || !w.lost {
		t.Errorf("%v, lost: %v", errno, w.lost)
	}
	h.round()
	if !h.facts.Tiers[0].Lost {
		t.Error("the next look does not say so")
	}
}

func TestAHostThatDoesNotTellIsLookedAtAgain(t *testing.T) {
	root := t.TempDir()
	h := fakeHot(t, root, 64<<10)
	put(t, root, "proc/meminfo", "MemTotal: 1 kB\n")
	if next := h.round(); next != blind || !h.counts.blind.Load() {
		t.Errorf("next look in %s, blind: %v", next, h.counts.blind.Load())
	}
	fakeHost(t, root, 128<<10, 64<<10)
	if h.round(); h.counts.blind.Load() {
		t.Error("still blind")
	}
}

func TestAFullQueueLosesNewsAndDelaysNothing(t *testing.T) {
	h := fakeHot(t, t.TempDir(), 64<<10)
	d := guard.Decision{Act: guard.Alarm, Tier: -1}
	for range cap(h.told) + 3 {
		h.tell(&d, 0)
	}
	if lost := h.counts.lost.Load(); lost != 3 {
		t.Errorf("%d are lost", lost)
	}
}

func TestAnAskerGetsACopy(t *testing.T) {
	root := t.TempDir()
	main := start(t, "meek")
	fakeUnit(t, root, coderGroup, main.pid())
	h := fakeHot(t, root, 64<<10, opened(t, root, coderGroup, main.pid()))
	done := make(chan *answer)
	go func() {
		a, err := h.ask(true)
		if err != nil {
			t.Error(err)
		}
		done <- a
	}()
	until(t, "it asks", func() bool { return h.asked.Load() != nil })
	h.round()
	a := <-done
	h.facts.Tiers[0].Name = "another"
	if a.facts.Available != 64<<30 || a.facts.Tiers[0].Name != "tier-coder.service" || len(a.guard.Order(&a.facts)) != 1 {
		t.Errorf("%+v", a.facts)
	}
}

func TestTheWatchdogIsFedByLooks(t *testing.T) {
	h := fakeHot(t, t.TempDir(), 64<<10)
	n, heard := listenNotify(t, "WATCHDOG_USEC=2000")
	h.notify = n
	h.round()
	if got := heard(); got != "WATCHDOG=1" {
		t.Errorf("heard %q", got)
	}
}

func BenchmarkRound(b *testing.B) {
	root := b.TempDir()
	var units []*watched
	for i := range 4 {
		group := "/tier.slice/tier-" + itoa(i) + ".service"
		fakeUnit(b, root, group)
		units = append(units, opened(b, root, group, 0))
	}
	h := fakeHot(b, root, 64<<10, units...)
	h.meminfo, _ = open("/proc/meminfo", unix.O_RDONLY)
	b.ReportAllocs()
	for b.Loop() {
		h.round()
	}
}
