//go:build vmtest

package vmtest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	// guardMemory of a VM holds the four tiers of testdata/guard-tiers.toml and leaves some 600 MiB.
	guardMemory = 2 << 30
	// softLine and hardLine are what comes of the reserve in testdata/guard-tiers.toml.
	softLine, hardLine = 256 << 20, 128 << 20
	// between the lines memory is short and not worse.
	between = softLine - 56<<20
	// leak is as fast as the measured scenarios', in bytes a second.
	leak = 100 << 20
	// gone bounds how long a victim may take to end from the crossing of the soft line, grace and a slow exit included.
	gone = 10 * time.Second
)

// guardTiers are the tiers in the order in which they give way while all of them are idle.
var guardTiers = []string{"utility", "reviewer", "coder", "orch"}

// guarded is a VM in which memory runs out, with the package, its guard, and four tiers that are up.
type guarded struct {
	t    *testing.T
	v    *VM
	ctx  context.Context
	pids map[string]string // main process of each tier when the case began
}

// startGuarded boots one and waits until the guard is armed and every tier is up.
func startGuarded(t *testing.T, tiers string) *guarded {
	t.Helper()
	v, ctx := startVM(t, guardMemory)
	installInVM(t, v, ctx, tiers)
	g := &guarded{t: t, v: v, ctx: ctx}
	g.calm()
	return g
}

