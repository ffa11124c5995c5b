package guard

import "io"

const blocks = 8

// Ring keeps the last looks of a guard and what was decided. It is in blocks, each of which knows what the guard knew before
// its first look: when the oldest block is given up, what is left can still be replayed, since Step depends on nothing but
// that and the looks. It is one goroutine's, that of the guard.
type Ring struct {
	blocks [blocks]block
	now    int // the block that is being filled
}

type block struct {
	start Guard
	looks []kept
	tiers []TierFacts // of all looks, one after another
}

// kept is one look. The tiers of Facts are in the block.
type kept struct {
	facts    Facts
	tiers    int
	lines    Lines
	pace     Pace
	decision Decision
}

// NewRing has room for about so many looks, fewer with more than five tiers.
func NewRing(looks int) *Ring {
	r, each := &Ring{}, max(looks/blocks, 1)
	for i := range r.blocks {
		b := &r.blocks[i]
		b.start.Units = make([]unit, 0, MaxTiers)
		b.looks = make([]kept, 0, each)
		b.tiers = make([]TierFacts, 0, max(5*each, MaxTiers))
	}
	return r
}

// Step has the guard take a step, and keeps the look and the decision. It does not allocate.
func (r *Ring) Step(g *Guard, f *Facts) Decision {
	tiers := f.Tiers[:min(len(f.Tiers), MaxTiers)]
	b := &r.blocks[r.now]
	if len(b.looks) == cap(b.looks) || len(b.tiers)+len(tiers) > cap(b.tiers) {
		r.now = (r.now + 1) % blocks
		b = &r.blocks[r.now]
		b.looks, b.tiers = b.looks[:0], b.tiers[:0]
	}
	if len(b.looks) == 0 {
		b.start.copy(g)
	}
	k := kept{facts: *f, tiers: len(tiers), lines: g.lines, pace: g.pace}
	k.facts.Tiers = nil
	b.tiers = append(b.tiers, tiers...)
	k.decision = g.Step(f)
	b.looks = append(b.looks, k)
	return k.decision
}

// CopyTo makes another ring of the same room the same: what is written outside the hot loop must not change meanwhile. It
// does not allocate.
func (r *Ring) CopyTo(to *Ring) {
	to.now = r.now
	for i := range r.blocks {
		from, into := &r.blocks[i], &to.blocks[i]
		into.start.copy(&from.start)
		into.looks = append(into.looks[:0], from.looks...)
		into.tiers = append(into.tiers[:0], from.tiers...)
	}
}

// WriteTrace writes what is kept as a trace, the oldest look first. It allocates.
func (r *Ring) WriteTrace(w io.Writer) error {
	var t *Writer
	var lines Lines
	var pace Pace
	for i := range blocks {
		b := &r.blocks[(r.now+1+i)%blocks]
		at := 0
		for _, k := range b.looks {
			var err error
			switch {
			case t == nil:
				t, err = NewWriter(w, &b.start)
			case k.lines != lines || k.pace != pace:
				err = t.Set(k.lines, k.pace)
			}
			if err != nil {
				return err
			}
			lines, pace = k.lines, k.pace
			k.facts.Tiers = b.tiers[at : at+k.tiers]
			at += k.tiers
			if err := t.Look(&k.facts, k.decision); err != nil {
				return err
			}
		}
	}
	return nil
}
