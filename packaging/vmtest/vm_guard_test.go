//go:build vmtest

package vmtest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/packaging/vmtest/load"
	"github.com/tierd/tierd/packaging/vmtest/wire"
)

// TestVMGuard shows the guard of the built package while memory runs out outside of the tiers: who gives way, what everybody
// hears of it, what becomes of requests, and that it all comes back by itself. Then the guard is killed, upgraded and removed.
func TestVMGuard(t *testing.T) {
	g := startGuarded(t, guardTiersFile(t))
	g.standing()
	g.run("an idle tier gives way to a leak outside, and comes back", (*guarded).givesWay)
	g.run("a user tries the guard out", (*guarded).tried)
	g.run("a load that is ordered while memory is short waits, and hears why", (*guarded).refused)
	g.run("a guard that is killed while memory is short is back at once", func(g *guarded) { g.killedGuard("true", "true") })
	g.run("a guard that is killed while tierd is frozen still knows who is idle", func(g *guarded) {
		g.killedGuard("kill -STOP "+pidOf("tierd"), "kill -CONT "+pidOf("tierd"))
	})
	g.run("a package that is installed again has the guard start anew", (*guarded).upgrade)
	if !t.Failed() {
		g.t = t
		g.removal()
	}
}

// standing is how the guard's unit is after a boot, and what it costs.
func (g *guarded) standing() {
	g.t.Helper()
	shown := g.sh("systemctl show -p ActiveState,SubState,StatusText,NRestarts,Slice,MainPID,OOMScoreAdjust tier-guard.service")
	g.t.Log(shown)
	for _, want := range []string{"ActiveState=active", "SubState=running", "StatusText=Armed", "NRestarts=0", "OOMScoreAdjust=-900"} {
		if !strings.Contains(shown, want) {
			g.t.Errorf("tier-guard.service does not show %s", want)
		}
	}
	g.t.Log(g.sh("systemd-analyze security --no-pager tier-guard.service | tail -n 1"))
	score := g.sh("systemd-analyze security --no-pager tier-guard.service | sed -n 's/.*Overall exposure level for tier-guard.service: \\([0-9.]*\\).*/\\1/p'")
	if n, err := strconv.ParseFloat(score, 64); err != nil {
		g.t.Errorf("systemd-analyze security says %q", score)
	} else {
		bench("vm-guard-exposure", n, "", 3)
	}
	kib := numberInVM(g.t, g.v, g.ctx, "awk '/^VmRSS/ { print $2 }' /proc/$(systemctl show -P MainPID tier-guard)/status")
	bench("vm-guard-resident", float64(kib)/1024, "MiB", 5)
	g.t.Log(g.sh("grep -E '^(Vm(RSS|Lck|Swap)|Threads)' /proc/$(systemctl show -P MainPID tier-guard)/status; tierctl guard; tierctl doctor 2>&1 | grep -i -A 3 guard"))
}

// busyCoder has coder answer requests without a pause; the function ends that, and no request may have failed.
func (g *guarded) busyCoder() (stop func()) {
	g.t.Helper()
	g.sh("systemd-run --quiet --collect --unit=busy -p StandardOutput=file:/bed/busy.json -p TimeoutStopSec=120 /run/bed/guest load" +
		" -streams 1 -length 2 -bound 100s -out /bed/busy.jsonl -target coder:8002:coder:coder-main")
	g.until("coder is busy", 30*time.Second, func() string {
		if a := g.guard(); a.State != nil {
			for _, v := range a.State.Order {
				if v.Tier == "coder" && strings.HasPrefix(v.Why, "busy") {
					return ""
				}
			}
		}
		return "it is not"
	})
	return func() {
		g.t.Helper()
		g.sh("systemctl stop busy")
		raw, err := os.ReadFile(filepath.Join(g.v.Share(), "busy.json"))
		if err != nil {
			g.t.Fatal(err)
		}
		var tally load.Tally
		if err := json.Unmarshal(raw, &tally); err != nil {
			g.t.Fatalf("cannot read what the load came to: %v: %q", err, raw)
		}
		g.t.Logf("coder: %v", &tally)
		if tally.NotOK() > 0 || tally.Requests < 1 {
			g.t.Errorf("of %d requests to coder %d failed", tally.Requests, tally.NotOK())
		}
	}
}

