//go:build vmtest

package vmtest

import (
	"fmt"
	"testing"
	"time"
)

// noise is what makes the kernel busy with memory while there is enough of it: a file that is larger than all memory, read again
// and again, and processes that stall because their control group has reached its own bound.
const noise = `truncate -s 3G /noise
systemd-run --quiet --unit=noise-cache bash -c 'while :; do cat /noise >/dev/null; done'
systemd-run --quiet --unit=noise-stall -p MemoryHigh=40M bash -c 'while :; do timeout -s KILL 2 /run/bed/guest hog -size 100000000 -rate 200000000; done'
systemd-run --quiet --unit=noise-reclaim -p MemoryHigh=30M bash -c 'while :; do cat /noise >/dev/null; done'`

// TestVMGuardInNoise shows that pressure figures and a full page cache stop nobody.
func TestVMGuardInNoise(t *testing.T) {
	g := startGuarded(t, guardTiersFile(t))
	g.run("nobody gives way to noise", func(g *guarded) {
		since := g.vmNow()
		pressure := func(kind string) int64 {
			return numberInVM(t, g.v, g.ctx, "awk '/^"+kind+" / { sub(/.*total=/, \"\"); print }' /proc/pressure/memory")
		}
		some, full := pressure("some"), pressure("full")
		looks := g.guard().State.Looks
		p := g.watch()
		begin := time.Now()
		g.sh(noise)
		pauseInVM(t, g.ctx, minutes(t, "TIERD_VM_NOISE", 3))
		lasted := time.Since(begin)
		g.t.Log(g.sh("cat /proc/pressure/memory; systemctl show -p MemoryCurrent,MemoryPeak noise-cache noise-stall noise-reclaim; tierctl guard"))
		g.sh("systemctl stop noise-cache noise-stall noise-reclaim; rm /noise")
		s := p.end()
		p.only(s)
		g.untouched()
		if list := g.guard().about(since, "refuse allow ask stop kill gone returned not-returned alarm"); len(list) > 0 {
			g.t.Errorf("the guard did something: %+v", list)
		}
		a := g.guard().State
		if a.Stops != 0 || a.Level != "calm" {
			g.t.Errorf("the guard says %+v", a)
		}
		share := func(total int64) float64 { return float64(total) / float64(lasted.Microseconds()) * 100 }
		bench("vm-guard-noise-stopped", float64(len(s.Gone)), "", 0)
		benchAtLeast("vm-guard-noise-stalled-some-percent", share(pressure("some")-some), "", 5)
		fmt.Printf("noise: full %.1f %% of the time, %d looks in %s, least available %d MiB\n", share(pressure("full")-full), a.Looks-looks, lasted.Round(time.Second), s.Least>>20)
	})
}
