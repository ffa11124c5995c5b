package budget

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/units"
)

const gib = units.GiB

func size(n units.Bytes) *units.Bytes { return &n }

// halo is the machine of the example: 124.9 GiB, 120 of them for the GPU, 4.2 taken by the desktop.
func halo() Host {
	return Host{
		RAM: size(134131826688), Free: size(129659060224), Reserve: 12 * gib, KeepFree: 8 * gib,
		GPU: &GPU{Pool: GTT, Size: 120 * gib},
	}
}

const tenth = gib / 10

func gpuTier(name string, priority int, need units.Bytes) Claim {
	return Claim{Unit: "tier-" + name + ".service", Tier: name, Need: Need{need, need}, Taken: need, Phase: Ready,
		Priority: priority, Idle: time.Hour, Resident: time.Hour, Keeps: 2 * time.Minute, Reload: need}
}

func cpuTier(name string, priority int, need units.Bytes) Claim {
	c := gpuTier(name, priority, need)
	c.Need.GPU = 0
	return c
}

// on is the host with less free: what the claims have taken.
func on(h Host, held []Claim) Host {
	free := *h.Free
	for _, c := range held {
		free -= min(free, c.Taken)
	}
	h.Free = &free
	return h
}

func asks(c Claim) Ask {
	return Ask{Unit: c.Unit, Tier: c.Tier, Need: c.Need, MaxWait: time.Minute}
}

// The four tiers of the example.
var (
	orch     = gpuTier("orch", 90, 425*tenth)
	coder    = gpuTier("coder", 80, 644*tenth)
	reviewer = cpuTier("reviewer", 40, 502*tenth)
	utility  = cpuTier("utility", 60, 25*tenth)
)

func with(c Claim, changes ...func(*Claim)) Claim {
	for _, change := range changes {
		change(&c)
	}
	return c
}

func busy(c *Claim)    { c.Busy, c.Idle = true, 0 }
func pinned(c *Claim)  { c.Pinned = true }
func fresh(c *Claim)   { c.Resident, c.Idle = 30*time.Second, 30*time.Second }
func loading(c *Claim) { c.Phase, c.Taken, c.Resident = Loading, 0, 0 }
func leaving(c *Claim) { c.Phase = Ending }

