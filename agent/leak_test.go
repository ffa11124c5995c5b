package agent

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/rocm"
	"github.com/tierd/tierd/rocm/rocmtest"
)

// sees is what the kernel says from now on: one of the recorded hosts.
func (b *bed) sees(tree string) {
	b.t.Helper()
	s := rocm.Open(rocmtest.Unpack(b.t, tree)).Snapshot(context.Background())
	b.snapshot.Store(&s)
	b.memory.Store(&s.Memory)
}

func TestMemoryThatNobodyOwnsIsLostOnceItWasThereForAWhile(t *testing.T) {
	inBed(t, func(b *bed) {
		b.sees("gtt120-leaked")
		b.after(70 * time.Second) // one look a minute
		if got, err := b.Budget(context.Background(), ""); err != nil || got.GPU == nil || got.GPU.Leaked != 0 {
			t.Errorf("at once: %+v, %v", got.GPU, err)
		}
		b.after(leakTime + 2*leakLook)
		got, err := b.Budget(context.Background(), "")
		if err != nil || got.GPU.Leaked != 45132808192 {
			t.Errorf("after a while: %+v, %v", got.GPU, err)
		}
		told := func() int {
			n := 0
			for _, e := range b.Events(0) {
				if e.Kind == "host" && strings.Contains(e.Text, "42.03GiB of GPU memory is in use and belongs to no process") {
					n++
				}
			}
			return n
		}
		b.after(5 * time.Minute)
		if told() != 1 {
			t.Errorf("told %d times: %+v", told(), b.Events(0))
		}
		mustDone(t, b.act("coder", "start", ""))
		mustError(t, b.act("orch", "start", ""), api.KindBudget,
			"20GiB for tier-orch.service + 60GiB for tier-coder.service + 42.03GiB leaked by a process that is gone + 10GiB reserve")
		b.sees("gtt120-idle") // after a reboot it would be another tierd, but a driver may clear up late, too
		b.after(2 * time.Minute)
		if got, err := b.Budget(context.Background(), ""); err != nil || got.GPU.Leaked != 0 {
			t.Errorf("when it is back: %+v, %v", got.GPU, err)
		}
	})
}

func TestATierThatLoadsIsNoLeak(t *testing.T) {
	inBed(t, func(b *bed) {
		b.sees("gtt120-leaked")
		b.has(125)
		b.free(120)
		b.systemd.slow[coder] = true
		b.begin("coder")
		b.after(10 * time.Minute)
		if got, err := b.Budget(context.Background(), ""); err != nil || got.GPU.Leaked != 0 {
			t.Errorf("got %+v, %v", got.GPU, err)
		}
	})
}

func TestOtherProgramsOnTheGPUCount(t *testing.T) {
	inBed(t, func(b *bed) {
		b.sees("gtt120-orphan")
		b.free(120)
		b.after(70 * time.Second)
		c := b.act("coder", "start", "")
		if c.State != "done" {
			t.Errorf("60 beside 60 of 120: %v", c.Err)
		}
		c = b.act("orch", "start", "")
		mustError(t, c, api.KindBudget, "60GiB of other programs is 140GiB, and ROCm can use 120GiB of GTT there")
	})
}

func TestTheHostIsLookedAtOftenOnlyWhileTheGPUMoves(t *testing.T) {
	inBed(t, func(b *bed) {
		b.sees("gtt120-idle")
		b.after(10 * time.Minute)
		if n := b.snapshots.Load(); n > 12 {
			t.Errorf("%d looks in ten idle minutes", n)
		}
		b.systemd.slow[coder] = true
		b.begin("coder")
		before := b.snapshots.Load()
		b.after(20 * time.Second)
		if n := b.snapshots.Load() - before; n < 15 || n > 25 {
			t.Errorf("%d looks in twenty seconds of a load", n)
		}
		if _, err := b.Host(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

func TestABudgetWithoutAGPUHasNone(t *testing.T) {
	inBed(t, func(b *bed) {
		b.sees("nonamd")
		b.after(70 * time.Second)
		got, err := b.Budget(context.Background(), "small")
		if err != nil || got.GPU != nil || !slices.ContainsFunc(got.Tiers, func(s api.Share) bool { return s.Tier == "util" }) {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}
