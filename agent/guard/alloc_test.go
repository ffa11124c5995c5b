package guard

import (
	"testing"
	"time"
)

// busyHost is one on which the guard has all to do: leak upon leak, and tiers that come back.
func busyHost() (*host, *Guard) {
	h, g := bed()
	h.leak = leak{rate: 300e6, limit: 100 * gib}
	for _, p := range h.tiers {
		p.exit, p.restart = 30*time.Millisecond, 100*time.Millisecond
	}
	h.extra = func(h *host, _ time.Duration) {
		if h.available < 20*mib {
			h.available += 900 * mib
		}
	}
	return h, g
}

// TestNoAllocation is what lets the guard act when there is no memory left to be had.
func TestNoAllocation(t *testing.T) {
	h, g := busyHost()
	r, other, f := NewRing(64), NewRing(64), &Facts{}
	acts, text := map[Act]int{}, make([]byte, 0, 512)
	step := func() {
		h.facts(f)
		d := r.Step(g, f)
		acts[d.Act]++
		text = d.AppendText(text[:0])
		r.CopyTo(other)
		h.obey(d)
		for range d.Next / time.Millisecond {
			h.pass(time.Millisecond)
		}
	}
	step() // has the slice of tiers grow
	if n := testing.AllocsPerRun(5000, step); n != 0 {
		t.Errorf("%v allocations a look", n)
	}
	for _, a := range []Act{Nothing, Refuse, Stop, Kill} {
		if acts[a] == 0 {
			t.Errorf("no %s among %v", a, acts)
		}
	}
}

func BenchmarkStep(b *testing.B) {
	for name, make := range map[string]func() (*host, *Guard){"calm": bed, "short": busyHost} {
		b.Run(name, func(b *testing.B) {
			h, g := make()
			f := &Facts{}
			h.facts(f)
			if name == "short" {
				f.Available = 140 * mib
			}
			b.ReportAllocs()
			for b.Loop() {
				f.At += 10 * time.Millisecond
				g.Step(f)
			}
		})
	}
}

func BenchmarkRing(b *testing.B) {
	h, g := bed()
	r, f := NewRing(1000), &Facts{}
	h.facts(f)
	b.ReportAllocs()
	for b.Loop() {
		f.At += 10 * time.Millisecond
		r.Step(g, f)
	}
}
