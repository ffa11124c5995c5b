package agent

import (
	"bytes"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tierd/tierd/units"
)

func upIn(slice string, protects units.Bytes) UnitStatus {
	return UnitStatus{Tier: "t", ActiveState: "active", Slice: slice, MemoryMin: protects}
}

func TestASliceProtectsWhatItsUnitsDo(t *testing.T) {
	with := func(s UnitStatus, change func(*UnitStatus)) UnitStatus { change(&s); return s }
	cpu := upIn("tier-cpu.slice", 40)
	for _, row := range []struct {
		rule           string
		seen           []UnitStatus
		all, cpus, gpu units.Bytes
	}{
		{"nothing is up", nil, 0, 0, 0},
		{"one unit", []UnitStatus{cpu}, 40, 40, 0},
		{"the sum of all", []UnitStatus{cpu, upIn("tier-cpu.slice", 2), upIn("tier-gpu.slice", 5)}, 47, 42, 5},
		{"a unit that maps nothing", []UnitStatus{upIn("tier-gpu.slice", 0)}, 0, 0, 0},
		{"one that loads counts", []UnitStatus{with(cpu, func(s *UnitStatus) { s.ActiveState = "activating" })}, 40, 40, 0},
		{"one that ends counts until it is gone", []UnitStatus{with(cpu, func(s *UnitStatus) { s.ActiveState = "deactivating" })}, 40, 40, 0},
		{"one that is defined alone does not", []UnitStatus{with(cpu, func(s *UnitStatus) { s.ActiveState = "inactive" })}, 0, 0, 0},
		{"one that failed does not", []UnitStatus{with(cpu, func(s *UnitStatus) { s.ActiveState = "failed" })}, 0, 0, 0},
		{"a stranger's does not", []UnitStatus{with(cpu, func(s *UnitStatus) { s.Tier = "" })}, 0, 0, 0},
		{"one that a drop-in put right below tier.slice", []UnitStatus{upIn("tier.slice", 3)}, 3, 0, 0},
		{"or deeper", []UnitStatus{upIn("tier-cpu-night.slice", 3)}, 3, 3, 0},
		{"or elsewhere", []UnitStatus{upIn("system.slice", 3), upIn("", 3)}, 0, 0, 0},
		{"everything of two", []UnitStatus{upIn("tier-cpu.slice", units.Bytes(units.Infinity)), cpu}, units.Bytes(units.Infinity), units.Bytes(units.Infinity), 0},
	} {
		t.Run(row.rule, func(t *testing.T) {
			seen := map[string]UnitStatus{}
			for i, s := range row.seen {
				seen[string(rune('a'+i))] = s
			}
			want := map[string]units.Bytes{"tier.slice": row.all, "tier-cpu.slice": row.cpus, "tier-gpu.slice": row.gpu}
			if got := sliceProtection(seen); !maps.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

// No slice claims less than what is below it, else the rest would be unprotected; nor more, else it would protect others.
func TestNoSliceProtectsMoreOrLessThanWhatIsBelow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seen := map[string]UnitStatus{}
		var sum units.Bytes
		for i := range rapid.IntRange(0, 12).Draw(t, "units") {
			s := upIn(rapid.SampledFrom([]string{"tier-cpu.slice", "tier-gpu.slice"}).Draw(t, "slice"), units.Bytes(rapid.Uint64Range(0, 1<<40).Draw(t, "protects")))
			s.ActiveState = rapid.SampledFrom([]string{"active", "activating", "inactive", "failed"}).Draw(t, "state")
			if running(s) {
				sum += s.MemoryMin
			}
			seen[string(rune('a'+i))] = s
		}
		got := sliceProtection(seen)
		if got["tier.slice"] != sum || got["tier-cpu.slice"]+got["tier-gpu.slice"] != sum || len(got) != len(tierSlices) {
			t.Errorf("%v for %d", got, sum)
		}
	})
}

func TestWhereASliceIs(t *testing.T) {
	for slice, want := range map[string]string{
		"tier.slice": "/tier.slice", "tier-cpu.slice": "/tier.slice/tier-cpu.slice", "a-b-c.slice": "/a.slice/a-b.slice/a-b-c.slice",
	} {
		if got := cgroupOfSlice(slice); got != want {
			t.Errorf("%s is at %s", slice, got)
		}
	}
	if above("-.slice") != "" || above("tier.slice") != "" {
		t.Error("the root is above nothing, and nothing of ours below it by name")
	}
}

// counted has the kernel count the slices' memory, and a unit protect some of its own.
func (b *bed) counted(unit string, protects units.Bytes) {
	b.systemd.by(func() {
		for _, slice := range tierSlices {
			b.systemd.mins[cgroupOfSlice(slice)] += 0
		}
		b.systemd.units[unit].MemoryMin = protects
	})
}

func TestSlicesProtectWhatIsUp(t *testing.T) {
	inBed(t, func(b *bed) {
		if got := b.systemd.did("set"); len(got) > 0 {
			t.Errorf("with nothing up: %q", got)
		}
		b.counted(util, 4096*1000)
		mustDone(t, b.act("util", "start", ""))
		if got := b.systemd.did("set"); !slices.Equal(got, []string{"set tier.slice MemoryMin=4096000", "set tier-cpu.slice MemoryMin=4096000"}) {
			t.Errorf("with a tier up: %q", got)
		}
		b.after(time.Hour)
		if got := b.systemd.did("set"); len(got) > 0 {
			t.Errorf("without a change: %q", got)
		}
		b.end() // a tierd that comes back finds what the last one set
		b.run()
		if got := b.systemd.did("set"); len(got) > 0 {
			t.Errorf("after a restart of tierd: %q", got)
		}
		// What a stopped tier leaves in the page cache must not be protected.
		mustDone(t, b.act("util", "stop", ""))
		if got := b.systemd.did("set"); !slices.Equal(got, []string{"set tier.slice MemoryMin=0", "set tier-cpu.slice MemoryMin=0"}) {
			t.Errorf("with nothing up again: %q", got)
		}
	})
}

func TestWhatASliceOfAnEarlierTierdProtectsIsTakenBack(t *testing.T) {
	inBed(t, func(b *bed) {
		b.end()
		b.systemd.by(func() { b.systemd.mins["/tier.slice"] = 1 << 30 })
		b.run()
		if got := b.systemd.did("set"); !slices.Equal(got, []string{"set tier.slice MemoryMin=0"}) {
			t.Errorf("got %q", got)
		}
	})
}

func TestWithoutAMemoryControllerNothingIsSet(t *testing.T) {
	inBed(t, func(b *bed) {
		b.systemd.by(func() { b.systemd.units[util].MemoryMin = 1 << 30 })
		mustDone(t, b.act("util", "start", ""))
		if got := b.systemd.did("set"); len(got) > 0 {
			t.Errorf("got %q", got)
		}
	})
}

func TestAnAmountThatTheKernelRoundsIsSetOnce(t *testing.T) {
	inBed(t, func(b *bed) {
		b.counted(util, 5000)
		mustDone(t, b.act("util", "start", ""))
		b.systemd.did()
		b.end()
		b.run()
		if got := b.systemd.did("set"); len(got) > 0 {
			t.Errorf("got %q", got)
		}
	})
}

func TestASliceThatCannotBeSetIsToldOnceAndTriedAgain(t *testing.T) {
	inBed(t, func(b *bed) {
		var log bytes.Buffer
		b.end()
		b.systemd.by(func() { b.systemd.fail["set"] = errors.New("no such thing") })
		b.runWith(slog.New(slog.NewTextHandler(&log, nil)))
		b.counted(util, 1<<20)
		mustDone(t, b.act("util", "start", ""))
		b.after(10 * time.Minute)
		if got := b.systemd.did("set"); len(got) < 10 {
			t.Errorf("it was tried %d times", len(got))
		}
		if got := strings.Count(log.String(), "mapped weights may be dropped"); got != 1 || !strings.Contains(log.String(), "cannot set what tier.slice protects: no such thing") {
			t.Errorf("it was told %d times:\n%s", got, log.String())
		}
		b.mustState("util", "ready")
		b.systemd.by(func() { delete(b.systemd.fail, "set") })
		b.after(2 * time.Minute)
		if got, err := b.MemoryMin("/tier.slice/tier-cpu.slice"); got != 1<<20 {
			t.Errorf("the slice protects %d, %v", got, err)
		}
	})
}
