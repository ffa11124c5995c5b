//go:build vmtest

package vmtest

import (
	"strings"
	"testing"
	"time"
)

// fault is what is wrong with the host while memory runs out. Its scripts need neither systemd nor a free descriptor beyond
// what the fault leaves. lasts succeeds while the fault does: it is asked before memory runs out, and when a tier has gone.
type fault struct {
	name, begin, lasts, end string
}

// pidOf is a shell word for a unit's main process.
func pidOf(unit string) string { return "$(systemctl show -P MainPID " + unit + ")" }

// frozen stops a unit's main process.
func frozen(name, unit string) fault {
	return fault{name,
		"systemctl show -P MainPID " + unit + " >/run/bed/frozen; kill -STOP $(cat /run/bed/frozen)",
		"grep '^State:' /proc/$(cat /run/bed/frozen)/status; grep -q '^State:.T' /proc/$(cat /run/bed/frozen)/status",
		"kill -CONT $(cat /run/bed/frozen)"}
}

var guardFaults = []fault{
	frozen("tierd is frozen", "tierd"),
	{"tierd is dead", `systemctl mask --runtime --quiet tierd.service tierd.socket tierd-admit.socket
kill -KILL ` + pidOf("tierd") + `
systemctl stop tierd.socket tierd-admit.socket tierd.service`,
		`! pgrep -a -x tierd`,
		`systemctl unmask --runtime --quiet tierd.service tierd.socket tierd-admit.socket
systemctl start tierd.socket tierd-admit.socket tierd.service`},
	frozen("the system bus is frozen", "dbus"),
	// A frozen /sbin/init can be had by its control group alone: no signal stops it.
	{"systemd is frozen", "echo 1 >/sys/fs/cgroup/init.scope/cgroup.freeze; sleep 0.5",
		"cat /sys/fs/cgroup/init.scope/cgroup.events; grep -qx 'frozen 1' /sys/fs/cgroup/init.scope/cgroup.events",
		"echo 0 >/sys/fs/cgroup/init.scope/cgroup.freeze"},
	{"all disks are full", `fallocate -l $(df --output=avail -B1 / | tail -n 1) /full 2>/dev/null || true
dd if=/dev/zero of=/full2 bs=64k 2>/dev/null || true
mount -o remount,size=$(df --output=used -k /run | tail -n 1 | tr -d ' ')k /run`,
		// A few KiB may become free at any time, as the journal is one of those that write.
		`df -k / /run
! dd if=/dev/zero of=/run/full bs=64k count=16 2>/dev/null && ! dd if=/dev/zero of=/var/full bs=64k count=64 2>/dev/null`,
		"mount -o remount,size=20% /run; rm -f /full /full2 /run/full /var/full"},
	// Whoever has CAP_SYS_ADMIN gets one all the same, and so the commands here; the guard has no such capability.
	{"no descriptor is left", `echo $(($(cut -f 1 /proc/sys/fs/file-nr) + 3000)) >/proc/sys/fs/file-max
systemd-run --quiet --unit=files -p User=nobody -p LimitNOFILE=100000 -p StandardOutput=file:/bed/files /run/bed/guest files
for i in $(seq 100); do grep -qs held /bed/files && break; sleep 0.1; done; cat /bed/files`,
		`cat /proc/sys/fs/file-nr
systemctl is-active files
grep -q 'CapEff:.*[014589cd].....$' /proc/` + pidOf("tier-guard") + `/status
for i in 1 2 3; do # one that was closed just now may be free for a moment
	out=$(setpriv --reuid=65534 --regid=65534 --clear-groups cat /dev/null 2>&1) || break
done
echo "$out"
grep -q -e 'rror 23' -e 'open files in system' <<<"$out"`,
		"echo 1000000 >/proc/sys/fs/file-max; cat /bed/files >&2; systemctl stop files; systemctl reset-failed files 2>/dev/null; rm -f /bed/files"},
}

// TestVMGuardInFaults has memory run out while something else of the host is broken, on the same way each time: a leak
// outside, and exactly the lowest idle tier goes. When the fault is over everybody knows what happened.
func TestVMGuardInFaults(t *testing.T) {
	g := startGuarded(t, guardTiersFile(t))
	for _, f := range guardFaults {
		g.run(f.name, func(g *guarded) { g.inFault(f) })
	}
}

func (g *guarded) inFault(f fault) {
	since := g.vmNow()
	p := g.watch()
	healed := false
	heal := func() {
		if !healed {
			healed = true
			g.sh(f.end)
		}
	}
	g.t.Cleanup(func() { // so that the cases after this one begin with a host that is well
		if !healed {
			_, _ = g.v.Run(g.ctx, f.end)
		}
	})
	g.sh("set -e\n" + f.begin)
	g.lasts(f)
	p.hog("-to %d -rate %d", between, leak)
	p.goes("utility")
	pauseInVM(g.t, g.ctx, 2*time.Second) // for a second victim, or a restart, that must not be
	g.lasts(f)
	s := p.end()
	heal()
	p.only(s, "utility")
	g.gaveWay("utility")
	g.untouched("utility")
	g.until("tierd has heard of it", 20*time.Second, func() string {
		if len(g.guard().about(since, "ask stop kill")) > 0 || strings.Contains(g.sh("tierctl status"), "gave way to memory pressure: ") {
			return ""
		}
		return g.sh("tierctl guard; tierctl events | tail -n 5")
	})
	p.figures("vm-guard-"+strings.ReplaceAll(f.name, " ", "-"), s, "utility")
}

// lasts wants the fault to be there.
func (g *guarded) lasts(f fault) {
	g.t.Helper()
	r, err := g.v.Run(g.ctx, "set -e\n"+f.lasts)
	if err != nil || r.Exit != 0 {
		g.t.Errorf("it is not so that %s: status %d, %v: %s%s", f.name, r.Exit, err, r.Stdout, r.Stderr)
		return
	}
	g.t.Logf("%s: %s%s", f.name, r.Stdout, r.Stderr)
}
