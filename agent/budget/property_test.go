package budget

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tierd/tierd/units"
)

func drawBytes(t *rapid.T, most int, name string) units.Bytes {
	return units.Bytes(rapid.IntRange(0, most).Draw(t, name)) * gib
}

func drawHost(t *rapid.T) Host {
	h := Host{Reserve: drawBytes(t, 20, "reserve"), KeepFree: drawBytes(t, 10, "keepFree")}
	if rapid.IntRange(0, 9).Draw(t, "ramKnown") > 0 {
		h.RAM = size(drawBytes(t, 256, "ram"))
	}
	if rapid.IntRange(0, 9).Draw(t, "freeKnown") > 0 {
		h.Free = size(drawBytes(t, 256, "free"))
	}
	if rapid.Bool().Draw(t, "gpu") {
		h.GPU = &GPU{Pool: rapid.SampledFrom([]string{GTT, VRAM}).Draw(t, "pool"), Size: drawBytes(t, 200, "gpuSize"),
			Others: drawBytes(t, 20, "others"), Leaked: drawBytes(t, 20, "leaked")}
	}
	return h
}

func drawClaim(t *rapid.T, i int) Claim {
	name := fmt.Sprintf("t%d", i)
	need := Need{RAM: drawBytes(t, 80, "need")}
	if rapid.Bool().Draw(t, "onGPU") {
		need.GPU = need.RAM
	}
	return Claim{
		Unit: "tier-" + name + ".service", Tier: name, Need: need,
		Taken:    min(need.RAM, drawBytes(t, 80, "taken")),
		Phase:    rapid.SampledFrom([]Phase{Loading, Ready, Ready, Ready, Ending}).Draw(t, "phase"),
		Priority: rapid.IntRange(0, 4).Draw(t, "priority"), Pinned: rapid.IntRange(0, 5).Draw(t, "pinned") == 0,
		Busy: rapid.IntRange(0, 3).Draw(t, "busy") == 0, Idle: time.Duration(rapid.IntRange(0, 90).Draw(t, "idle")) * time.Minute,
		Resident: time.Duration(rapid.IntRange(0, 10).Draw(t, "resident")) * time.Minute, Keeps: 2 * time.Minute,
		Reload: need.RAM,
	}
}

func drawHeld(t *rapid.T, most int) []Claim {
	var held []Claim
	for i := range rapid.IntRange(0, most).Draw(t, "held") {
		held = append(held, drawClaim(t, i))
	}
	return held
}

func drawAsk(t *rapid.T) Ask {
	c := drawClaim(t, 99)
	return Ask{Unit: c.Unit, Tier: c.Tier, Need: c.Need, Evict: rapid.Bool().Draw(t, "evict"), MaxWait: time.Minute,
		Waited: time.Duration(rapid.IntRange(0, 120).Draw(t, "waited")) * time.Second, Settling: rapid.IntRange(0, 4).Draw(t, "settling") == 0}
}

// without is what is held once some units have ended, and the host with their memory back.
func without(h Host, held []Claim, gone ...string) (Host, []Claim) {
	var left []Claim
	for _, c := range held {
		if !slices.Contains(gone, c.Unit) {
			left = append(left, c)
			continue
		}
		if h.Free != nil {
			h.Free = size(*h.Free + c.Taken)
		}
	}
	return h, left
}

func ended(held []Claim) []string {
	var list []string
	for _, c := range held {
		if c.Phase == Ending {
			list = append(list, c.Unit)
		}
	}
	return list
}

// holds is the rule itself, written once more and plainly.
func holds(h Host, ask Ask, held []Claim) bool {
	ram, gpu, promised := ask.Need.RAM+h.Reserve, ask.Need.GPU, ask.Need.RAM
	for _, c := range held {
		ram += c.Need.RAM
		gpu += c.Need.GPU
		if c.Phase != Ending {
			promised += c.Need.RAM - c.Taken
		}
	}
	if h.GPU != nil {
		if h.GPU.Pool == GTT {
			ram += h.GPU.Leaked
		}
		if gpu > 0 && gpu+h.GPU.Others+h.GPU.Leaked > h.GPU.Size {
			return false
		}
	}
	return (h.RAM == nil || ram <= *h.RAM) && (h.Free == nil || promised+h.KeepFree <= *h.Free)
}

func TestAYesIsNeverAboveTheBudget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, ask, held := drawHost(t), drawAsk(t), drawHeld(t, 8)
		if v := Judge(h, ask, held); v.Answer == Yes && ask.Need != (Need{}) && !holds(h, ask, held) {
			t.Errorf("yes to %+v", ask)
		}
	})
}

func TestOnceTheVictimsHaveEndedTheAnswerIsYesOrATurn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, ask, held := drawHost(t), drawAsk(t), drawHeld(t, 8)
		v := Judge(h, ask, held)
		if v.Answer != IfWay {
			return
		}
		h, held = without(h, held, append(ended(held), v.Victims...)...)
		if !holds(h, ask, held) {
			t.Fatalf("victims %v do not make room", v.Victims)
		}
		if then := Judge(h, ask, held); then.Answer != Yes && then.Answer != Wait {
			t.Errorf("after %v it is %s: %s", v.Victims, then.Answer, then.Reason)
		}
	})
}

func TestNoSmallerSetOfVictimsWouldDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, ask, held := drawHost(t), drawAsk(t), drawHeld(t, rapid.SampledFrom([]int{6, 20}).Draw(t, "most"))
		v := Judge(h, ask, held)
		if v.Answer != IfWay {
			return
		}
		for _, spared := range v.Victims {
			rest := slices.DeleteFunc(slices.Clone(v.Victims), func(u string) bool { return u == spared })
			if h, held := without(h, held, append(ended(held), rest...)...); holds(h, ask, held) {
				t.Errorf("of %v, %s need not go", v.Victims, spared)
			}
		}
	})
}

func TestOnlyThoseGiveWayThatMay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, ask, held := drawHost(t), drawAsk(t), drawHeld(t, 8)
		v := Judge(h, ask, held)
		for _, unit := range v.Victims {
			i := slices.IndexFunc(held, func(c Claim) bool { return c.Unit == unit })
			switch c := held[i]; {
			case c.Pinned:
				t.Errorf("%s is pinned", unit)
			case c.Tier == ask.Tier:
				t.Errorf("%s is the asker's own", unit)
			case ask.Evict && c.Phase != Ready:
				t.Errorf("%s is %s", unit, c.Phase)
			case ask.Evict && ask.Waited < ask.MaxWait && (c.Busy || c.Resident < c.Keeps):
				t.Errorf("%s is spared still: %+v", unit, c)
			}
		}
		if v.Answer != IfWay && len(v.Victims) > 0 {
			t.Errorf("%s with victims %v", v.Answer, v.Victims)
		}
		if v.Answer != Yes && v.Reason == "" {
			t.Errorf("%s without a reason", v.Answer)
		}
	})
}

// TestNoCheaperSetMakesRoom goes through every set of victims by itself.
func TestNoCheaperSetMakesRoom(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, ask, held := drawHost(t), drawAsk(t), drawHeld(t, 6)
		ask.Evict, ask.Settling = true, false
		v := Judge(h, ask, held)
		if v.Answer != IfWay {
			return
		}
		p := newProblem(h, ask, held)
		var chosen []int
		may := p.all(Claim.unused)
		for i, c := range held {
			if slices.Contains(v.Victims, c.Unit) {
				chosen = append(chosen, i)
				if !c.unused() {
					may = p.all(Claim.loaded)
				}
			}
		}
		for mask := range 1 << len(may) {
			var set []int
			var names []string
			for bit, i := range may {
				if mask&(1<<bit) != 0 {
					set, names = append(set, i), append(names, held[i].Unit)
				}
			}
			if h, held := without(h, held, append(ended(held), names...)...); holds(h, ask, held) && p.cost(set).less(p.cost(chosen)) {
				t.Errorf("%v is cheaper than %v", names, v.Victims)
			}
		}
	})
}

// TestTheTwoWaysToSumUpAgree holds the numbers of the search to the sums that are shown.
func TestTheTwoWaysToSumUpAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newProblem(drawHost(t), drawAsk(t), drawHeld(t, 8))
		if rapid.Bool().Draw(t, "someEnd") {
			p.gone = p.all(ending)
		}
		var set []int
		for i := range p.held {
			if rapid.Bool().Draw(t, "in") {
				set = append(set, i)
			}
		}
		if got, want := p.fits(set), p.sums(slices.Concat(set, p.gone)).Fits(); got != want {
			t.Errorf("%t, and the sums say %t", got, want)
		}
	})
}

// TestManyTiersAreThinnedOut has more candidates than all of whose sets are looked at.
func TestManyTiersAreThinnedOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := Host{RAM: size(256 * gib), Free: size(0), Reserve: 8 * gib}
		var held []Claim
		for i := range rapid.IntRange(maxSearched+1, 30).Draw(t, "tiers") {
			c := drawClaim(t, i)
			c.Phase, c.Pinned, c.Busy, c.Resident = Ready, false, false, time.Hour
			c.Need.RAM = units.Bytes(rapid.IntRange(1, 8).Draw(t, "need")) * gib
			c.Need.GPU, c.Taken = 0, c.Need.RAM
			held = append(held, c)
		}
		ask := Ask{Unit: "u", Tier: "u", Need: Need{RAM: units.Bytes(rapid.IntRange(1, 15).Draw(t, "asked")) * gib}, Evict: true}
		v := Judge(h, ask, held)
		if v.Answer != IfWay {
			t.Fatalf("%s: %s", v.Answer, v.Reason)
		}
		if h, held := without(h, held, v.Victims...); !holds(h, ask, held) {
			t.Fatalf("%v do not make room", v.Victims)
		}
		for _, spared := range v.Victims {
			rest := slices.DeleteFunc(slices.Clone(v.Victims), func(u string) bool { return u == spared })
			if h, held := without(h, held, rest...); holds(h, ask, held) {
				t.Errorf("of %v, %s need not go", v.Victims, spared)
			}
		}
	})
}

// TestOfManyTiersTheCheapestGo: where not every set is looked at, priorities decide all the same.
func TestOfManyTiersTheCheapestGo(t *testing.T) {
	h := Host{RAM: size(256 * gib), Free: size(0)}
	var held []Claim
	var want []string
	for i := range maxSearched + 6 {
		c := cpuTier(string(rune('a'+i)), 10+i, 12*gib)
		held = append(held, c)
		if i < 2 {
			want = append(want, c.Unit)
		}
	}
	ask := Ask{Unit: "u", Tier: "u", Need: Need{RAM: 24 * gib}, Evict: true}
	if v := Judge(h, ask, held); !slices.Equal(v.Victims, want) {
		t.Errorf("%v give way, want %v", v.Victims, want)
	}
}
