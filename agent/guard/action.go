package guard

import (
	"cmp"
	"time"
)

const (
	leastGrace  = 500 * time.Millisecond
	mostGrace   = 2 * time.Second        // of a Stop
	drainGrace  = 10 * time.Second       // of an Ask: requests end by themselves
	settleAfter = 300 * time.Millisecond // GPU memory comes back late: not judged before
	firstGives  = time.Second            // before a second victim is killed while the first may still give enough
	backWithin  = 2 * time.Second        // half of what a victim held
	stuckAfter  = 4 * time.Second        // from Kill: a process of some GB needs two to exit on a slow host, without being stuck
)

type phase uint8

const (
	settled phase = iota
	asked
	stopped
	killed
	gone // its memory is waited for
)

// action is one victim's way.
type action struct {
	Phase  phase         `json:"phase,omitempty"`
	Victim Figures       `json:"victim,omitzero"`
	Main   int           `json:"main,omitempty"`
	Since  time.Duration `json:"since,omitempty"` // when it was signalled first
	Last   time.Duration `json:"last,omitempty"`  // when it was signalled last, or was found gone
	Grace  time.Duration `json:"grace,omitempty"`
	Held   uint64        `json:"held,omitempty"`  // as measured; 0: it was not
	Start  uint64        `json:"start,omitempty"` // Available when it was signalled
	Low    uint64        `json:"low,omitempty"`   // and the least since
	Fall   uint64        `json:"fall,omitempty"`  // bytes a second that were lost then
}

// begin opens an action on a tier.
func (g *Guard) begin(l *look, d *Decision, i int, act Act, why Reason) {
	g.Short.Victims++
	d.Tier, d.Victim = i, g.figures(l, i)
	if g.pace.DryRun {
		g.Units[i].Spent, g.Resting = true, l.At+backWithin
		d.Act, d.Reason, d.Grace = act, why, g.grace(l, act)
		return
	}
	u := &g.Units[i]
	g.Open = action{Victim: d.Victim, Main: l.tiers[i].Main, Since: l.At, Start: l.Available, Low: l.Available, Fall: l.fall}
	if u.RAM.Known {
		g.Open.Held = u.Held
	}
	g.signal(l, d, act, why)
}

// signal has the open action's victim be signalled.
func (g *Guard) signal(l *look, d *Decision, act Act, why Reason) {
	o := &g.Open
	o.Last, o.Grace = l.At, g.grace(l, act)
	switch act {
	case Ask:
		o.Phase = asked
	case Stop:
		o.Phase = stopped
	case Kill:
		o.Phase = killed
	}
	d.Act, d.Reason, d.Grace = act, why, o.Grace
}

// grace is how long a victim has: as long as memory lasts, within bounds.
func (g *Guard) grace(l *look, act Act) time.Duration {
	switch {
	case act == Ask:
		return min(max(until(l.Available-min(l.Available, g.lines.Hard), l.fall), 2*leastGrace), drainGrace)
	case act != Stop:
		return 0
	case l.Available < g.lines.Hard:
		return leastGrace
	}
	return min(max(until(l.Available-min(l.Available, g.lines.Emergency), l.fall), leastGrace), mostGrace)
}

// overdue is whether the victim has had its time.
func (g *Guard) overdue(l *look) bool {
	grace := g.Open.Grace
	if g.Open.Phase == stopped && l.Available < g.lines.Hard {
		grace = min(grace, leastGrace)
	}
	return l.At-g.Open.Last >= grace
}

// victim is the place of the open action's tier among the tiers, -1 once that life of it has ended.
func (g *Guard) victim(l *look) int {
	for i := range l.tiers {
		t := &l.tiers[i]
		if t.Unit != g.Open.Victim.Unit {
			continue
		}
		if !t.Up || t.Main != 0 && g.Open.Main != 0 && t.Main != g.Open.Main {
			return -1
		}
		return i
	}
	return -1
}

