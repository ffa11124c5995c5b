//go:build vmtest

package vmtest

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/packaging/vmtest/wire"
)

// deafEngine is an engine that no SIGTERM reaches: what is blocked stays so in the program that takes the place of this one.
const deafEngine = `#!/usr/bin/python3
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
os.execv("/usr/bin/llama-server", ["/usr/bin/llama-server"] + sys.argv[1:])
`

// TestVMGuardVictims has tiers give way that make it hard: one that ignores its signal, one that waits in the kernel, one
// whose memory does not come back, one that leaks itself; and tells apart what leaks in a tier from what leaks in nothing.
func TestVMGuardVictims(t *testing.T) {
	tiers := strings.Replace(guardTiersFile(t), "[tier.utility.variant.main]\nengine = \"llama\"", "[tier.utility.variant.main]\nengine = \"deaf\"", 1)
	tiers += "\n[engine.deaf]\nkind = \"llama\"\ncommand = [\"/usr/local/bin/deaf-llama\"]\n"
	v, ctx := startVM(t, guardMemory)
	if err := v.WriteFile(ctx, "/usr/local/bin/deaf-llama", []byte(deafEngine), 0o755); err != nil {
		t.Fatal(err)
	}
	installInVM(t, v, ctx, tiers)
	g := &guarded{t: t, v: v, ctx: ctx}
	g.calm()
	g.run("one that ignores SIGTERM is killed after its grace", (*guarded).deafVictim)
	g.run("one that waits in the kernel is reported once", (*guarded).stuckVictim)
	g.run("one whose memory does not come back is the last", (*guarded).keptMemory)
	g.run("one that leaks itself goes, and nobody else", (*guarded).leakInside)
	g.run("memory that no group has is outside", (*guarded).leakInNothing)
	g.run("with free swap idle tiers give way, and busy ones are spared", (*guarded).withSwap)
}

func (g *guarded) deafVictim() {
	since := g.vmNow()
	p := g.watch()
	p.hog("-to %d -rate %d", between, leak)
	p.goes("utility")
	s := p.end()
	p.only(s, "utility")
	p.figures("vm-guard-deaf", s, "utility")
	g.gaveWay("utility")
	g.untouched("utility")
	g.acts(since, "stop utility", "kill utility")
}

func (g *guarded) cgroupOf(tier string) string {
	g.t.Helper()
	return "/sys/fs/cgroup" + g.sh("systemctl show -P ControlGroup tier-"+tier+".service")
}

// unbound lets a tier hold more than it was let in with, as one that the kernel does not hold to its charge.
func (g *guarded) unbound(tier string) {
	g.t.Helper()
	g.sh("systemctl set-property --runtime tier-" + tier + ".service MemoryMax=infinity MemoryHigh=infinity MemorySwapMax=infinity")
}

// frozenDisk leaves a mounted file system that lets nobody write: whoever does sleeps in the kernel, and no signal wakes him.
func (g *guarded) frozenDisk() (thaw func()) {
	g.t.Helper()
	// zram takes whole pages, so the file system's blocks are no smaller.
	image := filepath.Join(g.v.Share(), "frozen.img")
	if out, err := exec.CommandContext(g.ctx, "mke2fs", "-q", "-t", "ext4", "-b", "4096", image, "16M").CombinedOutput(); err != nil {
		g.t.Fatalf("%v: %s", err, out)
	}
	disk := g.sh("n=$(cat /sys/class/zram-control/hot_add) && echo 32M >/sys/block/zram$n/disksize && dd if=/bed/frozen.img of=/dev/zram$n bs=1M status=none && echo $n")
	g.sh("mkdir -p /mnt/frozen && mount /dev/zram" + disk + " /mnt/frozen && fsfreeze -f /mnt/frozen")
	thawed := false
	thaw = func() {
		if !thawed {
			thawed = true
			_, _ = g.v.Run(g.ctx, "fsfreeze -u /mnt/frozen")
		}
	}
	g.t.Cleanup(thaw)
	return thaw
}

func (g *guarded) stuckVictim() {
	thaw := g.frozenDisk()
	group := g.cgroupOf("utility")
	g.sh("(echo $BASHPID >" + group + "/cgroup.procs; exec dd if=/dev/zero of=/mnt/frozen/file bs=4k count=1) >/dev/null 2>&1 & sleep 1; grep -q 'D (disk sleep)' /proc/$!/status")
	since := g.vmNow()
	p := g.watch()
	p.hog("-to %d -rate %d", between, leak)
	g.until("the guard says that one does not end", 20*time.Second, func() string {
		if list := g.guard().about(since, "alarm"); len(list) > 0 {
			return ""
		}
		return fmt.Sprint(g.guard().about(since, "ask stop kill gone returned not-returned alarm"))
	})
	// The engine itself is gone and its memory back. What it gave is taken once more, and more, down below the hard line: above
	// it the guard need not take a second victim. So somebody else has to go.
	g.settled()
	p.hog("-to %d -rate %d", hardLine-24<<20, leak)
	p.goes("reviewer")
	pauseInVM(g.t, g.ctx, 5*time.Second)
	s := p.now()
	if len(s.Gone) != 1 || s.OOMKills > 0 {
		g.t.Errorf("gone are %v, and the kernel has killed %d", s.Gone, s.OOMKills)
	}
	thaw()
	p.goes("utility")
	p.end()
	g.acts(since, "stop utility", "kill utility", "alarm utility", "stop reviewer")
	g.until("utility is down for good", 60*time.Second, func() string {
		return g.differs("systemctl show -P ActiveState tier-utility.service", "inactive")
	})
	g.gaveWay("reviewer")
	g.untouched("utility", "reviewer")
	g.sh("umount /mnt/frozen")
}