func (g *guarded) givesWay() {
	stop := g.busyCoder()
	g.t.Log(g.sh("tierctl guard"))
	since := g.vmNow()

	p := g.watch()
	p.hog("-to %d -rate %d", between, leak)
	p.goes("utility")
	waiting := make(chan error, 1)
	go func() { // for a tier that gave way: held until it may load again
		_, err := g.v.Chat(g.ctx, 8012, "utility", "Say hello.", 8)
		waiting <- err
	}()
	g.t.Log(g.sh("tierctl guard; tierctl guard --format json | jq -c '{level: .state.level, resting}'"))
	if a := g.guard(); a.State == nil || a.State.Level == "calm" || len(a.Resting) != 1 || a.Resting[0].Tier != "utility" {
		g.t.Errorf("while memory is short the guard says %+v", a)
	}
	s := p.end()
	p.only(s, "utility")
	p.figures("vm-guard-idle", s, "utility")
	g.gaveWay("utility")
	g.untouched("utility")
	g.told(since, "utility", "utility gives way: ")

	// The next one is the lowest of those that start with the host.
	g.until("loads are allowed", 60*time.Second, func() string { return g.level("calm") })
	p = g.watch()
	p.hog("-to %d -rate %d", between, leak)
	p.goes("reviewer")
	went := time.Now()
	g.toldToWait()
	s = p.end()
	p.only(s, "reviewer")
	p.figures("vm-guard-boot-tier", s, "reviewer")
	g.gaveWay("reviewer")
	g.untouched("utility", "reviewer")

	g.until("reviewer is back by itself", 150*time.Second, func() string {
		return g.differs("systemctl show -P ActiveState tier-reviewer.service", "active")
	})
	bench("vm-guard-back-by-itself", time.Since(went).Seconds(), "s", 120)
	select {
	case err := <-waiting:
		if err != nil {
			g.t.Errorf("the request for the tier that gave way: %v", err)
		}
	case <-time.After(4 * time.Minute):
		g.t.Error("the request for the tier that gave way is not answered")
	}
	stop()
	g.untouched("utility", "reviewer")
	g.t.Log(g.sh("tierctl guard"))
	g.t.Log(g.sh("tierctl guard trace /root/trace.jsonl && wc -l /root/trace.jsonl && tierctl guard replay /root/trace.jsonl | tail -n 5"))
}

// level is "" when the guard's level is that.
func (g *guarded) level(want string) string {
	if a := g.guard(); a.State == nil || a.State.Level != want {
		return fmt.Sprintf("the guard says %+v", a.State)
	}
	return ""
}

// differs is "" when a command writes just that.
func (g *guarded) differs(script, want string) string {
	g.t.Helper()
	if got := g.sh(script); got != want {
		return got
	}
	return ""
}

// refused orders a tier to load right after it gave way.
func (g *guarded) refused() {
	p := g.watch()
	p.hog("-to %d -rate %d", between, leak)
	p.goes("utility")
	r, err := g.v.Run(g.ctx, "timeout 5 tierctl start utility; systemctl show -P StatusText tier-utility.service")
	if err != nil {
		g.t.Error(err)
	}
	g.t.Logf("ordered to start: %s%s", r.Stdout, r.Stderr)
	if text := r.Stdout + r.Stderr; !strings.Contains(strings.ToLower(text), "memory is short") {
		g.t.Errorf("a start while memory is short hears %q", text)
	}
	p.only(p.end(), "utility")
	g.untouched("utility")
}

