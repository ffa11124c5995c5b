package guard

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// host is a machine with tiers and something that takes memory, without chance. One tick is the time between two looks.
type host struct {
	total, available, swap, swapTotal uint64
	at                                time.Duration
	full                              time.Duration
	psi                               bool
	gtt                               Amount
	tiers                             []*process
	leak                              leak
	extra                             func(h *host, dt time.Duration)
}

// process is a tier with its way of ending.
type process struct {
	TierFacts
	exit    time.Duration // from the signal to the last process
	late    time.Duration // from there until memory comes back
	deaf    bool          // ignores SIGTERM
	stuck   bool          // in uninterruptible sleep
	keeps   bool          // its memory does not come back
	drain   time.Duration // Ask: how long its requests take
	restart time.Duration // comes back after it has ended; 0: it does not
	hidden  uint64        // what it holds beside what its TierFacts show

	began, ends, frees, again time.Duration
	debt                      uint64
}

type leak struct {
	rate, limit, taken uint64
	in                 string // a tier; else outside
	gtt                bool
}

func (p *process) holds() uint64 { return p.RAM.Bytes + p.GPU.Bytes + p.hidden }

func (h *host) tier(name string) *process {
	for _, p := range h.tiers {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// pass lets time go by.
func (h *host) pass(dt time.Duration) {
	h.at += dt
	for _, p := range h.tiers {
		if p.Up && p.ends != 0 && h.at >= p.began && h.at < p.ends && p.late == 0 && !p.keeps { // an exit frees page by page
			n := min(p.RAM.Bytes, uint64(float64(p.RAM.Bytes)*dt.Seconds()/(p.ends-h.at+dt).Seconds()))
			p.RAM.Bytes -= n
			h.available += n
		}
		if p.Up && p.ends != 0 && h.at >= p.ends {
			p.Up, p.ends = false, 0
			p.debt, p.frees = p.holds(), h.at+p.late
			if h.gtt.Known {
				h.gtt.Bytes -= min(h.gtt.Bytes, p.GPU.Bytes)
			}
			p.RAM.Bytes, p.GPU.Bytes, p.hidden = 0, 0, 0
			if h.leak.in == p.Name {
				h.leak.rate = 0
			}
			if p.restart > 0 {
				p.again = h.at + p.restart
			}
		}
		if p.debt > 0 && !p.keeps && h.at >= p.frees {
			h.available, p.debt = h.available+p.debt, 0
		}
		if p.again != 0 && h.at >= p.again {
			p.Up, p.again, p.Main = true, 0, p.Main+1000
		}
	}
	if l := &h.leak; l.rate > 0 && l.taken < l.limit {
		n := min(uint64(float64(l.rate)*dt.Seconds()), l.limit-l.taken, h.available)
		l.taken += n
		h.available -= n
		if h.available == 0 {
			h.full += dt
		}
		if p := h.tier(l.in); p != nil {
			p.RAM.Bytes += n
		}
		if l.gtt {
			h.gtt.Bytes += n
		}
	}
	if h.extra != nil {
		h.extra(h, dt)
	}
}

func (h *host) facts(f *Facts) {
	tiers := f.Tiers[:0]
	for _, p := range h.tiers {
		tiers = append(tiers, p.TierFacts)
	}
	*f = Facts{At: h.at, Available: h.available, Total: h.total, SwapFree: h.swap, SwapTotal: h.swapTotal, Full: h.full, PSI: h.psi, GTT: h.gtt, Tiers: tiers}
}

// obey does what was decided.
func (h *host) obey(d Decision) {
	if d.Tier < 0 || d.Act != Ask && d.Act != Stop && d.Act != Kill {
		return
	}
	p, after := h.tiers[d.Tier], time.Duration(0)
	switch {
	case !p.Up:
		panic("signalled a tier that is not up: " + p.Name)
	case p.stuck, p.deaf && d.Act != Kill:
		return
	case d.Act == Ask:
		after = p.drain
	}
	if at := h.at + after + p.exit; p.ends == 0 || at < p.ends {
		p.began, p.ends = h.at+after+p.exit/10, at
	}
}

// event is a decision that was told.
type event struct {
	at time.Duration
	Decision
}

func (e event) String() string {
	return fmt.Sprintf("%s %s %s: %s", e.at, e.Kind(), e.Victim.Name, e.AppendText(nil))
}

// story is what a run led to.
type story struct {
	events         []event
	least          uint64
	below          time.Duration // below the hard line
	looks          int
	crossed, acted time.Duration
}

// victims are the tiers that were signalled, in the order of their first signal.
func (s *story) victims() string {
	var names []string
	for _, e := range s.events {
		if e.Act != Ask && e.Act != Stop && e.Act != Kill {
			continue
		}
		if len(names) == 0 || e.Victim.Since == 0 {
			names = append(names, e.Victim.Name)
		}
	}
	return strings.Join(names, " ")
}

// acts are those of one tier, with the alarms and what was found out.
func (s *story) acts(name string) string {
	var list []string
	for _, e := range s.events {
		if e.Victim.Name == name {
			list = append(list, e.Kind()+":"+e.Reason.String())
		}
	}
	return strings.Join(list, " ")
}

func (s *story) count(r Reason) (n int) {
	for _, e := range s.events {
		if e.Reason == r {
			n++
		}
	}
	return n
}

// run looks at the host for as long as it says, at the pace that the guard wants.
func (h *host) run(t testing.TB, g *Guard, long time.Duration) *story {
	s, f := &story{least: h.available}, &Facts{}
	for end := h.at + long; h.at < end; {
		h.facts(f)
		d := g.Step(f)
		if d.Next < quickest || d.Next > slowest {
			t.Fatalf("next look in %s", d.Next)
		}
		s.looks++
		if s.crossed == 0 && h.available < g.lines.Soft {
			s.crossed = h.at
		}
		if d.Tell() {
			s.events = append(s.events, event{h.at, d})
		}
		if s.acted == 0 && d.Tier >= 0 {
			s.acted = h.at
		}
		h.obey(d)
		for left := d.Next; left > 0; left -= time.Millisecond {
			h.pass(min(left, time.Millisecond))
			s.least = min(s.least, h.available)
			if h.available < g.lines.Hard {
				s.below += time.Millisecond
			}
		}
	}
	for _, e := range s.events {
		t.Log(e)
	}
	t.Logf("%d looks, least %s, %s below hard", s.looks, Size(s.least), s.below)
	return s
}

// bed is the machine of the measured runs: 3008 MiB, four tiers, 800 MiB available, and its lines.
func bed() (*host, *Guard) {
	tier := func(name string, priority int, mb uint64, busy bool) *process {
		return &process{exit: 800 * time.Millisecond, TierFacts: TierFacts{Up: true, RAM: Amount{mb * mib, true}, GPU: Amount{0, true},
			Tier: Tier{Name: name, Unit: "tier-" + name + ".service", Priority: priority, Charge: mb * mib, Main: 100 + priority, Busy: busy}}}
	}
	h := &host{total: 3008 * mib, available: 800 * mib, at: time.Hour, psi: true, tiers: []*process{
		tier("coder", 90, 1000, true), tier("orch", 50, 400, false), tier("utility", 20, 100, false), tier("reviewer", 10, 600, false)}}
	for i, p := range h.tiers {
		p.Idle = h.at - time.Duration(i+1)*time.Minute
	}
	l := Lines{Refuse: 375 * mib, Soft: 300 * mib, Hard: 150 * mib, Emergency: 75 * mib}
	return h, New(l, Pace{FillRate: 2 * gib})
}
