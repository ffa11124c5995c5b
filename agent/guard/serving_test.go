package guard

import (
	"testing"
	"time"
)

// TestBusyTiers is of a coder that grows within its charge, the only one that could give way.
func TestBusyTiers(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(h *host)
		want string
	}{
		"it is spared until the hard line, and then its requests are cut":            {func(h *host) {}, "stop:busy-tier"},
		"also with free swap, and with stalls":                                       {func(h *host) { stalling(h); h.swap, h.swapTotal = gib, gib }, "stop:busy-tier"},
		"where tasks wait and no swap is left it may finish its requests before":     {stalling, "ask:busy-tier"},
		"swap that is used up is no swap":                                            {func(h *host) { stalling(h); h.swap, h.swapTotal = gib/20, gib }, "ask:busy-tier"},
		"no stalls are known: until the hard line":                                   {func(h *host) { stalling(h); h.psi = false }, "stop:busy-tier"},
		"a fall that ends between the lines costs nobody, whatever waits for memory": {func(h *host) { stalling(h); h.leak.limit = 540 * mib; h.leak.rate = 40e6 }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h, g := bed()
			allBusy(h)
			h.tier("coder").Charge = 3000 * mib
			for _, p := range h.tiers {
				p.Priority = 100 - p.Priority
			}
			h.leak = leak{rate: 100e6, limit: 700 * mib, in: "coder"}
			c.set(h)
			s := h.run(t, g, 30*time.Second)
			got := ""
			for _, e := range s.events {
				if e.Act == Ask || e.Act == Stop || e.Act == Kill {
					got = e.Kind() + ":" + e.Reason.String()
					break
				}
			}
			if got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// TestBetweenTwoRequests is of a coder that has nothing in flight for a moment, each time that somebody looks.
func TestBetweenTwoRequests(t *testing.T) {
	for name, c := range map[string]struct {
		idle string
		want Act
	}{
		"it is not taken for idle while memory is short": {"idle=9ms", Nothing},
		"after two seconds it is":                        {"idle=2s", Stop},
	} {
		t.Run(name, func(t *testing.T) {
			g := New(Lines{375 * mib, 300 * mib, 150 * mib, 75 * mib}, Pace{FillRate: gib})
			f := at(400, tiersOf(t, "coder priority=80 "+c.idle))
			g.Step(f)
			var acts []Act
			for range 20 {
				f.At += 100 * time.Millisecond
				f.Tiers[0].Idle += 100 * time.Millisecond
				f.Available = 290 * mib
				if d := g.Step(f); d.Act == Ask || d.Act == Stop || d.Act == Kill {
					acts = append(acts, d.Act)
				}
			}
			if len(acts) > 0 != (c.want != Nothing) || len(acts) > 0 && acts[0] != c.want {
				t.Errorf("%v, want %v", acts, c.want)
			}
		})
	}
}

// stalling has all tasks wait for a fifth of the time.
func stalling(h *host) {
	h.extra = func(h *host, dt time.Duration) { h.full += dt / 5 }
}

// TestALoad is of a tier that loads what was promised to it, while something else takes memory.
func TestALoad(t *testing.T) {
	for name, c := range map[string]struct {
		charge uint64 // MiB, of which 100 are taken
		rate   uint64 // of the load
		want   string
	}{
		"one that will end above the soft line goes on":           {500, 50e6, ""},
		"one that will not is given up below the refuse line":     {900, 100e6, "stop:give-up-load gone:gone returned:returned"},
		"one of which nobody knows that is, at the soft line":     {0, 100e6, "stop:give-up-load gone:gone returned:returned"},
		"slowly too, before it takes what the desktop is to have": {900, 20e6, "stop:give-up-load gone:gone returned:returned"},
	} {
		t.Run(name, func(t *testing.T) {
			h, g := bed()
			p := h.tier("orch")
			p.Loading, p.Charge, p.RAM.Bytes = true, c.charge*mib, 100*mib
			h.leak = leak{rate: c.rate, limit: max(c.charge, 900)*mib - 100*mib, in: "orch"}
			if c.want == "" {
				h.leak.limit = 400 * mib
			}
			s := h.run(t, g, time.Minute)
			if got := s.acts("orch"); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
			if c.want != "" && s.victims() != "orch" {
				t.Errorf("victims %q", s.victims())
			}
			if c.charge == 900 && s.least < 299*mib {
				t.Errorf("least %s", Size(s.least))
			}
		})
	}
}

// TestEmergencyTakesAnotherOnlyWhereTheFirstIsNotEnough is of a fall that no grace can meet.
func TestEmergencyTakesAnotherOnlyWhereTheFirstIsNotEnough(t *testing.T) {
	h, g := bed()
	h.leak = leak{rate: 200e6, limit: 2600 * mib}
	h.tier("reviewer").RAM.Bytes, h.tier("orch").RAM.Bytes = 20*mib, 30*mib
	h.tier("utility").RAM.Bytes = 10 * mib
	for _, p := range h.tiers {
		p.exit = 3 * time.Second
	}
	s := h.run(t, g, 5*time.Second)
	var last time.Duration
	kills := 0
	for _, e := range s.events {
		if e.Act == Kill {
			if kills > 0 && e.at-last < goneSoon {
				t.Errorf("two within %s", e.at-last)
			}
			kills, last = kills+1, e.at
		}
	}
	if kills < 2 || !h.tier("coder").Up {
		t.Errorf("%d kills, victims %q", kills, s.victims())
	}
}

// TestTheRealHost is one with 128 GiB and the lines that follow from it.
func TestTheRealHost(t *testing.T) {
	for name, c := range map[string]struct {
		rate uint64 // GiB a second
		in   string
		want string
	}{
		"a build that takes 20 GiB": {1, "", "reviewer"},
		"at 8 GiB/s":                {8, "", "reviewer"},
		"a KV cache without bounds": {2, "coder", "coder"},
	} {
		t.Run(name, func(t *testing.T) {
			h, _ := bed()
			g := New(HostLines(128*gib), HostPace(128*gib))
			h.total, h.available, h.gtt = 128*gib, 24*gib, Amount{70 * gib, true}
			for name, gb := range map[string]uint64{"coder": 60, "orch": 20, "utility": 4, "reviewer": 14} {
				p := h.tier(name)
				p.RAM.Bytes, p.GPU.Bytes, p.Charge, p.exit = gib, (gb-1)*gib, gb*gib, 700*time.Millisecond
				p.late = 200 * time.Millisecond
			}
			h.leak = leak{rate: c.rate * gib, limit: 20 * gib, in: c.in}
			s := h.run(t, g, time.Minute)
			if got := s.victims(); got != c.want {
				t.Errorf("victims %q, want %q", got, c.want)
			}
			if s.acted-s.crossed > 20*time.Millisecond {
				t.Errorf("acted %s after the crossing", s.acted-s.crossed)
			}
		})
	}
}