// toldToWait asks for reviewer, whose requests are not held for as long as it rests.
func (g *guarded) toldToWait() {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.ctx, time.Minute)
	defer cancel()
	const body = `{"model":"reviewer","max_tokens":8,"messages":[{"role":"user","content":"Say hello."}]}`
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://127.0.0.1:8011/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	res, err := g.v.HTTP().Do(req)
	if err != nil {
		g.t.Error(err)
		return
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	g.t.Logf("%s, Retry-After %q: %s", res.Status, res.Header.Get("Retry-After"), text)
	if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); res.StatusCode != 503 || err != nil || seconds < 1 ||
		!strings.Contains(string(text), "gave way to memory pressure: ") {
		g.t.Errorf("a request for a tier that rests is not told so")
	}
}

// told wants the guard's journal and tierd's events to have a sentence.
func (g *guarded) told(since time.Time, tier, sentence string) {
	g.t.Helper()
	for _, where := range []string{fmt.Sprintf("journalctl -u tier-guard -o cat --since=@%d", since.Unix()), "tierctl events"} {
		if text := g.sh(where); !strings.Contains(text, sentence) {
			g.t.Errorf("%s has nothing like %q:\n%s", where, sentence, text)
		}
	}
	g.acts(since, "stop "+tier)
}

// killedGuard has a shortage meet a guard that is stopped, then killed: systemd's new one has to see to it, whatever is wrong
// with tierd.
func (g *guarded) killedGuard(begin, end string) {
	// The guard keeps what tierd says once a second, and the tiers must be old news by then.
	g.until("the guard has kept who is idle", 10*time.Second, func() string {
		return g.differs("jq '[.table.tiers[] | select(.busy or .loading)] | length' /run/tier-guard/table.json", "0")
	})
	old := g.sh("systemctl show -P MainPID tier-guard")
	end += "; systemctl service-watchdogs yes"
	g.t.Cleanup(func() { _, _ = g.v.Run(g.ctx, end) })
	// systemd's watchdog would kill it as well, before memory is short where the machine is slow.
	g.sh("systemctl service-watchdogs no; " + begin + "; kill -STOP " + old)
	p := g.watch()
	p.hog("-to %d -rate %d", between, 4*leak)
	if !p.until(20*time.Second, func(s wire.Shortage) bool { return !s.Crossed.IsZero() }) {
		g.t.Error("memory is not short")
	}
	killed := time.Now()
	g.sh("kill -KILL " + old)
	p.goes("utility")
	bench("vm-guard-killed-gone", milliseconds(time.Since(killed)), "ms", 5000)
	pauseInVM(g.t, g.ctx, 2*time.Second) // for a second victim that must not be
	s := p.end()
	g.sh(end)
	p.only(s, "utility")
	g.untouched("utility")
	g.gaveWay("utility")
}

// upgrade installs the package once more.
func (g *guarded) upgrade() {
	old := g.sh("systemctl show -P MainPID tier-guard")
	deb, err := g.v.CopyIn(fixture.deb)
	if err != nil {
		g.t.Fatal(err)
	}
	g.sh("dpkg -i --force-confold " + deb)
	g.until("the guard is armed again", 30*time.Second, func() string {
		text := g.sh("systemctl show -p MainPID,StatusText tier-guard")
		if strings.Contains(text, "StatusText=Armed") && !strings.Contains(text+"\n", "MainPID="+old+"\n") {
			return ""
		}
		return text
	})
	g.untouched()
	p := g.watch()
	p.hog("-to %d -rate %d", between, leak)
	p.goes("utility")
	s := p.end()
	p.only(s, "utility")
	g.gaveWay("utility")
}

// removal takes the package away.
func (g *guarded) removal() {
	g.t.Helper()
	begin := time.Now()
	g.sh("dpkg --purge tierd")
	if left := g.sh("pgrep -a tier || true; systemctl list-units --all --no-legend 'tier*' || true; ls -d /run/tierd /run/tier-guard /usr/lib/systemd/system/tier* /etc/systemd/system/*.wants/tier* 2>/dev/null || true"); left != "" {
		g.t.Errorf("after the removal there is left: %s", left)
	}
	g.t.Logf("removed in %.1f s", time.Since(begin).Seconds())
}
