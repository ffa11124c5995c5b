package guard

import "time"

const (
	every    = 450 * time.Millisecond // samples of the past: with the slowest pace, each look is one
	recently = time.Second            // growth within it is growth
)

// unit is what is remembered of one tier's unit.
type unit struct {
	Unit   string        `json:"unit"`
	Main   int           `json:"main,omitempty"`
	Up     bool          `json:"up,omitempty"`
	RAM    Amount        `json:"ram,omitzero"` // as measured last in this life: an amount that cannot be read for once is what it was
	GPU    Amount        `json:"gpu,omitzero"`
	Held   uint64        `json:"held,omitempty"`   // of both, once RAM is known
	Past   [9]uint64     `json:"past"`             // Held at the samples of past
	Base   uint64        `json:"base,omitempty"`   // Held before the shortage began
	Born   bool          `json:"born,omitempty"`   // this life has begun while the unit was watched: all that it holds, it took since
	Killed time.Duration `json:"killed,omitempty"` // when it was, for one that is followed no more
	Lost   bool          `json:"lost,omitempty"`   // it does not go, or cannot be signalled: told, and left alone in this life
	Spent  bool          `json:"spent,omitempty"`  // would have gone in this shortage, had this not been a dry run
}

// past are samples of the last seconds, by which growth is told from noise.
type past struct {
	Samples [9]sample `json:"samples"`
	Count   int       `json:"count"`
}

// sample is a moment of the past.
type sample struct {
	At      time.Duration `json:"at"`
	Full    time.Duration `json:"full,omitempty"`
	Outside int64         `json:"outside"` // bytes in use that no tier is known to hold
	GTT     uint64        `json:"gtt,omitempty"`
}

func (p *past) oldestIndex() int {
	if p.Count <= len(p.Samples) {
		return 0
	}
	return p.Count % len(p.Samples)
}

func (p *past) oldest() sample { return p.Samples[p.oldestIndex()] }

// of is what a unit held at the oldest sample.
func (p *past) of(u *unit) uint64 { return u.Past[p.oldestIndex()] }

// back is the newest sample that is at least as old as an age; the oldest where there is none.
func (p *past) back(now, age time.Duration) int {
	for i := p.Count - 1; i >= 0 && i > p.Count-1-len(p.Samples); i-- {
		if now-p.Samples[i%len(p.Samples)].At >= age {
			return i % len(p.Samples)
		}
	}
	return p.oldestIndex()
}

// shift moves an amount from outside to a tier, all through the past: it has come to light, it did not grow.
func (g *Guard) shift(amount uint64) {
	for i := range g.Past.Samples {
		g.Past.Samples[i].Outside -= int64(amount)
	}
	g.Short.Base.Outside -= int64(amount)
}

// watch brings the units up to date, and samples the past while no victim is giving back: what it has let go of and the
// kernel has not yet counted as free would look like growth.
func (g *Guard) watch(l *look, fresh bool) {
	for i := range l.tiers {
		g.place(i, &l.tiers[i])
		g.measure(&g.Units[i], &l.tiers[i])
	}
	for i := len(l.tiers); i < len(g.Units); i++ { // tierd no longer speaks of them
		if u := &g.Units[i]; u.Up && u.RAM.Known {
			g.shift(-u.Held)
		}
	}
	g.Units = g.Units[:len(l.tiers)]
	p := &g.Past
	if fresh {
		p.Count = 0
	}
	if p.Count > 0 && (g.Open.Phase != settled || l.At-p.Samples[(p.Count-1)%len(p.Samples)].At < every) {
		return
	}
	at := p.Count % len(p.Samples)
	p.Samples[at] = g.now(l)
	for i := range g.Units {
		g.Units[i].Past[at] = g.Units[i].Held
	}
	p.Count++
}

// now is the present as a sample.
func (g *Guard) now(l *look) sample {
	s := sample{At: l.At, Full: l.Full, Outside: int64(l.Total - l.Available), GTT: l.GTT.Bytes}
	for i := range g.Units {
		s.Outside -= int64(g.Units[i].Held)
	}
	return s
}

