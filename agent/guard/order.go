package guard

import "slices"

// Victim is one tier in the order in which tiers would give way.
type Victim struct {
	Tier int // place in Facts.Tiers
	Figures
	Why string // "idle for 9m, priority 10"
}

// Order is who would give way before whom, the first first: tiers that are up and can be stopped. It is that of the looks so
// far and of this one, which need not be the last. It allocates, and changes nothing.
func (g *Guard) Order(f *Facts) []Victim {
	c := g.clone()
	l := c.see(f)
	var all []int
	for i := range l.tiers {
		if c.stoppable(&l, i) {
			all = append(all, i)
		}
	}
	slices.SortFunc(all, func(i, j int) int {
		if c.before(&l, i, j) {
			return -1
		}
		return 1
	})
	list := make([]Victim, 0, len(all))
	for _, i := range all {
		v := c.figures(&l, i)
		list = append(list, Victim{Tier: i, Figures: v, Why: string(v.why(nil))})
	}
	return list
}

// Would is what it would do if memory ran short now: what it is doing where it is short, and else what it would do at the
// soft line. It allocates, and changes nothing.
func (g *Guard) Would(f *Facts) string {
	c, short := g.clone(), *f
	if g.Open.Phase == settled && short.Available >= g.lines.Soft {
		short.Total -= short.Available - (g.lines.Soft - 1) // so that nobody has taken it
		short.Available = g.lines.Soft - 1
		c.Trend = trend{}
		c.Short.Told = true
		c.Began = 0 // it is asked about tiers, not about how long it has been looking
	}
	d := c.Step(&short)
	switch {
	case short.Available == f.Available || d.Reason != Crossed && d.Reason != Holding:
		return string(d.AppendText(nil))
	case c.Short.Victims > 0 || slices.ContainsFunc(f.Tiers, func(t TierFacts) bool { return t.Up && t.Ending }):
		return "nobody would give way until the hard line of " + Size(g.lines.Hard) + " is near: memory is still short from before, and what gave way or is ending holds"
	}
	return "no tier would load, and nobody would give way: no tier is idle, and busy ones are spared above the hard line of " + Size(g.lines.Hard)
}

// clone is the same guard, to try something on.
func (g *Guard) clone() *Guard {
	c := New(g.lines, g.pace)
	g.CopyTo(c)
	return c
}

// copy takes over another's state. It does not allocate where there is room for as many units.
func (g *Guard) copy(from *Guard) {
	units := append(g.Units[:0], from.Units...)
	*g = *from
	g.Units = units
}
