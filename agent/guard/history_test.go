package guard

import (
	"testing"
	"time"
)

func TestAGuardThatHasJustBegunDoesNotTakeABusyTierForAGrowthItHasNotSeen(t *testing.T) {
	h, g := bed()
	h.available = 140 * mib
	h.tiers = h.tiers[:1] // the coder
	h.leak = leak{rate: 60e6, limit: 2600 * mib}
	s := h.run(t, g, 20*time.Second)
	if s.victims() != "" || s.count(Outside) != 1 {
		t.Errorf("victims %q, %d alarms", s.victims(), s.count(Outside))
	}
}

func TestAGapBetweenLooksIsNoSlope(t *testing.T) {
	_, g := bed()
	f := at(1800, tiersOf(t, "a"))
	for range 10 {
		g.Step(f)
		f.At += 100 * time.Millisecond
	}
	f.At += 3 * time.Second
	f.Available = 400 * mib
	if d := g.Step(f); d.Slope != 0 {
		t.Errorf("%d a second", d.Slope)
	}
	f.At -= time.Hour
	if d := g.Step(f); d.Slope != 0 {
		t.Errorf("%d a second, backwards", d.Slope)
	}
}

func TestNoiseBetweenTheLinesCostsNobodyMore(t *testing.T) {
	h, g := bed()
	h.leak = leak{rate: 100e6, limit: 520 * mib}
	allBusy(h)
	h.tier("utility").Busy, h.tier("reviewer").Busy = false, false
	h.tier("reviewer").RAM.Bytes, h.tier("reviewer").exit = 20*mib, 100*time.Millisecond
	wave := noise(210*mib, 290*mib)
	h.extra = func(h *host, dt time.Duration) {
		if h.at > time.Hour+8*time.Second {
			wave(h, dt)
		}
	}
	if s := h.run(t, g, time.Minute); len(s.victims()) > len("reviewer") {
		t.Errorf("victims %q", s.victims())
	}
}

func TestMemoryThatIsNotYetCountedAsFreeHidesNoGrowthOutside(t *testing.T) {
	h, g := bed()
	h.leak = leak{rate: 40e6, limit: 2600 * mib}
	for _, p := range h.tiers {
		p.late = 1900 * time.Millisecond
	}
	s := h.run(t, g, 80*time.Second)
	if !h.tier("coder").Up || s.count(Outside) != 1 {
		t.Errorf("victims %q", s.victims())
	}
}

func TestAnExitThatGivesAllAtItsEndCostsNobodyElse(t *testing.T) {
	h, g := bed()
	h.leak = leak{rate: 250e6, limit: 1000 * mib}
	h.tier("reviewer").exit, h.tier("reviewer").late = time.Second, time.Millisecond
	if s := h.run(t, g, 20*time.Second); s.victims() != "reviewer" {
		t.Errorf("victims %q", s.victims())
	}
}

// TestWhoGrew is of tiers that come and go while the coder grows within its charge: that is growth inside, so it is told to
// go below the hard line.
func TestWhoGrew(t *testing.T) {
	for name, turn := range map[string]func(h *host){
		"a tier that tierd no longer tells of": func(h *host) { h.tiers = h.tiers[:len(h.tiers)-1] },
		"a tier that ended by itself":          func(h *host) { h.tiers[len(h.tiers)-1].ends = h.at },
	} {
		t.Run(name, func(t *testing.T) {
			h, g := bed()
			allBusy(h)
			h.tier("coder").Charge, h.tier("coder").Priority = 3000*mib, 0
			h.leak = leak{rate: 50e6, limit: 1300 * mib, in: "coder"}
			turned := false
			h.extra = func(h *host, _ time.Duration) {
				if !turned && h.available < 250*mib {
					turned = true
					turn(h)
				}
			}
			s := h.run(t, g, time.Minute)
			if s.victims() != "coder" || s.count(Outside) != 0 {
				t.Errorf("victims %q, %d alarms", s.victims(), s.count(Outside))
			}
		})
	}
}

func TestATierThatBeginsInAShortageHasTakenWhatItHolds(t *testing.T) {
	h, g := bed()
	allBusy(h)
	p := h.tier("orch")
	h.available += p.RAM.Bytes
	p.Up, p.RAM.Bytes = false, 0
	h.available = 360 * mib
	h.extra = func(h *host, dt time.Duration) {
		switch {
		case h.at < time.Hour+3*time.Second:
		case !p.Up && p.ends == 0 && p.Main == 150:
			p.Up, p.Main = true, 1150
			p.RAM.Bytes, h.available = 300*mib, h.available-230*mib // some of it is page cache that was there
		}
	}
	s := h.run(t, g, 20*time.Second)
	if s.count(Outside) != 0 || s.victims() != "reviewer" {
		t.Errorf("victims %q, %d alarms", s.victims(), s.count(Outside))
	}
}

func TestGrowthOfGPUMemoryMayBeThatOfATierWhoseShareNobodyCanRead(t *testing.T) {
	for name, c := range map[string]struct {
		unread  bool
		victims string
	}{
		"it cannot be read: below the hard line a busy one goes": {true, "reviewer"},
		"all can be read: it is outside":                         {false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h, g := bed()
			allBusy(h)
			h.gtt = Amount{500 * mib, true}
			if c.unread {
				h.tier("coder").GPU = Amount{}
			}
			h.leak = leak{rate: 100e6, limit: 680 * mib, gtt: true}
			if s := h.run(t, g, 20*time.Second); s.victims() != c.victims {
				t.Errorf("victims %q, want %q", s.victims(), c.victims)
			}
		})
	}
}
