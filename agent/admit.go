package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/rocm"
	"github.com/tierd/tierd/units"
)

// claim is the memory of one unit that is in memory or on its way there.
type claim struct {
	unit     string
	memory   units.Bytes
	taken    units.Bytes // what a loading unit has of it already, as far as the kernel counts it
	starting bool
}

// sum adds up the charges and the reserve, and writes that out.
func sum(claims []claim, reserve units.Bytes) (units.Bytes, string) {
	total := reserve
	var terms []string
	for _, c := range claims {
		if c.memory > 0 {
			total += c.memory
			terms = append(terms, fmt.Sprintf("%s for %s", c.memory, c.unit))
		}
	}
	terms = append(terms, fmt.Sprintf("%s reserve", reserve))
	return total, fmt.Sprintf("%s is %s", strings.Join(terms, " + "), total)
}

// fits decides whether a unit may load now, and otherwise writes the sum out. Two things have to hold: the charges of
// what is resident or loading, this unit's and the reserve together are at most the host's memory; and what the host
// really has free, less what loading units will still take, holds this unit. The second catches what others use.
func fits(unit string, need units.Bytes, held []claim, reserve units.Bytes, host rocm.Memory) (bool, string) {
	if need == 0 {
		return true, "" // a remote tier takes no memory worth counting
	}
	total, words := sum(append([]claim{{unit: unit, memory: need}}, held...), reserve)
	if host.MemTotal != nil && total > units.Bytes(*host.MemTotal) {
		return false, fmt.Sprintf("not enough memory for %s: %s, and the host has %s", unit, words, units.Bytes(*host.MemTotal))
	}
	pending := units.Bytes(0)
	for _, c := range held {
		if c.starting {
			pending += c.memory - min(c.memory, c.taken)
		}
	}
	if free := host.Free(); free != nil && need+pending > units.Bytes(*free) {
		text := fmt.Sprintf("not enough free memory for %s: it needs %s", unit, need)
		if pending > 0 {
			text += fmt.Sprintf(", tiers that are loading will take %s more", pending)
		}
		return false, text + fmt.Sprintf(", and %s is free", units.Bytes(*free))
	}
	return true, ""
}

// admission is a yes that was given. It counts until the unit is seen to have ended.
type admission struct {
	asked uint64 // observations begun by then: an older one does not show the unit's start
}

// admitLimit bounds how long a shim waits for the agent to be ready to judge.
const admitLimit = 10 * time.Second

// Admit answers the shim of a unit: "start" asks whether it may load, "stop" waits until no request of its is in flight.
func (a *Agent) Admit(ctx context.Context, unit string, op string) api.AdmitAnswer {
	if op == "stop" {
		return a.drainUnit(ctx, unit)
	}
	ctx, cancel := context.WithTimeout(ctx, admitLimit)
	defer cancel()
	host := a.hostMemory()
	answer, err := inLoop(ctx, a, func() (api.AdmitAnswer, error) { return a.admit(unit, host), nil })
	if err != nil {
		return api.AdmitAnswer{Class: api.ClassRefused, Message: "tierd cannot judge now: " + err.Error()}
	}
	return answer
}

// hostMemory is what the kernel says of memory now; what it does not say is not known.
func (a *Agent) hostMemory() rocm.Memory {
	host, err := a.opts.Memory()
	if err != nil {
		a.opts.Log.Error("cannot read the host's memory", "err", err)
	}
	return host
}

func (a *Agent) admit(unit string, host rocm.Memory) api.AdmitAnswer {
	u, s := a.unit(unit), a.seen[unit]
	need := u.Memory
	switch {
	case s.Memory > 0 && running(s): // an older definition is what starts
		need = s.Memory
	case u.Name == "" && a.plan != nil && s.Tier == "":
		return api.AdmitAnswer{Class: api.ClassRefused, Message: unit + " is not a tier of tiers.toml"}
	}
	ok, message := fits(unit, need, a.claims(unit), a.reserve(), host)
	if !ok {
		a.opts.Log.Info("refused", "unit", unit, "reason", message)
		a.events.add(api.Event{Kind: "tier", Tier: u.Tier, Unit: unit, Text: message})
		return api.AdmitAnswer{Class: api.ClassRefused, Message: message}
	}
	a.admitted[unit] = admission{asked: a.asked}
	delete(a.drains, unit)
	a.opts.Log.Info("admitted", "tier", u.Tier, "unit", unit, "memory", need)
	return api.AdmitAnswer{OK: true}
}

// claims lists what other units hold. A unit that systemd is starting counts from the moment that its shim asked: two
// that start together must not refuse each other.
func (a *Agent) claims(except string) []claim {
	var list []claim
	for name := range a.known() {
		s, u := a.seen[name], a.unit(name)
		_, admitted := a.admitted[name]
		if name == except || !admitted && (!running(s) || s.ActiveState == "activating") {
			continue
		}
		c := claim{unit: name, memory: s.Memory, starting: s.ActiveState != "active"}
		if c.memory == 0 {
			c.memory = u.Memory
		}
		if s.MemoryNow != nil {
			c.taken = units.Bytes(*s.MemoryNow)
		}
		list = append(list, c)
	}
	slices.SortFunc(list, func(x, y claim) int { return strings.Compare(x.unit, y.unit) })
	return list
}

func (a *Agent) reserve() units.Bytes {
	if a.plan == nil {
		return 0
	}
	return a.plan.Config.Host.Reserve
}

// settleAdmissions takes back what was given to units that have ended since, and notes at the first reading who was let
// in by an earlier tierd.
func (a *Agent) settleAdmissions(number uint64) {
	for name, given := range a.admitted {
		if !running(a.seen[name]) && number > given.asked {
			delete(a.admitted, name)
		}
	}
	if a.adopted {
		return
	}
	a.adopted = true
	for name, s := range a.seen {
		if s.Tier != "" && running(s) {
			a.admitted[name] = admission{asked: number}
		}
	}
}
