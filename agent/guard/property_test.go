package guard

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// drawHost is any machine with any tiers, which end in any way or not at all.
func drawHost(t *rapid.T) (*host, *Guard) {
	amount := func(most int, name string) uint64 { return uint64(rapid.IntRange(0, most).Draw(t, name)) * mib }
	chance := func(of int, name string) bool { return rapid.IntRange(1, of).Draw(t, name) == 1 }
	h := &host{total: 3008 * mib, available: 200*mib + amount(1000, "available"), at: time.Hour, psi: !chance(4, "noPSI")}
	if chance(2, "swap") {
		h.swapTotal = gib
		h.swap = amount(1024, "swapFree")
	}
	if chance(2, "gtt") {
		h.gtt = Amount{amount(500, "gttUsed"), true}
	}
	for i := range rapid.IntRange(0, 6).Draw(t, "tiers") {
		p := &process{
			exit: time.Duration(rapid.IntRange(1, 2500).Draw(t, "exit")) * time.Millisecond,
			deaf: chance(6, "deaf"), stuck: chance(8, "stuck"), keeps: chance(8, "keeps"),
			drain: time.Duration(rapid.IntRange(0, 15).Draw(t, "drain")) * time.Second,
		}
		if chance(4, "isLate") {
			p.late = time.Duration(rapid.IntRange(0, 3000).Draw(t, "late")) * time.Millisecond
		}
		if chance(3, "restarts") {
			p.restart = time.Duration(rapid.IntRange(1, 5000).Draw(t, "restart")) * time.Millisecond
		}
		p.TierFacts = TierFacts{Up: !chance(8, "down"), RAM: Amount{amount(700, "ram"), true}, GPU: Amount{amount(300, "gpu"), true}}
		if chance(6, "hidden") {
			p.hidden, p.RAM, p.GPU = p.RAM.Bytes+p.GPU.Bytes, Amount{}, Amount{}
		}
		p.Name, p.Charge = fmt.Sprint("t", i), amount(1000, "charge")
		p.Unit = "tier-" + p.Name + ".service"
		p.Priority, p.Pinned, p.Demand = rapid.IntRange(0, 3).Draw(t, "priority"), chance(4, "pinned"), chance(3, "demand")
		p.Loading, p.Ending, p.Busy = chance(5, "loading"), chance(8, "ending"), chance(2, "busy")
		p.Idle = h.at - time.Duration(rapid.IntRange(0, 3600).Draw(t, "idle"))*time.Second
		if chance(2, "mainKnown") {
			p.Main = 100 + i
		}
		h.tiers = append(h.tiers, p)
	}
	h.leak = leak{rate: amount(600, "rate"), limit: amount(3000, "limit"), gtt: chance(3, "leakGTT")}
	if len(h.tiers) > 0 && chance(2, "inside") {
		if p := rapid.SampledFrom(h.tiers).Draw(t, "leaker"); p.RAM.Known {
			h.leak.in = p.Name
		}
	}
	_, g := bed()
	g.Set(g.lines, Pace{FillRate: mib << rapid.IntRange(0, 12).Draw(t, "fill"), DryRun: chance(8, "dryRun")})
	return h, g
}

// stir changes what may change between two looks.
func stir(t *rapid.T, h *host) {
	switch rapid.IntRange(0, 60).Draw(t, "stir") {
	case 0:
		h.available += uint64(rapid.IntRange(0, 400).Draw(t, "more")) * mib
	case 1:
		h.available -= min(h.available, uint64(rapid.IntRange(0, 400).Draw(t, "less"))*mib)
	case 2:
		h.full += time.Second
	case 3:
		h.at += time.Duration(rapid.IntRange(0, 5).Draw(t, "asleep")) * time.Second
	case 4:
		h.leak.rate = uint64(rapid.IntRange(0, 600).Draw(t, "rate")) * mib
	case 5:
		if len(h.tiers) > 1 {
			h.tiers[0], h.tiers[len(h.tiers)-1] = h.tiers[len(h.tiers)-1], h.tiers[0]
		}
	case 6:
		if len(h.tiers) > 0 {
			p := rapid.SampledFrom(h.tiers).Draw(t, "who")
			p.Busy, p.Loading, p.Lost = rapid.Bool().Draw(t, "busy"), rapid.Bool().Draw(t, "loading"), rapid.IntRange(0, 9).Draw(t, "lost") == 0
		}
	}
}

// referee is what must hold of every decision, by what was seen from outside.
type referee struct {
	open   string // the unit of the victim that is on its way
	signed map[string]Act
	lost   map[string]bool
	main   map[string]int
	gone   time.Duration // when the open one was found gone; 0: it was not
	dry    bool
}

