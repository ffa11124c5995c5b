//go:build vmtest

package vmtest

import (
	"strings"
	"testing"
	"time"
)

// fault is what is wrong with the host while memory runs out. Its scripts need neither systemd nor a free descriptor beyond
// what the fault leaves.
type fault struct {
	name, begin, end string
}

// pidOf is a shell word for a unit's main process.
func pidOf(unit string) string { return "$(systemctl show -P MainPID " + unit + ")" }

var guardFaults = []fault{
	{"tierd is frozen", "kill -STOP " + pidOf("tierd"), "kill -CONT " + pidOf("tierd")},
	// systemd's new guard knows from what the old one has kept who is idle.
	{"tierd is frozen and the guard is killed", "kill -STOP " + pidOf("tierd") + `
kill -KILL ` + pidOf("tier-guard") + `
for i in $(seq 100); do
	systemctl show -P StatusText tier-guard | grep -q '^Armed; .* by what was heard last$' && break
	sleep 0.1
done
[ "$(stat -c %a /run/tier-guard /run/tier-guard/table.json | xargs)" = "700 600" ]
systemctl show -P StatusText tier-guard | grep '^Armed; .* by what was heard last$'`,
		"kill -CONT " + pidOf("tierd")},
	{"tierd is dead", `systemctl mask --runtime --quiet tierd.service tierd.socket tierd-admit.socket
kill -KILL ` + pidOf("tierd") + `
systemctl stop tierd.socket tierd-admit.socket tierd.service`,
		`systemctl unmask --runtime --quiet tierd.service tierd.socket tierd-admit.socket
systemctl start tierd.socket tierd-admit.socket tierd.service`},
	{"the system bus is frozen", "kill -STOP " + pidOf("dbus"), "kill -CONT " + pidOf("dbus")},
	// A frozen /sbin/init can be had by its control group alone: no signal stops it.
	{"systemd is frozen", "echo 1 >/sys/fs/cgroup/init.scope/cgroup.freeze", "echo 0 >/sys/fs/cgroup/init.scope/cgroup.freeze"},
	{"all disks are full", `fallocate -l $(df --output=avail -B1 / | tail -n 1) /full 2>/dev/null || true
dd if=/dev/zero of=/full2 bs=64k 2>/dev/null || true
mount -o remount,size=$(df --output=used -k /run | tail -n 1 | tr -d ' ')k /run
[ $(df --output=avail -k / | tail -n 1) -lt 64 ] && ! dd if=/dev/zero of=/run/full bs=4k count=4 2>/dev/null
! dd if=/dev/zero of=/var/full bs=64k count=4 2>/dev/null`,
		"mount -o remount,size=20% /run; rm -f /full /full2 /run/full /var/full"},
	{"no descriptor is left", `echo $(($(cut -f 1 /proc/sys/fs/file-nr) + 3000)) >/proc/sys/fs/file-max
systemd-run --quiet --collect --unit=files -E GOMAXPROCS=1 -p User=nobody -p LimitNOFILE=100000 -p StandardOutput=file:/bed/files /run/bed/guest files
until grep -qs held /bed/files; do sleep 0.1; done
cat /proc/sys/fs/file-nr`,
		"echo 1000000 >/proc/sys/fs/file-max; systemctl stop files || true"},
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
	p.hog("-to %d -rate %d", between, leak)
	p.goes("utility")
	pauseInVM(g.t, g.ctx, 2*time.Second) // for a second victim, or a restart, that must not be
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