func TestJudge(t *testing.T) {
	const waited = time.Minute // which is MaxWait
	for _, c := range []struct {
		rule    string
		host    func(*Host)
		held    []Claim
		ask     Claim
		evict   bool
		waited  time.Duration
		answer  Answer
		victims string
		reason  string
	}{
		{"the first tier of an empty host may load", nil, nil, orch, false, 0, Yes, "", ""},
		{"the last of those that fit may, too", nil, []Claim{orch, coder}, utility, false, 0, Yes, "", ""},
		{"what does not fit beside the others is told who would have to end", nil, []Claim{orch, coder, utility}, reviewer, false, 0, IfWay,
			"tier-coder.service", "50.2GiB for tier-reviewer.service + 42.5GiB for tier-orch.service + 64.4GiB for tier-coder.service"},
		{"and they give way where they may be told to", nil, []Claim{orch, coder, utility}, reviewer, true, 0, IfWay, "tier-coder.service", "coder gives way"},
		{"a busy tier is spared", nil, []Claim{orch, with(coder, busy), utility}, with(reviewer, func(c *Claim) { c.Need.RAM = 40 * gib }), true, 0, IfWay, "tier-orch.service", "orch gives way"},
		{"when no idle one makes room, a busy one is waited for", nil, []Claim{with(orch, busy), with(coder, busy), utility}, reviewer, true, 0, Wait,
			"", "waits for room: it would need that of coder, which is busy"},
		{"until the asker has waited long enough", nil, []Claim{with(orch, busy), with(coder, busy), utility}, reviewer, true, waited, IfWay,
			"tier-coder.service", "coder gives way after 1m0s"},
		{"a tier that came up just now is spared", nil, []Claim{with(orch, busy), with(coder, fresh), utility}, reviewer, true, 0, Wait,
			"", "coder, which came up 30s ago"},
		{"a pinned one for ever", nil, []Claim{with(orch, pinned), with(coder, pinned), utility}, reviewer, true, time.Hour, No,
			"", "orch, coder cannot give way (pinned)"},
		{"one that loads is waited for, however long it takes", nil, []Claim{with(orch, busy, pinned), with(coder, loading)}, reviewer, true, time.Hour, Wait,
			"", "coder, which is loading"},
		{"one that ends makes its room by itself", nil, []Claim{orch, with(coder, leaving)}, reviewer, false, 0, Wait, "", "waits for coder to end"},
		{"what cannot fit at all is refused with the sum", func(h *Host) { h.RAM, h.Free = size(40*gib), size(39*gib) }, nil, reviewer, true, 0, No,
			"", "50.2GiB for tier-reviewer.service + 12GiB reserve is 62.2GiB, and the host has 40GiB"},
		{"other programs' memory counts by what is free", func(h *Host) { h.Free = size(50 * gib) }, nil, coder, true, 0, No,
			"", "it needs 64.4GiB, 8GiB has to stay free, and 50GiB is free"},
		{"what a loading tier has not taken yet counts as taken", func(h *Host) { h.RAM, h.Free = size(130*gib), size(70*gib) }, []Claim{with(orch, loading)}, with(reviewer, func(c *Claim) { c.Need.RAM = 30 * gib }),
			false, 0, IfWay, "tier-orch.service", "it needs 30GiB, other tiers may still take 42.5GiB of what they were promised, 8GiB has to stay free, and 70GiB is free"},
		{"on the GPU one loads at a time", nil, []Claim{with(orch, loading)}, coder, false, 0, Wait, "", "waits for orch to load"},
		{"the CPU does not wait for it", nil, []Claim{with(orch, loading)}, utility, false, 0, Yes, "", ""},
		{"the GPU's pool may be smaller than the RAM", func(h *Host) { h.GPU = &GPU{Pool: GTT, Size: 100 * gib} }, []Claim{orch}, coder, true, 0, IfWay,
			"tier-orch.service", "orch gives way"},
		{"and is shared with other programs", func(h *Host) { h.GPU.Others = 60 * gib }, nil, coder, false, 0, No, "",
			"on the GPU 64.4GiB for tier-coder.service + 60GiB of other programs is 124.4GiB, and ROCm can use 120GiB of GTT there"},
		{"what leaked is gone from both", func(h *Host) { h.GPU.Leaked = 60 * gib }, nil, coder, false, 0, No, "",
			"64.4GiB for tier-coder.service + 60GiB leaked by a process that is gone + 12GiB reserve is 136.4GiB"},
		{"a remote tier takes nothing", func(h *Host) { h.Free = size(0) }, nil, Claim{Unit: "tier-cloud.service", Tier: "cloud"}, false, 0, Yes, "", ""},
		{"what its other variant has not taken does not come back with it", func(h *Host) { h.Free = size(60 * gib) },
			[]Claim{with(coder, loading, func(c *Claim) { c.Unit = "tier-coder-llama.service" })}, coder, false, 0, No, "",
			"it needs 64.4GiB, 8GiB has to stay free, and 60GiB is free"},
		{"its own other variant does not count", nil, []Claim{with(coder, func(c *Claim) { c.Unit = "tier-coder-llama.service" }), orch}, coder, false, 0, Yes, "", ""},
		{"of equals the one unused for longer goes, although the other comes back sooner", nil,
			[]Claim{with(orch, func(c *Claim) { c.Priority, c.Idle = 80, 2*time.Minute }), coder}, with(reviewer, func(c *Claim) { c.Need.RAM = 40 * gib }), true, 0, IfWay,
			"tier-coder.service", "coder gives way"},
		{"and then the one that comes back sooner", nil, []Claim{coder, with(orch, func(c *Claim) { c.Priority = 80 })}, with(reviewer, func(c *Claim) { c.Need.RAM = 40 * gib }), true, 0, IfWay,
			"tier-orch.service", "orch gives way"},
		{"a tier that is to be kept for no time may go as soon as it is up", nil, []Claim{orch, with(coder, func(c *Claim) { c.Resident, c.Keeps = 0, 0 }), utility}, reviewer, true, 0, IfWay,
			"tier-coder.service", "coder gives way"},
		{"two small ones go before a dear one", nil, []Claim{orch, cpuTier("a", 10, 20*gib), cpuTier("b", 20, 30*gib), cpuTier("c", 30, 10*gib)}, reviewer, true, 0, IfWay,
			"tier-a.service tier-b.service", "a and b give way"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			h := halo()
			h = on(h, c.held)
			if c.host != nil {
				c.host(&h)
			}
			ask := asks(c.ask)
			ask.Evict, ask.Waited = c.evict, c.waited
			v := Judge(h, ask, c.held)
			if v.Answer != c.answer || strings.Join(v.Victims, " ") != c.victims || !strings.Contains(v.Reason, c.reason) {
				t.Errorf("got %s, victims %v: %s", v.Answer, v.Victims, v.Reason)
			}
		})
	}
}