// place has the i-th of Units be that of the i-th tier.
func (g *Guard) place(i int, t *TierFacts) {
	for j := i; j < len(g.Units); j++ {
		if g.Units[j].Unit == t.Unit {
			g.Units[i], g.Units[j] = g.Units[j], g.Units[i]
			return
		}
	}
	g.Units = append(g.Units, unit{Unit: t.Unit})
	last := len(g.Units) - 1
	g.Units[i], g.Units[last] = g.Units[last], g.Units[i]
}

// measure takes over what a tier shows.
func (g *Guard) measure(u *unit, t *TierFacts) {
	if !t.Up || t.Main != 0 && u.Main != 0 && t.Main != u.Main { // its end, or another life
		*u = unit{Unit: u.Unit, Spent: u.Spent, Born: true}
	}
	u.Up = t.Up
	if t.Main != 0 {
		u.Main = t.Main
	}
	if !t.Up {
		return
	}
	firstRAM, firstGPU := t.RAM.Known && !u.RAM.Known, t.GPU.Known && !u.GPU.Known
	if t.RAM.Known {
		u.RAM = t.RAM
	}
	if t.GPU.Known {
		u.GPU = t.GPU
	}
	if !u.RAM.Known {
		return
	}
	u.Held = u.RAM.Bytes + u.GPU.Bytes
	switch {
	case u.Born:
	case firstRAM:
		g.appear(u, u.Held)
	case firstGPU:
		g.appear(u, u.GPU.Bytes)
	}
}

// appear is of an amount that a tier has held all along and that can be seen only now.
func (g *Guard) appear(u *unit, amount uint64) {
	u.Base += amount
	for i := range u.Past {
		u.Past[i] += amount
	}
	g.shift(amount)
}

// gives is how much a tier's end is believed to give back: what was measured, and its charge where that is all there is.
func (g *Guard) gives(l *look, i int) uint64 {
	t, u := &l.tiers[i], &g.Units[i]
	switch {
	case !u.RAM.Known && t.Loading:
		return u.GPU.Bytes
	case !u.RAM.Known, !u.GPU.Known && !t.Loading:
		return max(u.Held, u.GPU.Bytes, t.Charge)
	}
	return u.Held
}

// over is by how much a tier is above its charge, if that is more than a charge can be wrong by.
func (g *Guard) over(l *look, i int) uint64 {
	charge, u := l.tiers[i].Charge, &g.Units[i]
	if charge == 0 || !u.RAM.Known || u.Held <= charge || u.Held-charge <= max(charge/10, min(2*gib, l.Total/64)) {
		return 0
	}
	return u.Held - charge
}

// leaks is whether a tier broke its charge and grows.
func (g *Guard) leaks(l *look, i int) bool {
	u := &g.Units[i]
	then := u.Past[g.Past.back(l.At, recently)]
	return g.over(l, i) > 0 && u.Held > then && u.Held-then >= max(l.Total>>14, 64<<10)
}

// outside is whether what memory was lost to is no tier: in the last seconds, or since the shortage began where those show
// nothing. While a tier cannot be measured nobody can tell, and it is not.
func (g *Guard) outside(l *look) bool {
	for i := range l.tiers {
		if g.Units[i].Up && !g.Units[i].RAM.Known {
			return false
		}
	}
	o, in := g.growth(l, g.Past.oldest(), true)
	if max(o, 0)+in < int64(l.Total>>8) {
		o, in = g.growth(l, g.Short.Base, false)
	}
	return o >= int64(l.Total>>8) && o >= 2*in
}

// growth is how much was taken outside the tiers and by them, since a sample.
func (g *Guard) growth(l *look, since sample, recent bool) (outside, inside int64) {
	unseen := false
	for i := range g.Units {
		u, then := &g.Units[i], g.Units[i].Base
		if recent {
			then = g.Past.of(u)
		}
		if u.Up {
			inside += max(int64(u.Held-then), 0)
			unseen = unseen || !u.GPU.Known
		}
	}
	outside = g.now(l).Outside - since.Outside
	if unseen && l.GTT.Known { // it may be theirs
		gtt := max(int64(l.GTT.Bytes-since.GTT), 0)
		outside, inside = outside-gtt, inside+gtt
	}
	return outside, inside
}

// stalls is whether all tasks wait for memory for a tenth of the time or more.
func (g *Guard) stalls(l *look) bool {
	s := g.Past.Samples[g.Past.back(l.At, recently)]
	age := l.At - s.At
	return l.PSI && age >= recently && age <= 3*recently && (l.Full-s.Full)*10 >= age
}
