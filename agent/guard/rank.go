package guard

import "time"

// rank is the kind of tier that a tier is for the guard: the lowest gives way first.
type rank uint8

const (
	loading  rank = iota // it grows, and nobody works with it yet
	leaking              // its value is lost: it takes that of all others
	onDemand             // idle, and comes back when it is asked for
	idle
	ending // busy, but about to go anyway
	busy
	pinned // added to those above: after all that are not
)

func (g *Guard) rank(l *look, i int) rank {
	t, r := &l.tiers[i], busy
	switch {
	case g.leaks(l, i) && !t.Loading:
		return leaking // pinned or not
	case t.Loading:
		r = loading
	case t.Ending:
		r = ending
	case g.busy(l, i):
	case t.Demand:
		r = onDemand
	default:
		r = idle
	}
	if t.Pinned {
		r += pinned
	}
	return r
}

// atRest is how long a tier is without a request before it is idle: between two requests of one session there are moments.
const atRest = 2 * time.Second

// busy is whether somebody works with a tier.
func (g *Guard) busy(l *look, i int) bool {
	t := &l.tiers[i]
	return t.Busy || !t.Loading && l.At-t.Idle < atRest
}

// serves is whether a tier of this rank has requests.
func (r rank) serves() bool {
	return r == ending || r == busy || r == pinned+ending || r == pinned+busy
}

func (r rank) isIdle() bool {
	return r == onDemand || r == idle || r == pinned+onDemand || r == pinned+idle
}

// before is whether tier i gives way before tier j.
func (g *Guard) before(l *look, i, j int) bool {
	a, b := g.rank(l, i), g.rank(l, j)
	if a != b {
		return a < b
	}
	s, t := &l.tiers[i], &l.tiers[j]
	if s.Priority != t.Priority {
		return s.Priority < t.Priority
	}
	if a.isIdle() && s.Idle != t.Idle {
		return s.Idle < t.Idle
	}
	return i < j
}

// stoppable is whether a tier can be a victim at all.
func (g *Guard) stoppable(l *look, i int) bool {
	t, u := &l.tiers[i], &g.Units[i]
	return t.Up && !t.Lost && !u.Lost && !u.Spent && u.Killed == 0 && t.Unit != g.Open.Victim.Unit
}

// bounds are what this look allows, apart from who it is.
type bounds struct {
	another   bool // another idle one may go
	serving   bool // one that serves may
	outside   bool
	unpinned  bool // one that is not pinned can be stopped
	emergency bool
	need      uint64 // bytes that a victim should give back
}

func (g *Guard) bounds(l *look) bounds {
	b := bounds{outside: g.outside(l), emergency: g.emergency(l)}
	short, worse := l.Available < g.lines.Soft, g.worsens(l)
	swap := l.SwapTotal > 0 && l.SwapFree >= l.SwapTotal/10
	b.serving = short && !b.outside && l.At-g.Began >= observed &&
		(b.emergency || l.Available < g.lines.Hard || worse && g.stalls(l) && !swap)
	if short {
		b.need = g.lines.Soft - l.Available + min(2*l.fall, g.lines.Soft-g.lines.Hard) // what is lost until it gives
	}
	coming := g.Short.Victims > 0
	for i := range l.tiers {
		can := g.stoppable(l, i)
		b.unpinned = b.unpinned || can && !l.tiers[i].Pinned
		coming = coming || can && l.tiers[i].Ending && g.gives(l, i) >= b.need // somebody else has told it to end
	}
	b.another = short && (!coming || worse || b.emergency)
	return b
}

// may is whether a tier may give way now.
func (g *Guard) may(l *look, b *bounds, i int) bool {
	r := g.rank(l, i)
	switch {
	case !g.stoppable(l, i) || r >= pinned && b.unpinned:
		return false
	case r == loading || r == pinned+loading:
		return l.Available < g.lines.Soft || g.tooLarge(l, i)
	case r == leaking:
		return b.another
	case g.Short.Blocked:
		return false
	case r.isIdle():
		return b.another
	}
	return b.serving
}

