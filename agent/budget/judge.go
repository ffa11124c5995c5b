package budget

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Answer is what admission says.
type Answer string

// The answers.
const (
	Yes   Answer = "yes"
	IfWay Answer = "if-they-give-way" // once Verdict.Victims have ended
	Wait  Answer = "wait"             // something that happens anyway, or Verdict.Look from now, may make room
	No    Answer = "no"
)

// Verdict is an answer with its reason.
type Verdict struct {
	Answer  Answer
	Victims []string      // units, in the order in which they stand among the claims
	Reason  string        // one sentence without the unit's name; "" for Yes
	Look    time.Duration // Wait: when to judge again at the latest; 0: when something changes
	Sums    Sums          // with the unit that asks, and everything that is held
}

// Judge decides whether a unit may load beside what is held. What is held of the same tier does not count, since systemd ends
// the one variant before it starts the other, unless the unit is to come up beside it: then Judge says Yes only when it fits
// with everything that is up, and Wait only for its turn on the GPU.
//
// A unit for which others may give way gets IfWay only with victims that are spared no longer. Without that leave, IfWay
// says who would have to go, and nobody has to.
func Judge(h Host, ask Ask, held []Claim) Verdict {
	p := newProblem(h, ask, held)
	v := Verdict{Sums: p.sums(nil)}
	if ask.Need == (Need{}) || v.Sums.Fits() {
		v.Answer = Yes
		if loader := p.gpuLoader(); loader != "" && ask.Need.GPU > 0 {
			v.Answer, v.Reason = Wait, "waits for "+loader+" to load: on the GPU one does so at a time"
		}
		return v
	}
	if ask.Beside {
		v.Answer, v.Reason = No, v.Sums.Words()
		return v
	}
	if gone := p.all(ending); len(gone) > 0 && p.fits(gone) {
		v.Answer, v.Reason = Wait, "waits for "+p.tiers(gone)+" to end"
		return v
	}
	if ask.Settling && !v.Sums.Lasting() {
		v.Answer, v.Reason = Wait, "waits for memory to come back: "+v.Sums.Words()
		return v
	}
	p.makeRoom(&v)
	return v
}

// makeRoom looks for those who have to give way.
func (p problem) makeRoom(v *Verdict) {
	p.gone = p.all(ending)
	if everyone := p.all(Claim.mayGo); !p.fits(everyone) {
		v.Answer, v.Reason = No, v.Sums.Words()
		if len(p.held) > 0 {
			v.Reason += p.notEven(everyone)
		}
		return
	}
	if !p.ask.Evict {
		who, _ := p.cheapest(Claim.mayGo)
		v.Answer, v.Victims = IfWay, p.units(who)
		v.Reason = fmt.Sprintf("%s; it fits once %s ended", v.Sums.Words(), p.doing(who, "has", "have"))
		return
	}
	if who, ok := p.cheapest(Claim.unused); ok {
		v.Answer, v.Victims, v.Reason = IfWay, p.units(who), p.doing(who, "gives way", "give way")
		return
	}
	if p.ask.Waited >= p.ask.MaxWait {
		if who, ok := p.cheapest(Claim.loaded); ok {
			v.Answer, v.Victims = IfWay, p.units(who)
			v.Reason = fmt.Sprintf("%s after %s", p.doing(who, "gives way", "give way"), p.ask.Waited.Round(time.Second))
			return
		}
	}
	v.Answer, v.Reason, v.Look = Wait, p.whyWait(), p.look()
}

// notEven says what stands in the way when everybody who may give way would not make room enough.
func (p problem) notEven(everyone []int) string {
	var pinned []string
	for i, c := range p.held {
		if !slices.Contains(everyone, i) && c.Pinned {
			pinned = append(pinned, c.Tier)
		}
	}
	left := p.sums(everyone).Words()
	switch {
	case len(pinned) > 0:
		return fmt.Sprintf("; %s cannot give way (pinned), and without the others %s", strings.Join(pinned, ", "), left)
	case len(everyone) > 0:
		return "; even with no other tier up " + left
	}
	return ""
}

// whyWait names the tiers that would make room and are spared for now.
func (p problem) whyWait() string {
	who, ok := p.cheapest(Claim.mayGo)
	if !ok {
		return "waits for room"
	}
	var words []string
	for _, i := range who {
		switch c := p.held[i]; {
		case c.Phase == Loading || c.Phase == Retrying:
			words = append(words, c.Tier+", which is "+string(c.Phase))
		case c.Busy:
			words = append(words, c.Tier+", which is busy")
		case c.Resident < c.Keeps:
			words = append(words, fmt.Sprintf("%s, which came up %s ago", c.Tier, c.Resident.Round(time.Second)))
		default:
			words = append(words, c.Tier)
		}
	}
	return "waits for room: it would need that of " + strings.Join(words, " and ")
}

// look is when time alone may change the answer: the wait is over, or a tier is spared no longer.
func (p problem) look() time.Duration {
	soon := p.ask.MaxWait - p.ask.Waited
	for _, c := range p.held {
		if left := c.Keeps - c.Resident; c.Phase == Ready && !c.Busy && left > 0 && (soon <= 0 || left < soon) {
			soon = left
		}
	}
	return max(soon, 0)
}

// gpuLoader is the tier that loads on the GPU now.
func (p problem) gpuLoader() string {
	for _, c := range p.held {
		if c.Phase == Loading && c.Need.GPU > 0 {
			return c.Tier
		}
	}
	return ""
}