// follow takes the open action a step further.
func (g *Guard) follow(l *look, d *Decision) {
	o := &g.Open
	o.Low = min(o.Low, l.Available)
	i := g.victim(l)
	d.Tier, d.Reason, d.Victim = i, Waiting, o.Victim
	d.Victim.Since = l.At - o.Since
	switch {
	case o.Phase == gone:
		d.Tier = -1
		g.judge(l, d)
	case i < 0:
		g.Lead = min(max(l.At-o.Since, settleAfter, g.Lead), reachesHard)
		o.Phase, o.Last = gone, l.At
		d.Reason = Gone
	case l.tiers[i].Lost:
		g.giveUp(d, i, Unreachable)
	case o.Phase == killed && l.At-o.Last >= stuckAfter:
		g.giveUp(d, i, Stuck)
	case o.Phase == killed || l.Available >= g.lines.Soft: // there is enough again: it may take its time
	case g.emergency(l):
		g.signal(l, d, Kill, Worse)
	case o.Phase == asked && l.Available < g.lines.Hard:
		g.signal(l, d, Stop, Worse)
	case g.overdue(l) && o.Phase == asked:
		g.signal(l, d, Stop, Overdue)
	case g.overdue(l):
		g.signal(l, d, Kill, Overdue)
	}
}

// judge is whether the memory of a victim that has ended is back. A fall that goes on hides some of it, and is made up for; of
// one that has ended meanwhile nobody knows when, so that one is by no more than a quarter of what is waited for.
func (g *Guard) judge(l *look, d *Decision) {
	o := &g.Open
	waited, took := l.At-o.Last, (l.At - o.Since).Seconds()
	back := l.Available - o.Low
	lost := max(min(uint64(float64(o.Fall)*took), o.Held/4), uint64(float64(min(o.Fall, l.fall))*took))
	if l.Available+lost > o.Start {
		back = max(back, l.Available+lost-o.Start)
	}
	d.Victim.Back = min(back, cmp.Or(o.Held, o.Victim.Gives))
	switch {
	case waited < settleAfter:
		return
	case o.Held < l.Total>>8 || back >= o.Held/2:
		d.Reason = Returned
	case waited < backWithin:
		return
	default:
		d.Act, d.Reason = Alarm, NotReturned
		g.Short.Blocked = true
	}
	*o = action{}
}

// giveUp leaves a victim alone for the rest of its life.
func (g *Guard) giveUp(d *Decision, i int, why Reason) {
	g.Units[i].Lost = true
	g.Open = action{}
	d.Act, d.Reason = Alarm, why
}

// desperate is whether memory will be used up even though a victim is on its way. The end of another takes as long as that of
// the first, which has begun: it is of use only where the first gives too little, or is not going.
func (g *Guard) desperate(l *look) bool {
	wait := settleAfter
	if g.lines.Soft > l.Available && g.Open.Held >= g.lines.Soft-l.Available {
		wait = firstGives
	}
	return g.going() && l.At-g.Open.Last >= wait && l.Available < g.lines.Soft && l.gone()
}

// setAside makes way for another victim. One that was killed is still waited for, by its unit.
func (g *Guard) setAside() {
	if g.Open.Phase == killed {
		for i := range g.Units {
			if u := &g.Units[i]; u.Unit == g.Open.Victim.Unit {
				u.Killed = g.Open.Last
			}
		}
	}
	g.Open = action{}
}

// stuck tells of a victim that was set aside and does not go.
func (g *Guard) stuck(l *look, d *Decision) bool {
	for i := range g.Units {
		u := &g.Units[i]
		if u.Killed == 0 || l.At-u.Killed < stuckAfter || u.Lost {
			continue
		}
		u.Lost = true
		d.Act, d.Reason, d.Tier, d.Victim = Alarm, Stuck, i, g.figures(l, i)
		d.Victim.Since = l.At - u.Killed
		return true
	}
	return false
}