// tooLarge is whether a load will end below the soft line, by what it still has to take, and is on its way there.
func (g *Guard) tooLarge(l *look, i int) bool {
	t, u := &l.tiers[i], &g.Units[i]
	return l.Available < g.lines.Refuse && u.RAM.Known && t.Charge > u.Held && l.Available >= g.lines.Soft &&
		t.Charge-u.Held > l.Available-g.lines.Soft && l.fall > 0 && until(l.Available-g.lines.Soft, l.fall) <= 2*time.Second
}

// choose finds the victim, and how it is to go.
func (g *Guard) choose(l *look, d *Decision) {
	if !g.Short.On {
		return
	}
	b := g.bounds(l)
	i := g.pick(l, &b)
	if i < 0 {
		g.none(l, &b, d)
		return
	}
	why, act := IdleTier, Stop
	switch r := g.rank(l, i); {
	case r == loading || r == pinned+loading:
		why = GiveUpLoad
	case r == leaking:
		why = LeakyTier
	case r.serves():
		why = BusyTier
	}
	switch {
	case b.emergency:
		act = Kill
		if why != LeakyTier && why != GiveUpLoad {
			why = InEmergency
		}
	case l.Available >= g.lines.Hard && (why == LeakyTier || why == BusyTier):
		act = Ask
	}
	g.begin(l, d, i, act, why)
}

// pick is the first in the order that may go, but not one whose end would not help where that of a later one would: among
// idle ones, and in an emergency among all. Where no end suffices, an emergency takes the one that gives most.
func (g *Guard) pick(l *look, b *bounds) int {
	first, enough, most := -1, -1, -1
	for i := range l.tiers {
		if !g.may(l, b, i) {
			continue
		}
		if first < 0 || g.before(l, i, first) {
			first = i
		}
		gives := g.gives(l, i)
		if (b.emergency || g.rank(l, i).isIdle()) && gives >= b.need && (enough < 0 || g.before(l, i, enough)) {
			enough = i
		}
		if most < 0 || gives > g.gives(l, most) || gives == g.gives(l, most) && g.before(l, i, most) {
			most = i
		}
	}
	switch {
	case first < 0 || g.rank(l, first) == leaking:
		return first
	case b.emergency && enough < 0:
		return most
	case enough >= 0 && (b.emergency || g.rank(l, first).isIdle() && g.gives(l, first) > 0):
		return enough
	}
	return first
}

// none says why nobody gives way, to a person where that is a matter of concern.
func (g *Guard) none(l *look, b *bounds, d *Decision) {
	if l.Available >= g.lines.Soft {
		return
	}
	d.Reason = Holding
	if !g.worsens(l) {
		return
	}
	left, serving := false, false
	for i := range l.tiers {
		left = left || g.stoppable(l, i)
		serving = serving || g.stoppable(l, i) && g.rank(l, i).serves()
	}
	switch {
	case g.Short.Blocked: // told as such
	case !left:
		d.Reason = NoneLeft
		g.tellOnce(d, &g.Short.None)
	case b.outside:
		d.Reason = Outside
		g.tellOnce(d, &g.Short.Outside)
	}
}

// tellOnce makes an alarm of what was not told yet in this shortage.
func (g *Guard) tellOnce(d *Decision, told *bool) {
	if !*told {
		*told, d.Act = true, Alarm
	}
}

// figures are those of a tier now.
func (g *Guard) figures(l *look, i int) Figures {
	t := &l.tiers[i]
	f := Figures{Name: t.Name, Unit: t.Unit, Priority: t.Priority, Pinned: t.Pinned, Demand: t.Demand, Loading: t.Loading, Busy: g.busy(l, i),
		Gives: g.gives(l, i), Over: g.over(l, i), Leaks: g.leaks(l, i) && !t.Loading}
	if !f.Busy && !t.Loading {
		f.Idle = max(l.At-t.Idle, 0)
	}
	return f
}