func (r *referee) check(t *rapid.T, g *Guard, f *Facts, d Decision) {
	for i := range f.Tiers {
		u, main := f.Tiers[i].Unit, f.Tiers[i].Main
		another := main != 0 && r.main[u] != 0 && main != r.main[u]
		if main != 0 {
			r.main[u] = main
		}
		if !f.Tiers[i].Up || another {
			delete(r.lost, u)
			delete(r.signed, u)
		}
	}
	if d.Next < quickest || d.Next > slowest {
		t.Fatalf("next look in %s", d.Next)
	}
	if len(d.AppendText(nil)) < 10 {
		t.Fatalf("%+v is not explained", d)
	}
	if (d.Kind() != "") != d.Tell() {
		t.Fatalf("%+v is told as %q", d, d.Kind())
	}
	if d.Reason == Gone {
		r.gone = f.At
	}
	if (d.Reason == Returned || d.Reason == NotReturned) && (r.gone == 0 || f.At-r.gone < settleAfter) {
		t.Fatalf("%s: too early", d.AppendText(nil))
	}
	if d.Reason == Recovered && r.gone != 0 {
		t.Fatal("its memory was never told of")
	}
	if d.Reason != Gone && d.Reason != Waiting && d.Reason != Crossed {
		r.gone = 0
	}
	switch d.Reason {
	case Returned, NotReturned, Stuck, Unreachable, Recovered:
		if d.Reason == Recovered || d.Victim.Unit == r.open {
			r.open = ""
		}
		if d.Reason == Stuck || d.Reason == Unreachable {
			if r.lost[d.Victim.Unit] {
				t.Fatalf("told twice: %s", d.AppendText(nil))
			}
			r.lost[d.Victim.Unit] = true
		}
		if d.Reason == Recovered {
			clear(r.signed)
		}
	}
	if d.Act != Ask && d.Act != Stop && d.Act != Kill {
		return
	}
	r.victim(t, g, f, d)
}

func (r *referee) victim(t *rapid.T, g *Guard, f *Facts, d Decision) {
	v, unit := &f.Tiers[d.Tier], f.Tiers[d.Tier].Unit
	switch {
	case unit != d.Victim.Unit || !v.Up || v.Lost:
		t.Fatalf("%s: it is not up, or another", d.AppendText(nil))
	case f.Available >= g.lines.Soft && (d.Reason != GiveUpLoad || f.Available >= g.lines.Refuse):
		t.Fatalf("%s: above the line", d.AppendText(nil))
	case r.lost[unit]:
		t.Fatalf("%s: it was given up", d.AppendText(nil))
	case r.signed[unit] >= d.Act && !r.dry:
		t.Fatalf("%s: after %s already", d.AppendText(nil), r.signed[unit])
	case r.open != "" && r.open != unit && d.Act != Kill:
		t.Fatalf("%s: %s is on its way", d.AppendText(nil), r.open)
	}
	if r.open != unit && v.Pinned && d.Reason != LeakyTier {
		for i := range f.Tiers {
			if o := &f.Tiers[i]; !o.Pinned && o.Up && !o.Lost && !r.lost[o.Unit] && r.signed[o.Unit] == Nothing {
				t.Fatalf("%s: it is pinned, and %s is not", d.AppendText(nil), o.Name)
			}
		}
	}
	r.signed[unit] = d.Act
	if !r.dry {
		r.open = unit
	}
}

func TestDecisions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, g := drawHost(t)
		r := &referee{signed: map[string]Act{}, lost: map[string]bool{}, main: map[string]int{}, dry: g.pace.DryRun}
		ring, f := NewRing(160), &Facts{}
		var whole, cut bytes.Buffer
		w, err := NewWriter(&whole, g)
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 400).Draw(t, "looks") {
			h.facts(f)
			d := ring.Step(g, f)
			r.check(t, g, f, d)
			if err := w.Look(f, d); err != nil {
				t.Fatal(err)
			}
			if !g.pace.DryRun {
				h.obey(d)
			}
			for left := d.Next; left > 0; left -= 5 * time.Millisecond {
				h.pass(min(left, 5*time.Millisecond))
			}
			stir(t, h)
		}
		if err := ring.WriteTrace(&cut); err != nil {
			t.Fatal(err)
		}
		for _, trace := range []*bytes.Buffer{&whole, &cut} {
			if _, err := Replay(trace, nil); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestAnEnd is that whatever happens, once the host's memory no longer changes and who is told to go goes, the guard does
// nothing more after a while.
func TestAnEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, g := drawHost(t)
		for _, p := range h.tiers {
			p.restart = 0
		}
		f, last := &Facts{}, time.Duration(0)
		for h.at < 2*time.Hour {
			h.facts(f)
			d := g.Step(f)
			if d.Act != Nothing {
				last = h.at
			}
			if !g.pace.DryRun {
				h.obey(d)
			}
			h.pass(d.Next)
			if h.at > time.Hour+time.Minute {
				h.leak.rate = 0
			}
			if h.at > time.Hour+5*time.Minute {
				break
			}
		}
		if last > time.Hour+2*time.Minute {
			t.Errorf("it still acts after %s", last-time.Hour)
		}
	})
}
