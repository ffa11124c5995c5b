package guard

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestScenarios are the measured ones of a machine that runs short, and those where nobody is to go.
func TestScenarios(t *testing.T) {
	const mb = 1000 * 1000
	for name, c := range map[string]struct {
		set     func(h *host)
		long    time.Duration
		victims string
	}{
		"a: a leak outside takes the idle tier of the lowest priority, alone": {func(h *host) { h.leak = leak{rate: 100 * mb, limit: 1000 * mib} }, 0, "reviewer"},
		"b: a fast one too":    {func(h *host) { h.leak = leak{rate: 500 * mb, limit: 1000 * mib} }, 0, "reviewer"},
		"g: and one of 2 GB/s": {func(h *host) { h.leak = leak{rate: 2000 * mb, limit: 1000 * mib} }, 0, "reviewer"},
		"a with 1 GiB of free swap: an idle tier goes all the same":               {func(h *host) { h.leak = leak{rate: 100 * mb, limit: 1000 * mib}; h.swap, h.swapTotal = gib, gib }, 0, "reviewer"},
		"c: a leak inside the coder is found by its charge, and nobody else goes": {func(h *host) { h.leak = leak{rate: 100 * mb, limit: 1000 * mib, in: "coder"} }, 0, "coder"},
		"v: one without end too":                                                          {func(h *host) { h.leak = leak{rate: 100 * mb, limit: 2600 * mib, in: "coder"} }, 0, "coder"},
		"d: memory in no cgroup is told by the charge":                                    {func(h *host) { h.leak = leak{rate: 300 * mb, limit: 1000 * mib, gtt: true}; hide(h) }, 0, "reviewer"},
		"e: page cache takes nothing available":                                           {func(h *host) { h.extra = noise(750*mib, 850*mib) }, 10 * time.Minute, ""},
		"noise above the soft line and stalls take nobody":                                {func(h *host) { h.extra = noise(310*mib, 380*mib) }, 10 * time.Minute, ""},
		"f: the lowest is busy: the idle one that suffices goes, not a smaller one first": {func(h *host) { h.leak = leak{rate: 100 * mb, limit: 684 * mib}; h.tier("reviewer").Busy = true }, 0, "orch"},
		"m: locked pages outside are as any":                                              {func(h *host) { h.leak = leak{rate: 200 * mb, limit: 1000 * mib} }, 0, "reviewer"},
		"u: growth outside without end takes idle tiers alone":                            {func(h *host) { h.leak = leak{rate: 100 * mb, limit: 2600 * mib} }, 0, "reviewer orch utility|reviewer utility orch|reviewer orch"},
		"a leak that stops between hard and soft is held": {func(h *host) {
			h.leak = leak{rate: 40 * mb, limit: 880 * mib}
			h.tier("reviewer").RAM.Bytes = 350 * mib
		}, 0, "reviewer"},
		"pushed to the edge: what the victim gave leaves 254 MiB, flat, and is held": {func(h *host) {
			h.leak = leak{rate: 500 * mb, limit: 566 * mib}
			allBusy(h)
			h.tier("reviewer").Busy, h.tier("reviewer").RAM.Bytes = false, 20*mib
		}, 0, "reviewer"},
		"without a memory controller the charges count":               {func(h *host) { h.leak = leak{rate: 100 * mb, limit: 1000 * mib}; blindfold(h) }, 0, "reviewer"},
		"busy tiers alone, and flat above the hard line: nobody goes": {func(h *host) { h.leak = leak{rate: 100 * mb, limit: 600 * mib}; allBusy(h) }, 0, ""},
	} {
		for exit := range map[time.Duration]bool{50 * time.Millisecond: true, 500 * time.Millisecond: true, time.Second: true, 2 * time.Second: true} {
			t.Run(name+"/exits take "+exit.String(), func(t *testing.T) {
				h, g := bed()
				for _, p := range h.tiers {
					p.exit = exit
				}
				c.set(h)
				s := h.run(t, g, max(c.long, 30*time.Second))
				if got := s.victims(); !slices.Contains(strings.Split(c.victims, "|"), got) {
					t.Errorf("victims %q, want %q", got, c.victims)
				}
				if p := h.tier("coder"); !p.Up && c.victims != "coder" {
					t.Error("the coder is gone")
				}
				if s.acted-s.crossed > 20*time.Millisecond {
					t.Errorf("acted %s after the crossing", s.acted-s.crossed)
				}
			})
		}
	}
}

// hide puts most of what the big ones hold where no cgroup shows it, as dma-heap and GTT do, and nobody tells of it.
func hide(h *host) {
	for _, p := range h.tiers {
		if p.Name == "coder" || p.Name == "orch" {
			p.hidden = p.RAM.Bytes * 85 / 100
			p.RAM.Bytes -= p.hidden
			p.GPU = Amount{}
		}
	}
}

// blindfold is a host without a memory controller.
func blindfold(h *host) {
	for _, p := range h.tiers {
		p.hidden = p.RAM.Bytes
		p.RAM, p.GPU = Amount{}, Amount{}
	}
}

func allBusy(h *host) {
	for _, p := range h.tiers {
		p.Busy = true
	}
}

// noise has available go up and down between two amounts, and tasks wait for half of the time.
func noise(low, high uint64) func(*host, time.Duration) {
	steps := 0
	return func(h *host, dt time.Duration) {
		steps++
		h.full += dt / 2
		h.available = low + uint64(steps*7919%1000)*(high-low)/1000
	}
}
