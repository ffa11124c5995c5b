package guard

import (
	"strings"
	"testing"
	"time"
)

// TestEnds are the ways in which a victim ends, or does not.
func TestEnds(t *testing.T) {
	leak100 := leak{rate: 100e6, limit: 1000 * mib}
	for name, c := range map[string]struct {
		set     func(h *host)
		victims string
		acts    string // of the reviewer
	}{
		"one that goes is found gone, then its memory is": {func(h *host) {}, "reviewer", "stop:idle-tier gone:gone returned:returned"},
		"memory that comes back late is waited for": {func(h *host) { h.tier("reviewer").late = 1500 * time.Millisecond; h.leak.limit = 700 * mib },
			"reviewer", "stop:idle-tier gone:gone returned:returned"},
		"one that ignores SIGTERM is killed after its grace": {func(h *host) { h.tier("reviewer").deaf = true; h.leak.limit = 600 * mib },
			"reviewer", "stop:idle-tier kill:overdue gone:gone returned:returned"},
		"one that does not end though killed is told of once, and the next one goes": {
			func(h *host) { h.tier("reviewer").stuck = true; h.leak = leak{rate: 20e6, limit: 700 * mib} },
			"reviewer orch", "stop:idle-tier kill:overdue alarm:stuck"},
		"and where memory falls fast the next one goes before": {
			func(h *host) { h.tier("reviewer").stuck = true },
			"reviewer orch", "stop:idle-tier kill:overdue alarm:stuck"},
		"one that cannot be signalled is told of once, and the next one goes": {
			func(h *host) {
				h.tier("reviewer").stuck = true
				h.extra = func(h *host, _ time.Duration) {
					if p := h.tier("reviewer"); h.available < 299*mib {
						p.Lost = true
					}
				}
			}, "reviewer orch", "stop:idle-tier alarm:unreachable"},
		"memory that does not come back ends the stopping": {
			func(h *host) { h.tier("reviewer").keeps = true; h.leak = leak{rate: 60e6, limit: 1000 * mib} },
			"reviewer", "stop:idle-tier gone:gone not-returned:not-returned"},
		"memory that does not come back ends it also where the leak has ended": {
			func(h *host) { h.tier("reviewer").keeps = true; h.leak.limit = 505 * mib },
			"reviewer", "stop:idle-tier gone:gone not-returned:not-returned"},
		"one that is back at once has gone all the same": {func(h *host) { h.tier("reviewer").restart = time.Millisecond },
			"reviewer", "stop:idle-tier gone:gone returned:returned"},
		"one that is back at once under a process that nobody knows is followed on": {
			func(h *host) { h.tier("reviewer").restart = 200 * time.Millisecond; h.tier("reviewer").Main = -1000 },
			"reviewer", "stop:idle-tier gone:gone returned:returned"},
	} {
		t.Run(name, func(t *testing.T) {
			h, g := bed()
			h.leak = leak100
			h.tier("utility").Busy = true // too small to matter
			c.set(h)
			s := h.run(t, g, 40*time.Second)
			if got := s.victims(); got != c.victims {
				t.Errorf("victims %q, want %q", got, c.victims)
			}
			if got := s.acts("reviewer"); got != c.acts {
				t.Errorf("reviewer: %s, want %s", got, c.acts)
			}
		})
	}
}

func TestAVictimThatIgnoresItsSignalKeepsItsLifeOnceThereIsEnoughAgain(t *testing.T) {
	h, g := bed()
	h.leak = leak{rate: 100e6, limit: 510 * mib}
	h.tier("reviewer").deaf = true
	h.extra = func(h *host, _ time.Duration) {
		if h.leak.taken == h.leak.limit { // who took it lets go again
			h.available, h.leak.taken, h.leak.rate = 800*mib, 0, 0
		}
	}
	s := h.run(t, g, 30*time.Second)
	if got := s.acts("reviewer"); got != "stop:idle-tier" {
		t.Error(got)
	}
	if g.Open.Phase != settled || g.Short.On {
		t.Errorf("the shortage has not ended: %+v", g.Short)
	}
}

