//go:build vmtest

package vmtest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestVMGuardBesideEarlyoom runs Debian's earlyoom, by its own unit, beside the guard: whoever's line is the higher acts, on one
// tier, and the other does nothing for the same shortage. tierctl doctor says beforehand who that will be, and its advice helps.
func TestVMGuardBesideEarlyoom(t *testing.T) {
	v, ctx := startVM(t, guardMemory, debsLayer(t, "../guardbench/mkguards.sh"))
	installInVM(t, v, ctx, guardTiersFile(t))
	g := &guarded{t: t, v: v, ctx: ctx}
	g.calm()
	g.sh("systemctl start earlyoom")
	g.run("as Debian sets it up, the guard acts first", (*guarded).beforeEarlyoom)
	g.run("with a higher line than the guard's, earlyoom does", (*guarded).afterEarlyoom)
}

func (g *guarded) beforeEarlyoom() {
	g.doctorSays("earlyoom", "warning", "earlyoom runs, and would end a tier before any other program", "tier-guard acts first, below 256MiB, and earlyoom at ")
	since := g.vmNow()
	p := g.watch()
	p.hog("-to %d -rate %d", softLine+32<<20, leak)
	g.settled()
	// From here on so slowly that what the guard's victim has is back long before memory would be down at earlyoom's line,
	// also on a busy machine; and so much that without the guard it would get there.
	p.hog("-to %d -rate %d", softLine-96<<20, leak/10)
	p.goes("utility")
	pauseInVM(g.t, g.ctx, 2*time.Second) // for a second victim that must not be
	s := p.end()
	p.only(s, "utility")
	g.acts(since, "stop utility")
	g.earlyoomEnded(since)
	g.gaveWay("utility")
	g.untouched("utility")
}

func (g *guarded) afterEarlyoom() {
	g.earlyoomArgs("-m 22")
	found := g.doctorSays("earlyoom", "warning", "earlyoom would act first, at 4", "and take reviewer, while tier-guard waits for its soft line of 256MiB")
	since := g.vmNow()
	p := g.watch()
	p.hog("-to %d -rate %d", softLine-16<<20, leak/2)
	p.goes("reviewer")
	g.sh("tierctl stop reviewer")        // systemd would start it again, and that is another story
	pauseInVM(g.t, g.ctx, 4*time.Second) // the rest is taken; for a second victim that must not be
	s := p.end()
	if len(s.Gone) != 1 || s.OOMKills > 0 {
		g.t.Errorf("gone are %v, and the kernel has killed %d", s.Gone, s.OOMKills)
	}
	g.acts(since)
	g.earlyoomEnded(since, "reviewer")
	g.untouched("reviewer")

	_, line, _ := strings.Cut(found.Fix, "/etc/default/earlyoom: EARLYOOM_ARGS=\"")
	args, _, _ := strings.Cut(line, "\", then: sudo systemctl restart earlyoom")
	g.earlyoomArgs(args)
	g.doctorSays("earlyoom", "ok", "earlyoom runs and is told to spare tiers; tier-guard acts first, below 256MiB, and earlyoom at ")
}

// earlyoomArgs has earlyoom run with these options.
func (g *guarded) earlyoomArgs(args string) {
	g.t.Helper()
	file := fmt.Sprintf("EARLYOOM_ARGS=\"%s\"\n", args)
	if err := g.v.WriteFile(g.ctx, "/etc/default/earlyoom", []byte(file), 0o644); err != nil {
		g.t.Fatal(err)
	}
	g.sh("systemctl restart earlyoom && sleep 1 && systemctl is-active earlyoom")
}

// earlyoomEnded wants earlyoom to have signalled just the engines of these tiers, each once.
func (g *guarded) earlyoomEnded(since time.Time, tiers ...string) {
	g.t.Helper()
	text := g.sh(fmt.Sprintf("journalctl -u earlyoom -o cat --no-pager --since=@%d.%06d", since.Unix(), since.Nanosecond()/1000))
	var sent []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, "sending SIG") {
			sent = append(sent, line)
		}
	}
	wrong := len(sent) != len(tiers)
	for i := range min(len(sent), len(tiers)) {
		wrong = wrong || !strings.Contains(sent[i], "/run/tier/tier-"+tiers[i]+"/")
	}
	if wrong {
		g.t.Errorf("earlyoom was to end %q, and says\n%s", tiers, text)
	}
	g.t.Logf("earlyoom: %q", sent)
}

// finding is one of tierctl doctor's.
type finding struct{ ID, Severity, What, Why, Fix string }

// doctor is what tierctl doctor says of a matter.
func (g *guarded) doctor(id string) finding {
	g.t.Helper()
	text := g.sh("tierctl doctor --format json || [ $? = 3 ]")
	var all []finding
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		g.t.Fatalf("%v: %s", err, text)
	}
	for _, f := range all {
		if f.ID == id {
			return f
		}
	}
	g.t.Fatalf("tierctl doctor says nothing of %s: %s", id, text)
	return finding{}
}

// doctorSays wants a finding of that severity with all of these words, and returns it.
func (g *guarded) doctorSays(id, severity string, words ...string) finding {
	g.t.Helper()
	f := g.doctor(id)
	g.t.Logf("%+v", f)
	for _, w := range words {
		if f.Severity != severity || !strings.Contains(f.What+"; "+f.Why, w) {
			g.t.Errorf("tierctl doctor says %+v; want %s, and %q", f, severity, w)
		}
	}
	return f
}
