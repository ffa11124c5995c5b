package budget

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/tierd/tierd/units"
)

// problem is one ask beside everything that is held of other tiers, or of any when it asks to come up beside its own. A set
// of claims is the list of their places in held, ascending.
type problem struct {
	host Host
	ask  Ask
	held []Claim
	gone []int // end anyway, so that a set of victims need not hold them
}

func newProblem(h Host, ask Ask, held []Claim) problem {
	p := problem{host: h, ask: ask}
	for _, c := range held {
		if c.Tier != ask.Tier || ask.Beside {
			p.held = append(p.held, c)
		} else if h.Free != nil { // it ends first
			free := *p.host.Free + min(c.Taken, c.Need.RAM)
			p.host.Free = &free
		}
	}
	return p
}

// mayGo tells whether the claim could ever give way.
func (c Claim) mayGo() bool { return !c.Pinned && c.Phase != Ending }

// loaded tells whether it can be told to now. What is loading is let be: somebody waits for it, and it will be ready or
// have failed before long.
func (c Claim) loaded() bool { return c.mayGo() && c.Phase == Ready }

// unused tells whether nobody would miss it: it is idle, and had its time since it came up.
func (c Claim) unused() bool { return c.loaded() && !c.Busy && c.Resident >= c.Keeps }

func ending(c Claim) bool { return c.Phase == Ending }

// all are the claims of which that is true.
func (p problem) all(is func(Claim) bool) []int {
	var set []int
	for i, c := range p.held {
		if is(c) {
			set = append(set, i)
		}
	}
	return set
}

// sums are the sums with the ask and without a set of claims, whose memory has come back.
func (p problem) sums(without []int) Sums {
	h := p.host
	claims := []Claim{{Unit: p.ask.Unit, Tier: p.ask.Tier, Need: p.ask.Need, Phase: Loading}}
	var back units.Bytes
	for i, c := range p.held {
		if slices.Contains(without, i) {
			back += min(c.Taken, c.Need.RAM)
			continue
		}
		claims = append(claims, c)
	}
	if h.Free != nil && back > 0 {
		free := *h.Free + back
		h.Free = &free
	}
	return Add(h, claims)
}

// fits tells whether the ask fits once a set of claims, and those that end anyway, have gone.
func (p problem) fits(without []int) bool {
	t := p.total()
	for _, i := range without {
		if !slices.Contains(p.gone, i) {
			t.leave(&p.held[i])
		}
	}
	return t.fits()
}

// total is the sums in numbers alone, from which claims can leave: it is asked for every set.
type total struct {
	host               *Host
	free               units.Bytes // Host.Free, with what those who left gave back
	ram, gpu, promised units.Bytes
}

func (p problem) total() total {
	t := total{host: &p.host, ram: p.ask.Need.RAM, gpu: p.ask.Need.GPU, promised: p.ask.Need.RAM}
	if p.host.Free != nil {
		t.free = *p.host.Free
	}
	for i := range p.held {
		c := &p.held[i]
		t.ram, t.gpu, t.promised = t.ram+c.Need.RAM, t.gpu+c.Need.GPU, t.promised+c.promised()
	}
	for _, i := range p.gone {
		t.leave(&p.held[i])
	}
	return t
}

func (t *total) leave(c *Claim) {
	t.ram, t.gpu, t.promised = t.ram-c.Need.RAM, t.gpu-c.Need.GPU, t.promised-c.promised()
	t.free += min(c.Taken, c.Need.RAM)
}

// fits is Sums.Fits.
func (t *total) fits() bool {
	h := t.host
	switch {
	case h.RAM != nil && t.ram+h.Reserve+h.lost() > *h.RAM, h.Free != nil && t.promised+h.KeepFree > t.free:
		return false
	case h.GPU == nil || t.gpu == 0:
		return true
	}
	return h.GPU.Broken == "" && t.gpu+h.GPU.Others+h.GPU.Leaked <= h.GPU.Size
}