// TestADrain is of a leak in the coder: it may finish its requests while memory lasts.
func TestADrain(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(h *host)
		acts string
	}{
		"a slow leak is drained":                        {func(h *host) { h.leak.rate, h.tier("coder").drain = 20e6, 3*time.Second }, "ask:leaky-tier gone:gone returned:returned"},
		"below the hard line its requests are cut":      {func(h *host) { h.leak.rate, h.tier("coder").drain = 100e6, time.Minute }, "ask:leaky-tier stop:worse gone:gone returned:returned"},
		"a drain that takes too long is cut":            {func(h *host) { h.leak.rate, h.tier("coder").drain = 5e6, time.Minute }, "ask:leaky-tier stop:overdue gone:gone returned:returned"},
		"one that ignores everything is killed":         {func(h *host) { h.leak.rate, h.tier("coder").deaf = 100e6, true }, "ask:leaky-tier stop:worse kill:overdue gone:gone returned:returned"},
		"a pinned one that leaks is no better":          {func(h *host) { h.leak.rate, h.tier("coder").Pinned = 100e6, true }, "ask:leaky-tier gone:gone returned:returned"},
		"one that grows within its charge is kept":      {func(h *host) { h.leak.rate, h.tier("coder").Charge = 100e6, 2100*mib }, ""},
		"one that is above its charge and flat is kept": {func(h *host) { h.leak.rate, h.leak.in, h.tier("coder").Charge = 100e6, "", 500*mib }, ""},
		"one whose charge nobody knows is kept":         {func(h *host) { h.leak.rate, h.tier("coder").Charge = 100e6, 0 }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h, g := bed()
			h.leak = leak{limit: 1000 * mib, in: "coder"}
			c.set(h)
			s := h.run(t, g, 2*time.Minute)
			if got := s.acts("coder"); got != c.acts {
				t.Errorf("coder: %s, want %s", got, c.acts)
			}
			if others := len(strings.Fields(s.victims())); c.acts != "" && others > 1 {
				t.Errorf("victims %q", s.victims())
			}
		})
	}
}

func TestOutsideWithoutEndIsToldOnceAndTheCoderLives(t *testing.T) {
	for _, gtt := range []bool{false, true} {
		h, g := bed()
		h.leak = leak{rate: 100e6, limit: 2600 * mib, gtt: gtt}
		if gtt {
			h.gtt = Amount{600 * mib, true}
		}
		h.tier("utility").Pinned = true
		s := h.run(t, g, time.Minute)
		if s.count(Outside) != 1 || s.count(NoneLeft) != 0 || !h.tier("coder").Up || !h.tier("utility").Up {
			t.Errorf("gtt %v: %d alarms, victims %q", gtt, s.count(Outside), s.victims())
		}
	}
}

func TestGrowthOfGPUMemoryThatATierOwnsIsItsOwn(t *testing.T) {
	h, g := bed()
	h.gtt = Amount{0, true}
	h.extra = func(h *host, dt time.Duration) {
		if p := h.tier("coder"); p.Up && h.available > 0 && h.at > time.Hour+time.Second {
			n := min(h.available, uint64(dt.Seconds()*60*mib))
			h.available, h.gtt.Bytes, p.GPU.Bytes = h.available-n, h.gtt.Bytes+n, p.GPU.Bytes+n
		}
	}
	s := h.run(t, g, 30*time.Second)
	if got := s.victims(); got != "coder" {
		t.Errorf("victims %q", got)
	}
}

func TestADryRunTellsAndSignalsNobodyTwice(t *testing.T) {
	h, g := bed()
	g.Set(g.lines, Pace{FillRate: gib, DryRun: true})
	h.leak = leak{rate: 100e6, limit: 700 * mib}
	for _, p := range h.tiers {
		p.stuck = true
	}
	s := h.run(t, g, 30*time.Second)
	if got := s.victims(); got != "reviewer orch utility" && got != "reviewer" && got != "reviewer orch" {
		t.Errorf("victims %q", got)
	}
	if got := s.acts("reviewer"); got != "stop:idle-tier" {
		t.Error(got)
	}
}

// TestWhatIsSeenLateIsNoGrowth is of tiers and amounts that come to light during a shortage.
func TestWhatIsSeenLateIsNoGrowth(t *testing.T) {
	for name, late := range map[string]func(p *process){
		"a tier that tierd has not yet told of": nil,
		"GPU memory that was not read yet":      func(p *process) { p.GPU, p.hidden = Amount{400 * mib, true}, 0 },
	} {
		t.Run(name, func(t *testing.T) {
			h, g := bed()
			coder := h.tier("coder")
			if late != nil {
				coder.GPU, coder.hidden = Amount{}, 400*mib
			} else {
				h.tiers = h.tiers[1:]
			}
			h.leak = leak{rate: 100e6, limit: 2600 * mib}
			come := false
			h.extra = func(h *host, _ time.Duration) {
				if come || h.available > 120*mib {
					return
				}
				come = true
				if late != nil {
					late(coder)
				} else {
					h.tiers = append(h.tiers, coder)
				}
			}
			s := h.run(t, g, 30*time.Second)
			if !come || !coder.Up || s.count(Outside) != 1 {
				t.Errorf("come %v, up %v, %d alarms", come, coder.Up, s.count(Outside))
			}
		})
	}
}

func TestAnAmountThatCannotBeReadForOnceIsWhatItWas(t *testing.T) {
	h, g := bed()
	h.leak = leak{rate: 100e6, limit: 2600 * mib}
	ram := h.tier("coder").RAM
	h.extra = func(h *host, _ time.Duration) {
		p := h.tier("coder")
		p.RAM = ram
		if h.at/(50*time.Millisecond)%2 == 0 {
			p.RAM = Amount{}
		}
	}
	if s := h.run(t, g, 40*time.Second); !h.tier("coder").Up || s.count(Outside) != 1 {
		t.Errorf("victims %q", s.victims())
	}
}
