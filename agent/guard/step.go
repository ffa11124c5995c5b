package guard

import "time"

const (
	leaveAfter  = 10 * time.Second       // above the refuse line, before loads are allowed again
	blind       = 2 * time.Second        // without a look, by a stall or a suspended host: what was seen before says nothing now
	observed    = time.Second            // of looks before a busy tier pays for a growth that might be outside
	goneSoon    = 300 * time.Millisecond // a victim needs that long to give back anything
	reachesHard = 2 * time.Second        // a victim needs that long at most to give back everything
)

// Guard keeps what one look has to know of those before. It is one goroutine's.
type Guard struct {
	lines Lines
	pace  Pace
	memory
}

// memory is all that a Guard remembers, apart from what it was told: with it a trace can begin anywhere.
type memory struct {
	Looked  bool          `json:"looked,omitempty"`
	Last    time.Duration `json:"last"`              // At of the look before
	Began   time.Duration `json:"began"`             // of the first look of those that follow each other without a gap
	Trend   trend         `json:"trend"`             // of Available
	Past    past          `json:"past"`              // of seconds, for who grows
	Units   []unit        `json:"units,omitempty"`   // in the order of Facts.Tiers
	Short   shortage      `json:"short,omitzero"`    // the one that lasts
	Open    action        `json:"open,omitzero"`     // the one that has not come to its end
	Lead    time.Duration `json:"lead,omitempty"`    // before the hard line is reached, by the ends that were seen here; 0: none was
	Resting time.Duration `json:"resting,omitempty"` // until when nobody is chosen, in a dry run
}

// shortage lasts from the crossing of the refuse line until available has been above it again for leaveAfter.
type shortage struct {
	On      bool          `json:"on,omitempty"`
	Told    bool          `json:"told,omitempty"`    // tierd knows that no tier may load
	Above   time.Duration `json:"above,omitempty"`   // since when available is above the line that ends it; 0: it is not
	Victims int           `json:"victims,omitempty"` // taken in it
	Blocked bool          `json:"blocked,omitempty"` // memory of one did not come back: others are spared
	Outside bool          `json:"outside,omitempty"` // that growth is outside has been told
	None    bool          `json:"none,omitempty"`    // that nobody is left has been told
	Base    sample        `json:"base"`              // before it began
}

// New is a guard that has seen nothing yet. The lines have been checked.
func New(l Lines, p Pace) *Guard {
	g := &Guard{lines: l, pace: p}
	g.Units = make([]unit, 0, 2*MaxTiers) // those of one look while those of the one before are sorted out
	return g
}

// Set gives it other lines and another pace from the next look on.
func (g *Guard) Set(l Lines, p Pace) { g.lines, g.pace = l, p }

// look is what one Step works with.
type look struct {
	*Facts
	tiers []TierFacts
	level Level
	slope int64  // over a tenth of a second and more
	fall  uint64 // bytes a second, of one that goes on
}

// Step is what to do after one look. It does not allocate.
func (g *Guard) Step(f *Facts) Decision {
	l := g.see(f)
	d := Decision{Tier: -1, Available: f.Available, Slope: l.slope, Level: max(l.level, g.floor()), Line: g.lines.of(l.level)}
	g.shorten(&l, &d)
	if d.Act == Nothing {
		g.act(&l, &d)
	}
	if d.Act == Nothing && !d.Tell() && g.Short.On && !g.Short.Told {
		g.Short.Told = true
		d.Act, d.Reason, d.Tier, d.Victim = Refuse, Crossed, -1, Figures{}
	}
	d.Next = g.next(&l)
	return d
}

// floor is the least level while a shortage lasts.
func (g *Guard) floor() Level {
	if g.Short.On {
		return BelowRefuse
	}
	return Calm
}

// see takes a look into the memory, and what the memory makes of it.
func (g *Guard) see(f *Facts) look {
	l := look{Facts: f, tiers: f.Tiers[:min(len(f.Tiers), MaxTiers)], level: g.lines.level(f.Available)}
	fresh := !g.Looked || f.At < g.Last || f.At-g.Last > blind
	if fresh {
		g.Looked, g.Began, g.Trend = true, f.At, trend{}
	}
	g.Last = f.At
	g.Trend.add(f.At, f.Available)
	g.watch(&l, fresh)
	l.slope, _ = g.Trend.slope(shortSpan)
	l.fall = g.Trend.fall()
	return l
}

// shorten keeps the shortage: where it begins and where it ends.
func (g *Guard) shorten(l *look, d *Decision) {
	s := &g.Short
	switch above := l.Available >= g.lines.Refuse; {
	case !s.On && !above:
		*s = shortage{On: true, Base: g.Past.oldest()}
		for i := range g.Units {
			g.Units[i].Base = g.Past.of(&g.Units[i])
		}
		d.Level = l.level
	case s.On && !above:
		s.Above = 0
	case s.On && s.Above == 0:
		s.Above = max(l.At, 1)
	case s.On && l.At-s.Above >= leaveAfter && !g.going():
		if s.Told {
			d.Act, d.Reason = Allow, Recovered
		}
		d.Level = Calm
		*s, g.Open = shortage{}, action{}
		for i := range g.Units {
			g.Units[i].Spent = false
		}
	}
}

// going is whether an action is open that will come to its end by itself: a victim that ignores its signal while there is
// enough memory again may keep it.
func (g *Guard) going() bool { return g.Open.Phase == killed || g.Open.Phase == gone }

// act follows the open action, or finds the next one.
func (g *Guard) act(l *look, d *Decision) {
	if g.Open.Phase != settled {
		g.follow(l, d)
		if d.Act != Nothing || d.Reason != Waiting || !g.desperate(l) {
			return
		}
		if b := g.bounds(l); g.pick(l, &b) < 0 {
			return
		}
		g.setAside()
	}
	if g.stuck(l, d) {
		return
	}
	if l.At < g.Resting {
		if l.Available < g.lines.Soft {
			d.Reason = Holding
		}
		return
	}
	g.choose(l, d)
}

// gone is whether memory will have been used up before a victim could give back anything.
func (l *look) gone() bool { return l.fall > 0 && until(l.Available, l.fall) <= goneSoon }

// worsens is whether memory will have reached the hard line before another victim has given back everything: as long as
// one took on this host, so that a fall that ends between the lines costs nobody more.
func (g *Guard) worsens(l *look) bool {
	lead := reachesHard
	if g.Lead > 0 {
		lead = g.Lead
	}
	return l.Available < g.lines.Hard || l.fall > 0 && until(l.Available-g.lines.Hard, l.fall) <= lead
}

// emergency is whether there is no time for grace.
func (g *Guard) emergency(l *look) bool {
	return l.Available < g.lines.Emergency || l.Available < g.lines.Soft && l.gone()
}

// next is when to look again: in time for the next line below.
func (g *Guard) next(l *look) time.Duration {
	slope := min(l.slope, -int64(l.fall))
	switch {
	case g.Open.Phase != settled && (l.Available < g.lines.Soft || g.going() || !g.overdue(l)):
		return quickest
	case l.Available >= g.lines.Soft:
		return g.pace.next(l.Available, g.lines.Soft, slope)
	case l.Available >= g.lines.Hard:
		return min(g.pace.next(l.Available, g.lines.Hard, slope), holding)
	case l.Available >= g.lines.Emergency:
		return min(g.pace.next(l.Available, g.lines.Emergency, slope), holding)
	}
	return min(g.pace.next(l.Available, 0, slope), holding)
}