func (g *guarded) keptMemory() {
	group := g.cgroupOf("utility")
	g.unbound("utility")
	// Something in the tier leaves a file in memory that outlives it, as a GPU's driver may leave buffers: twice what the tier
	// gives back, and less than makes memory short. One tier makes room for that.
	g.sh("tierctl stop reviewer")
	g.settled()
	size := (g.guard().State.Available-softLine)>>20/10*10 - 20
	if size < 500 {
		g.t.Fatalf("a file of %d MiB is too small to show anything", size)
	}
	g.sh(fmt.Sprintf("mkdir -p /mnt/kept && mount -t tmpfs -o size=1G tmpfs /mnt/kept && (echo $BASHPID >%s/cgroup.procs"+
		"; for i in $(seq %d); do head -c 10M /dev/zero || exit; sleep 0.1; done >/mnt/kept/file)", group, size/10))
	since := g.vmNow()
	p := g.watch()
	// Slowly: what is lost to a quick leak meanwhile would be taken for memory that came back.
	p.hog("-to %d -rate %d", between, leak/10)
	if !p.until(30*time.Second, func(s wire.Shortage) bool { return !s.Crossed.IsZero() }) {
		g.t.Error("memory is not short")
	}
	p.goes("utility")
	g.until("the guard says that memory does not come back", 20*time.Second, func() string {
		if list := g.guard().about(since, "not-returned"); len(list) == 1 {
			return ""
		}
		return fmt.Sprint(g.guard().about(since, "ask stop kill gone returned not-returned alarm"))
	})
	// More is taken, and nobody else pays for it.
	p.hog("-to %d -rate %d", hardLine+24<<20, leak)
	pauseInVM(g.t, g.ctx, 6*time.Second)
	s := p.end()
	p.only(s, "utility")
	g.acts(since, "stop utility", "kill utility", "not-returned utility")
	g.untouched("utility", "reviewer")
	g.sh("umount /mnt/kept")
	g.gaveWay("utility")
}

func (g *guarded) leakInside() {
	group := g.cgroupOf("coder")
	g.unbound("coder")
	since := g.vmNow()
	p := g.watch()
	ctx := g.ctx
	go func() { // it ends with its unit
		_, _ = g.v.Run(ctx, fmt.Sprintf("echo $$ >%s/cgroup.procs; exec /run/bed/guest hog -size %d -rate %d", group, 1<<30, leak/2))
	}()
	p.goes("coder")
	s := p.end()
	p.only(s, "coder")
	p.figures("vm-guard-leak-inside", s, "coder")
	for _, e := range g.guard().about(since, "ask stop kill alarm") {
		g.t.Logf("%s: %s", e.Kind, e.Text)
		if e.Tier != "coder" || !strings.Contains(e.Text, "above its charge and growing") && e.Kind == "ask" {
			g.t.Errorf("%s of %q: %s", e.Kind, e.Tier, e.Text)
		}
	}
	g.gaveWay("coder")
	g.untouched("coder")
}

func (g *guarded) leakInNothing() {
	since := g.vmNow()
	p := g.watch()
	p.hog("-kind dma -to %d -rate %d", between, leak)
	p.goes("utility")
	pauseInVM(g.t, g.ctx, 3*time.Second)
	s := p.end()
	p.only(s, "utility")
	p.figures("vm-guard-no-group", s, "utility")
	g.acts(since, "stop utility", "kill utility")
	g.gaveWay("utility")
	g.untouched("utility")
}

func (g *guarded) withSwap() {
	g.sh("echo 1G >/sys/block/zram0/disksize && mkswap -q /dev/zram0 && swapon /dev/zram0")
	since := g.vmNow()
	p := g.watch()
	p.hog("-to %d -rate %d", between, leak)
	p.goes("utility")
	p.end()
	g.acts(since, "stop utility", "kill utility")
	g.gaveWay("utility")
	g.untouched("utility")
	g.until("loads are allowed", 60*time.Second, func() string { return g.level("calm") })

	// Nobody is left but one that is busy: it stays while swap is free and the hard line is not reached.
	stop := g.busyCoder()
	g.sh("tierctl stop utility reviewer orch")
	since = g.vmNow()
	p = g.watch()
	p.hog("-to %d -rate %d", between, leak)
	if !p.until(30*time.Second, func(s wire.Shortage) bool { return !s.Crossed.IsZero() }) {
		g.t.Errorf("memory is not short: %+v", p.now())
	}
	pauseInVM(g.t, g.ctx, 10*time.Second)
	g.t.Log(g.sh("grep -E 'MemAvailable|SwapFree' /proc/meminfo; cat /proc/pressure/memory; tierctl guard"))
	s := p.end()
	p.only(s)
	g.acts(since, "alarm") // it is told, and nobody pays
	g.untouched("utility", "reviewer", "orch")
	stop()
	g.sh("swapoff /dev/zram0 && echo 1 >/sys/block/zram0/reset")
}