// maxSearched is up to how many candidates every set of them is looked at.
const maxSearched = 14

// cheapest is the cheapest set of those of which `may` is true that makes room; it is not ok when not even all of them do.
// No smaller set within it would do: a set costs more than each of its parts.
func (p problem) cheapest(may func(Claim) bool) (set []int, ok bool) {
	candidates := p.all(may)
	if !p.fits(candidates) {
		return nil, false
	}
	if len(candidates) > maxSearched {
		return p.thinned(candidates), true
	}
	best := slices.Clone(candidates)
	bestCost := p.cost(best)
	set = make([]int, 0, len(candidates))
	all := p.total()
	for mask := uint(0); mask < 1<<len(candidates); mask++ {
		set = set[:0]
		left := all
		for bit, i := range candidates {
			if mask&(1<<bit) != 0 {
				set = append(set, i)
				left.leave(&p.held[i])
			}
		}
		if !left.fits() {
			continue
		}
		if c := p.cost(set); c.less(bestCost) {
			best, bestCost = append(best[:0], set...), c
		}
	}
	return best, true
}

// thinned leaves out of a set that makes room whatever is not needed for that, the dearest first.
func (p problem) thinned(set []int) []int {
	order := slices.Clone(set)
	slices.SortStableFunc(order, func(x, y int) int {
		switch a, b := p.cost([]int{x}), p.cost([]int{y}); {
		case b.less(a):
			return -1
		case a.less(b):
			return 1
		}
		return 0
	})
	for _, i := range order {
		rest := slices.DeleteFunc(slices.Clone(set), func(j int) bool { return i == j })
		if p.fits(rest) {
			set = rest
		}
	}
	return set
}

// cost is what it costs that a set gives way, the gravest first: requests that are in flight, tiers that came up just now,
// the priorities from the highest down, how long ago they were of use, and what has to be read again.
type cost struct {
	busy, fresh int
	priorities  [maxSearched]int8 // descending, each one more than it is, so that none is 0
	recent      int               // by steps in which half an hour counts as five minutes do not
	reload      units.Bytes
}

// cost takes up to maxSearched claims.
func (p problem) cost(set []int) cost {
	var k cost
	for n, i := range set {
		c := &p.held[i]
		if c.Busy {
			k.busy++
		}
		if c.Resident < c.Keeps {
			k.fresh++
		}
		k.priorities[n] = int8(c.Priority + 1)
		k.recent += recency(c.Idle)
		k.reload += c.Reload
	}
	slices.SortFunc(k.priorities[:len(set)], func(a, b int8) int { return cmp.Compare(b, a) })
	return k
}

func (k cost) less(o cost) bool {
	return cmp.Or(
		cmp.Compare(k.busy, o.busy),
		cmp.Compare(k.fresh, o.fresh),
		slices.Compare(k.priorities[:], o.priorities[:]),
		cmp.Compare(k.recent, o.recent),
		cmp.Compare(k.reload, o.reload),
	) < 0
}

// recency is how fresh the use of a tier is: 5 within a minute, 1 after an hour. Never 0, so that one more tier always
// costs more.
func recency(idle time.Duration) int {
	r := 1
	for _, step := range []time.Duration{time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour} {
		if idle < step {
			r++
		}
	}
	return r
}

func (p problem) units(set []int) []string {
	var list []string
	for _, i := range set {
		list = append(list, p.held[i].Unit)
	}
	return list
}

func (p problem) tiers(set []int) string {
	var list []string
	for _, i := range set {
		list = append(list, p.held[i].Tier)
	}
	return strings.Join(list, " and ")
}

// doing says what a set of tiers does, with the verb in its number.
func (p problem) doing(set []int, one, many string) string {
	if len(set) == 1 {
		return p.tiers(set) + " " + one
	}
	return p.tiers(set) + " " + many
}
