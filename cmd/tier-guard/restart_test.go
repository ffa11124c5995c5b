package main

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/api/guardwire"
	"github.com/tierd/tierd/agent/guard"
)

// fakeKeeper is one with a hot goroutine that does not run.
func fakeKeeper(t *testing.T, root string) *keeper {
	t.Helper()
	h := fakeHot(t, root, 64<<10)
	k := &keeper{ctx: context.Background(), log: slog.New(slog.DiscardHandler), opts: options{root: root}, total: 128 << 30, hot: h,
		link: newLink(filepath.Join(root, "none.sock")), notify: &notifier{fd: -1}, proof: newProof(root), table: h.table, complained: map[string]string{}}
	k.proof.running = true
	t.Cleanup(func() {
		k.link.hangUp()
		for _, w := range k.table.units {
			w.close()
		}
		for _, r := range k.retired {
			r.unit.close()
		}
	})
	return k
}

func indexOf(tiers []guard.Tier, name string) int {
	return slices.IndexFunc(tiers, func(t guard.Tier) bool { return t.Name == name })
}

// guardProcess is a guard that can be killed.
func guardProcess(t *testing.T, args ...string) (*exec.Cmd, *logs) {
	t.Helper()
	log := &logs{}
	c := exec.Command("/proc/self/exe", args...)
	c.Env = append(os.Environ(), guardVar+"=1")
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c.ProcessState == nil {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
	})
	until(t, "it watches", func() bool { return log.has("watching") })
	return c, log
}

const utilityGroup = "/tier.slice/tier-cpu.slice/tier-utility.service"

// aftermath is a host of two tiers, a busy coder and an idle utility, whose guard has heard so from tierd, was killed, and is back
// while tierd is frozen: its socket takes a connection, and nothing comes of it.
type aftermath struct {
	root           string
	coder, utility *process
	log            *logs // of the second guard
}

func killedWhileTierdIsFrozen(t *testing.T, state string) aftermath {
	t.Helper()
	a := aftermath{root: t.TempDir(), coder: start(t, "meek"), utility: start(t, "meek")}
	fakeUnit(t, a.root, coderGroup, a.coder.pid())
	fakeUnit(t, a.root, utilityGroup, a.utility.pid())
	fakeHost(t, a.root, 128<<10, 64<<10)
	args := []string{"-root", a.root, "-socket", filepath.Join(t.TempDir(), "guard.sock"), "-state", state}
	tierd := serve(t, args[3])
	first, _ := guardProcess(t, args...)
	tierd.accept()
	busy := coder(a.coder.pid())
	busy.Busy, busy.IdleSince = true, time.Time{}
	tierd.say(tableOf(busy, guardwire.Tier{Tier: "utility", Unit: "tier-utility.service", Cgroup: utilityGroup, MainPID: a.utility.pid(),
		Priority: 90, Charge: 2 << 30, IdleSince: time.Now().Add(-time.Minute)}))
	tierd.state()
	if state != "" {
		until(t, "it is kept", func() bool {
			w, err := (&kept{dir: state}).read(boottime())
			return err == nil && w != nil
		})
	}
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	_, a.log = guardProcess(t, args...)
	return a
}

// leak takes memory outside the tiers, to below the hard line, until something comes of it.
func (a aftermath) leak(t *testing.T, what string, is func() bool) {
	t.Helper()
	available := 8300
	until(t, what, func() bool {
		available = max(available-10, 3000)
		put(t, a.root, "proc/meminfo", meminfoOf(128<<10, available))
		return is()
	})
}

// TestAGuardThatIsKilledKnowsWhoIsIdleWhileTierdIsFrozen: of a leak outside, for which no busy one pays.
func TestAGuardThatIsKilledKnowsWhoIsIdleWhileTierdIsFrozen(t *testing.T) {
	a := killedWhileTierdIsFrozen(t, t.TempDir())
	until(t, "it remembers", func() bool { return a.log.has("goes by what tierd said to the guard before this one") })
	a.leak(t, "the idle one is stopped", func() bool { return !a.utility.alive() })
	put(t, a.root, filepath.Join(cgroups, utilityGroup, "cgroup.events"), "populated 0\n")
	// The alarm is that of a leak outside, or of memory that did not come back: the leak has taken what the victim had.
	a.leak(t, "the rest is told", func() bool { return a.log.has("kind=alarm") || a.log.has("kind=not-returned") })
	if !a.coder.alive() {
		t.Error("the busy one has paid")
	}
}

// TestAGuardThatIsKilledAndHasKeptNothingTakesAllForBusy.
func TestAGuardThatIsKilledAndHasKeptNothingTakesAllForBusy(t *testing.T) {
	a := killedWhileTierdIsFrozen(t, "")
	a.leak(t, "it is told", func() bool { return a.log.has("kind=alarm") })
	if !a.coder.alive() || !a.utility.alive() {
		t.Error("a tier has paid that may be busy")
	}
}