func TestMemoryThatIsNotBackYetCostsNobodyElse(t *testing.T) {
	held := []Claim{orch, utility}
	h := on(halo(), held)
	h.Free = size(20 * gib) // coder has ended, and the kernel still clears up after it
	ask := asks(reviewer)
	ask.Evict, ask.Settling = true, true
	if v := Judge(h, ask, held); v.Answer != Wait || !strings.HasPrefix(v.Reason, "waits for memory to come back: it needs 50.2GiB") {
		t.Errorf("got %+v", v)
	}
	ask.Settling = false
	if v := Judge(h, ask, held); v.Answer != IfWay {
		t.Errorf("when it does not come back: %s: %s", v.Answer, v.Reason)
	}
	ask.Settling = true
	held = append(held, coder) // who came up meanwhile
	if v := Judge(h, ask, held); v.Answer != IfWay {
		t.Errorf("when others were promised the room: %s: %s", v.Answer, v.Reason)
	}
}

func TestWaitingSaysWhenToLookAgain(t *testing.T) {
	held := []Claim{with(orch, busy), with(coder, fresh), utility}
	ask := asks(reviewer)
	ask.Evict, ask.Waited, ask.MaxWait = true, time.Second, 10*time.Minute
	if v := Judge(on(halo(), held), ask, held); v.Answer != Wait || v.Look != 90*time.Second {
		t.Errorf("got %s, to look after %s", v.Answer, v.Look)
	}
	held[1] = with(coder, fresh, busy) // it is spared beyond its residency
	if v := Judge(on(halo(), held), ask, held); v.Answer != Wait || v.Look != 10*time.Minute-time.Second {
		t.Errorf("got %s, to look after %s", v.Answer, v.Look)
	}
}

func TestACarvedOutPoolIsApartFromTheRAM(t *testing.T) {
	charge := units.Charge{Weights: 60 * gib, KV: 4 * gib, Overhead: 3 * gib, Device: 67 * gib, Host: 5 * gib}
	if got := Of(charge, VRAM); got != (Need{RAM: 5 * gib, GPU: 67 * gib}) {
		t.Errorf("in VRAM: %+v", got)
	}
	if got := Of(charge, GTT); got != (Need{RAM: 67 * gib, GPU: 67 * gib}) {
		t.Errorf("in GTT: %+v", got)
	}
	half := charge
	half.Device = 33*gib + gib/2 // half of the layers
	half.Written = 80 * gib
	if got := Of(half, VRAM); got != (Need{RAM: 45 * gib, GPU: 40 * gib}) {
		t.Errorf("half of it in VRAM: %+v", got)
	}
	if got := Of(units.Charge{Written: 2 * gib}, VRAM); got != (Need{RAM: 2 * gib}) {
		t.Errorf("on the CPU: %+v", got)
	}
	h := Host{RAM: size(31 * gib), Free: size(29 * gib), Reserve: 8 * gib, KeepFree: 8 * gib, GPU: &GPU{Pool: VRAM, Size: 96 * gib, Leaked: 30 * gib}}
	v := Judge(h, Ask{Unit: "u", Tier: "t", Need: Of(charge, VRAM)}, nil)
	if v.Answer != No || !strings.Contains(v.Reason, "on the GPU 67GiB for u + 30GiB leaked") {
		t.Errorf("got %s: %s", v.Answer, v.Reason)
	}
}

// TestTheSeedsPublishedMistakes holds the sums that the first users of the stack got wrong.
func TestTheSeedsPublishedMistakes(t *testing.T) {
	pool := func(gibs units.Bytes) Host {
		h := halo()
		h.GPU.Size = gibs * gib
		return h
	}
	held := []Claim{orch}
	if v := Judge(on(pool(120), held), asks(coder), held); v.Answer != Yes {
		t.Errorf("with pages_limit at 120 GiB both models fit: %s", v.Reason)
	}
	if v := Judge(on(pool(106), held), asks(coder), held); v.Answer == Yes {
		t.Error("with pages_limit at 106 GiB both models fit, too")
	}
	var all []string
	for _, c := range []Claim{orch, coder, utility, reviewer} {
		if v := Judge(on(halo(), held), asks(c), held); v.Answer == Yes {
			all = append(all, c.Tier)
		}
		held = append(held, c)
	}
	if slices.Contains(all, "reviewer") {
		t.Errorf("all four fit: %v", all)
	}
}
