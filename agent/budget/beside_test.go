package budget

import (
	"testing"

	"pgregory.net/rapid"
)

func TestJudgeOfAVariantBesideAnother(t *testing.T) {
	small := gpuTier("orch", 90, 20*gib)
	small.Unit = "tier-orch-llama.service"
	cpu := small
	cpu.Need.GPU = 0
	other := with(gpuTier("vision", 10, 30*gib), loading)
	const tooMuch = "20GiB for tier-orch-llama.service + 42.5GiB for tier-orch.service + 64.4GiB for tier-coder.service + 12GiB reserve is 138.9GiB, and the host has 124.92GiB"
	for _, c := range []struct {
		rule   string
		held   []Claim
		ask    Claim
		want   Answer
		reason string
	}{
		{"both fit", []Claim{orch, utility}, small, Yes, ""},
		{"both count in full on the GPU", []Claim{orch, with(coder, loading)}, small, No,
			tooMuch},
		{"nobody gives way, however idle", []Claim{orch, with(coder, func(c *Claim) { c.Priority = 0 })}, small, No,
			tooMuch},
		{"it does not wait for what ends", []Claim{orch, with(coder, leaving)}, small, No,
			tooMuch},
		{"it waits for its turn on the GPU", []Claim{orch, other}, small, Wait, "waits for vision to load: on the GPU one does so at a time"},
		{"on the CPU there are no turns", []Claim{orch, other}, cpu, Yes, ""},
		{"a cloud variant takes nothing", []Claim{orch, coder}, with(small, func(c *Claim) { c.Need = Need{} }), Yes, ""},
		{"a tier may be on its own", nil, small, Yes, ""},
	} {
		ask := asks(c.ask)
		ask.Beside, ask.Evict = true, true
		v := Judge(on(halo(), c.held), ask, c.held)
		if v.Answer != c.want || v.Reason != c.reason || len(v.Victims) > 0 {
			t.Errorf("%s: %s %q, victims %v; want %s %q", c.rule, v.Answer, v.Reason, v.Victims, c.want, c.reason)
		}
	}
}

// TestBesideNothingIsAboveTheBudget also with claims of the tier itself, each of which counts, and with nobody sent away.
func TestBesideNothingIsAboveTheBudget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, ask, held := drawHost(t), drawAsk(t), drawHeld(t, 6)
		ask.Beside = true
		if len(held) > 0 && rapid.Bool().Draw(t, "own") {
			held[0].Tier = ask.Tier
		}
		v := Judge(h, ask, held)
		fits := ask.Need == (Need{}) || holds(h, ask, held)
		if yes := v.Answer == Yes || v.Answer == Wait; yes != fits || len(v.Victims) > 0 || v.Answer == IfWay {
			t.Errorf("%s (%s), victims %v, and it fits: %t", v.Answer, v.Reason, v.Victims, fits)
		}
	})
}
