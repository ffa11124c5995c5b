package budget

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tierd/tierd/units"
)

// world plays a host by the verdicts: asks wait in line, victims drain and end, tiers load and become ready, requests
// come and go. One step is a second.
type world struct {
	host  Host
	tiers []Claim // what each tier is when it is up
	held  map[string]*resident
	line  []*waiting
	now   int
}

type resident struct {
	Claim
	since    int // of the phase
	requests int // seconds that requests still take
	used     int // when the last one ended
}

type waiting struct {
	tier  string
	since int
	evict []string // still ending for it
}

const (
	loadTime  = 5
	drainTime = 4
	keeps     = 20
	maxWait   = 30
)

func (w *world) claims() []Claim {
	var list []Claim
	for _, t := range w.tiers { // an order of its own, so that a failure can be repeated
		if r := w.held[t.Tier]; r != nil {
			c := r.Claim
			c.Busy = r.requests > 0
			c.Idle = time.Duration(w.now-r.used) * time.Second
			c.Resident = time.Duration(w.now-r.since) * time.Second
			c.Keeps = keeps * time.Second
			list = append(list, c)
		}
	}
	return list
}

func (w *world) free() units.Bytes {
	free := *w.host.RAM
	for _, r := range w.held {
		free -= r.Taken
	}
	return free
}

func (w *world) tier(name string) Claim {
	return w.tiers[slices.IndexFunc(w.tiers, func(c Claim) bool { return c.Tier == name })]
}

// request wants a tier for some seconds.
func (w *world) request(name string, seconds int) {
	if r := w.held[name]; r != nil && r.Phase != Ending {
		r.requests = max(r.requests, seconds)
		return
	}
	if !slices.ContainsFunc(w.line, func(x *waiting) bool { return x.tier == name }) {
		w.line = append(w.line, &waiting{tier: name, since: w.now})
	}
}

// failer is a *testing.T or a *rapid.T.
type failer interface {
	Fatalf(format string, args ...any)
}

func (w *world) step(t failer) {
	w.now++
	for name, r := range w.held {
		switch {
		case r.Phase == Loading && w.now-r.since >= loadTime:
			r.Phase, r.since, r.used, r.Taken, r.requests = Ready, w.now, w.now, r.Need.RAM, max(r.requests, 1)
		case r.Phase == Loading:
			r.Taken = r.Need.RAM * units.Bytes(w.now-r.since) / loadTime
		case r.Phase == Ending && (r.requests == 0 || w.now-r.since >= drainTime):
			delete(w.held, name)
		}
		if r.requests > 0 && r.Phase != Loading {
			if r.requests--; r.requests == 0 {
				r.used = w.now
			}
		}
	}
	w.admit(t)
	var total units.Bytes
	for _, r := range w.held {
		total += r.Need.RAM
	}
	if total+w.host.Reserve > *w.host.RAM {
		t.Fatalf("at %d: %s is promised and %s reserved of %s", w.now, total, w.host.Reserve, *w.host.RAM)
	}
}

// admit goes through the line as the agent does: whom others have to end for holds its room already.
func (w *world) admit(t failer) {
	var kept []*waiting
	var reserved []Claim
	for _, x := range w.line {
		c := w.tier(x.tier)
		h := w.host
		h.Free = size(w.free())
		if w.held[x.tier] != nil { // its own earlier run still ends
			kept = append(kept, x)
			continue
		}
		v := Judge(h, Ask{Unit: c.Unit, Tier: c.Tier, Need: c.Need, Evict: true, MaxWait: maxWait * time.Second,
			Waited: time.Duration(w.now-x.since) * time.Second}, append(w.claims(), reserved...))
		switch v.Answer {
		case Yes:
			w.held[x.tier] = &resident{Claim: c, since: w.now}
			w.held[x.tier].Phase = Loading
			continue
		case No:
			t.Fatalf("at %d: %s is refused: %s", w.now, x.tier, v.Reason)
		case IfWay:
			for _, unit := range v.Victims {
				for _, r := range w.held {
					if r.Unit == unit {
						r.Phase, r.since = Ending, w.now
					}
				}
			}
			x.evict = v.Victims
		}
		if len(x.evict) > 0 {
			c.Phase, c.Taken = Loading, 0
			reserved = append(reserved, c)
		}
		kept = append(kept, x)
	}
	w.line = kept
}

func drawWorld(t *rapid.T) *world {
	w := &world{held: map[string]*resident{}, host: Host{RAM: size(64 * gib), Reserve: 8 * gib, KeepFree: 4 * gib}}
	for i := range rapid.IntRange(2, 6).Draw(t, "tiers") {
		need := units.Bytes(rapid.IntRange(1, 56).Draw(t, "need")) * gib
		name := fmt.Sprintf("t%d", i)
		w.tiers = append(w.tiers, Claim{Unit: "tier-" + name + ".service", Tier: name, Need: Need{RAM: need},
			Priority: rapid.IntRange(0, 3).Draw(t, "priority"), Reload: need})
	}
	return w
}

// TestEveryAskIsAnsweredInTheEnd lets requests come without end, and bounds how long anybody waits.
func TestEveryAskIsAnsweredInTheEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		bound := len(w.tiers) * (maxWait + loadTime + drainTime + keeps)
		for range rapid.IntRange(50, 400).Draw(t, "seconds") {
			if rapid.IntRange(0, 2).Draw(t, "request") == 0 {
				w.request(rapid.SampledFrom(w.tiers).Draw(t, "tier").Tier, rapid.IntRange(1, 40).Draw(t, "takes"))
			}
			w.step(t)
			for _, x := range w.line {
				if w.now-x.since > bound {
					t.Fatalf("%s has waited for %d s", x.tier, w.now-x.since)
				}
			}
		}
	})
}

// TestTwoInTurnsDoNotThrash has two agents that want each a tier of their own, of which one fits, all the time.
func TestTwoInTurnsDoNotThrash(t *testing.T) {
	w := &world{held: map[string]*resident{}, host: Host{RAM: size(64 * gib), Reserve: 8 * gib, KeepFree: 4 * gib}}
	for _, name := range []string{"a", "b"} {
		w.tiers = append(w.tiers, Claim{Unit: "tier-" + name + ".service", Tier: name, Need: Need{RAM: 40 * gib}, Reload: 40 * gib})
	}
	served := map[string]int{}
	loads := 0
	for range 1000 {
		for _, name := range []string{"a", "b"} {
			was := w.held[name] != nil
			w.request(name, 2)
			w.step(t)
			if !was && w.held[name] != nil {
				loads++
			}
			if r := w.held[name]; r != nil && r.Phase == Ready {
				served[name]++
			}
		}
	}
	if most := w.now / keeps; loads > most {
		t.Errorf("%d loads in %d s: each should be kept for %d s", loads, w.now, keeps)
	}
	if served["a"] == 0 || served["b"] == 0 {
		t.Errorf("served %v", served)
	}
}