func guardTiersFile(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("testdata/guard-tiers.toml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// run makes a case of its own of the VM: whatever an earlier one has left is put in order first.
func (g *guarded) run(name string, one func(g *guarded)) {
	g.t.Run(name, func(t *testing.T) {
		if g.ctx.Err() != nil {
			t.Skip("the VM's time is over")
		}
		begin := time.Now()
		c := &guarded{t: t, v: g.v, ctx: g.ctx}
		c.calm()
		t.Logf("all tiers are up and memory is calm after %.1f s", time.Since(begin).Seconds())
		kills := c.oomKills()
		one(c)
		if n := c.oomKills(); n != kills {
			t.Errorf("the kernel has killed %d processes for memory", n-kills)
		}
		t.Logf("the case took %.1f s", time.Since(begin).Seconds())
	})
}

func (g *guarded) sh(script string) string { g.t.Helper(); return inVM(g.t, g.v, g.ctx, script) }

func (g *guarded) oomKills() int64 {
	g.t.Helper()
	return numberInVM(g.t, g.v, g.ctx, "awk '/^oom_kill / { print $2 }' /proc/vmstat")
}

// until repeats a question until its answer is nothing, which is what is still wanted.
func (g *guarded) until(what string, bound time.Duration, wanting func() string) bool {
	g.t.Helper()
	last, begin := "", time.Now()
	for time.Since(begin) < bound {
		if last = wanting(); last == "" {
			return true
		}
		pauseInVM(g.t, g.ctx, 200*time.Millisecond)
	}
	g.t.Errorf("%s: not within %s: %s", what, bound, last)
	return false
}

// calm has every tier up with the guard armed and nothing to do, and notes their processes.
func (g *guarded) calm() {
	g.t.Helper()
	calm := g.until("the guard is calm", time.Minute, func() string {
		switch s, err := g.asked(); {
		case err != nil:
			return err.Error()
		case s.State == nil || !s.State.Armed:
			return fmt.Sprintf("it is not armed: %s %+v", s.Text, s.State)
		case s.State.Level != "calm":
			return fmt.Sprintf("its level is %s, with %d MiB available", s.State.Level, s.State.Available>>20)
		}
		return ""
	})
	if !calm {
		g.t.FailNow()
	}
	g.sh("tierctl start " + strings.Join(guardTiers, " ") + " || tierctl status >&2")
	g.pids = g.mainPIDs()
	for tier, pid := range g.pids {
		if pid == "0" {
			g.t.Fatalf("%s is not up", tier)
		}
	}
	g.until("the tiers are idle", 30*time.Second, func() string {
		s, err := g.asked()
		if err != nil || s.State == nil {
			return fmt.Sprint(err)
		}
		if order := s.order(); !slices.Equal(order, guardTiers) {
			return fmt.Sprintf("the order is %q", order)
		}
		return ""
	})
}

func (g *guarded) mainPIDs() map[string]string {
	g.t.Helper()
	pids := map[string]string{}
	for i, pid := range strings.Fields(g.sh("for t in " + strings.Join(guardTiers, " ") + "; do systemctl show -P MainPID tier-$t.service; done")) {
		pids[guardTiers[i]] = pid
	}
	return pids
}

// untouched wants all tiers but some to have the processes that they had.
func (g *guarded) untouched(but ...string) {
	g.t.Helper()
	for tier, pid := range g.mainPIDs() {
		if !slices.Contains(but, tier) && pid != g.pids[tier] {
			g.t.Errorf("%s had the process %s and has %s", tier, g.pids[tier], pid)
		}
	}
}

// guardAnswer is what tierd's control socket says of the guard, as far as it is looked at.
type guardAnswer struct {
	Connected bool
	Text      string
	State     *struct {
		Armed, DryRun                            bool
		Level                                    string
		Available, Soft, Hard, Refuse, Emergency uint64
		Resident                                 uint64
		Stops, Kills, Looks                      uint64
		Order                                    []struct{ Tier, Why string }
		Would                                    string
	}
	Recent  []guardEvent
	Resting []struct{ Tier, Text string }
}

type guardEvent struct {
	Time             time.Time
	Kind, Tier, Text string
	Available        uint64
}

func (a *guardAnswer) order() (tiers []string) {
	for _, v := range a.State.Order {
		tiers = append(tiers, v.Tier)
	}
	return tiers
}

// about are the events of some kinds since a moment: "ask stop kill".
func (a *guardAnswer) about(since time.Time, kinds string) (list []guardEvent) {
	for _, e := range a.Recent {
		if !e.Time.Before(since) && slices.Contains(strings.Fields(kinds), e.Kind) {
			list = append(list, e)
		}
	}
	return list
}

// asked asks tierd for what the guard knows.
func (g *guarded) asked() (*guardAnswer, error) {
	ctx, cancel := context.WithTimeout(g.ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://tierd/v1/guard", nil)
	if err != nil {
		return nil, err
	}
	res, err := g.v.Control().Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var answer struct {
		Result *guardAnswer
		Error  *struct{ Message string }
	}
	switch err := json.NewDecoder(res.Body).Decode(&answer); {
	case err != nil:
		return nil, fmt.Errorf("status %d: %w", res.StatusCode, err)
	case answer.Result == nil:
		return nil, fmt.Errorf("status %d: %+v", res.StatusCode, answer.Error)
	}
	return answer.Result, nil
}

// guard is asked, where there has to be an answer.
func (g *guarded) guard() *guardAnswer {
	g.t.Helper()
	a, err := g.asked()
	if err != nil {
		g.t.Fatal(err)
	}
	return a
}

// explain has the guard say why it did what it did, where that is not what was wanted. tierd may hang just then.
func (g *guarded) explain() {
	g.t.Helper()
	g.t.Log(g.sh(`head -n 3 /proc/meminfo; cat /proc/pressure/memory; ps -eo pid,stat,rss,wchan:20,args | grep -E 'guest|tier'
timeout 10 tierctl guard
timeout 10 tierctl guard trace /root/why.jsonl && timeout 10 tierctl guard replay /root/why.jsonl | tail -n 40
true`))
}

// settled waits until memory neither comes back nor goes: a process of 300 MiB that has ended gives back its last pages seconds
// later in a User-Mode Linux, and what takes a share of what is available would take too little before.
func (g *guarded) settled() {
	g.t.Helper()
	var last []int64
	g.until("memory has settled", time.Minute, func() string {
		pauseInVM(g.t, g.ctx, 800*time.Millisecond)
		last = append(last, g.available())
		if len(last) < 4 {
			return "too early to tell"
		}
		last = last[len(last)-4:]
		if slices.Max(last)-slices.Min(last) <= 4<<10 {
			return ""
		}
		return fmt.Sprintf("available were %d KiB", last)
	})
}

// vmNow is the VM's clock, which is not the runner's.
func (g *guarded) vmNow() time.Time {
	g.t.Helper()
	return time.Unix(0, numberInVM(g.t, g.v, g.ctx, "date +%s%N"))
}

// gaveWay wants a tier's unit to have ended in order, once and for the reason that everybody is told.
func (g *guarded) gaveWay(tier string) {
	g.t.Helper()
	g.ended(tier)
	g.until(tier+" gave way", 30*time.Second, func() string {
		r, err := g.v.Run(g.ctx, "tierctl status")
		if err == nil && strings.Contains(r.Stdout, "gave way to memory pressure: ") && strings.Contains(r.Stdout, " available") {
			return ""
		}
		return fmt.Sprintf("%v: %s%s", err, r.Stdout, r.Stderr)
	})
}

// ended wants systemd to say that a tier's unit has ended well and was not started again.
func (g *guarded) ended(tier string) {
	g.t.Helper()
	const want = "NRestarts=0 Result=success ActiveState=inactive"
	g.until(tier+" has ended well", 30*time.Second, func() string {
		shown := g.sh("systemctl show -p NRestarts,Result,ActiveState tier-" + tier + ".service | sort | xargs")
		if strings.Join(sorted(want), " ") == shown {
			return ""
		}
		return shown
	})
}

func sorted(words string) []string {
	list := strings.Fields(words)
	slices.Sort(list)
	return list
}
