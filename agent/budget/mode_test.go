package budget

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/rocm"
	"github.com/tierd/tierd/units"
)

// a unit of a tier by that name, with what OfMode looks at.
func member(tier string, start string, priority int, memory units.Bytes) units.Unit {
	return units.Unit{Name: "tier-" + tier + ".service", Tier: tier, Start: start, Priority: priority, Memory: memory,
		Charge: units.Charge{Written: memory}}
}

const boot, manual, demand = units.StartBoot, units.StartManual, units.StartDemand

func TestWhatAModeLeavesOut(t *testing.T) {
	for _, c := range []struct {
		rule    string
		want    []units.Unit
		left    map[string]string
		refused string
		giveWay string
	}{
		{"what fits stays whole", []units.Unit{member("orch", boot, 90, 40*gib), member("review", demand, 20, 60*gib)}, nil, "", ""},
		{"a tier on demand that finds no room stays on demand",
			[]units.Unit{member("review", demand, 20, 50*gib), member("orch", boot, 90, 40*gib), member("coder", manual, 50, 45*gib)},
			map[string]string{"tier-review.service": "review stays on demand: it needs 50GiB and 31GiB is free; it needs the room of coder"}, "", ""},
		{"of two on demand the one with the higher priority gets the room",
			[]units.Unit{member("review", demand, 20, 60*gib), member("plan", demand, 30, 70*gib)},
			map[string]string{"tier-review.service": "review stays on demand: it needs 60GiB and 46GiB is free; it needs the room of plan"}, "", ""},
		{"a small one may fit where a large one did not",
			[]units.Unit{member("plan", demand, 30, 170*gib), member("review", demand, 20, 60*gib)},
			map[string]string{"tier-plan.service": "plan stays on demand: it needs 170GiB and 116GiB is free"}, "", ""},
		{"tiers that have to be there refuse the mode with the sum, the highest priority first",
			[]units.Unit{member("coder", manual, 50, 80*gib), member("orch", boot, 90, 60*gib), member("review", demand, 99, 1*gib)}, nil,
			"mode full does not fit: 60GiB for tier-orch.service + 80GiB for tier-coder.service + 12GiB reserve is 152GiB, and the host has 128GiB", "coder"},
		{"the cheapest that would make room are named",
			[]units.Unit{member("orch", boot, 90, 60*gib), member("a", manual, 50, 80*gib), member("b", manual, 40, 50*gib), member("c", manual, 30, 5*gib)}, nil,
			"is 207GiB", "a"},
		{"one that is too large by itself has nobody to give way",
			[]units.Unit{member("orch", boot, 90, 160*gib), member("a", manual, 50, 8*gib)}, nil, "is 180GiB", ""},
		{"a remote tier needs none", []units.Unit{member("orch", boot, 90, 116*gib), member("cloud", demand, 1, 0)}, nil, "", ""},
		{"exactly full is full", []units.Unit{member("orch", boot, 90, 100*gib), member("review", demand, 1, 16*gib)}, nil, "", ""},
	} {
		t.Run(c.rule, func(t *testing.T) {
			m := OfMode(Host{RAM: size(128 * gib), Free: size(gib), Reserve: 12 * gib}, c.want)
			b := m.Report("full", size(gib), func(string) units.Unit { return units.Unit{Variant: "v"} })
			if b.Fits != (c.refused == "") || !strings.Contains(b.Words, c.refused) || strings.Join(b.GiveWay, " ") != c.giveWay {
				t.Fatalf("fits %v: %q, %q", b.Fits, b.Words, b.GiveWay)
			}
			if len(m.Left) != len(c.left) {
				t.Fatalf("left %q", m.Left)
			}
			for unit, why := range c.left {
				if m.Left[unit] != why {
					t.Errorf("%s: %q, want %q", unit, m.Left[unit], why)
				}
			}
			if *b.Free != uint64(gib) || b.Pending != 0 || slices.ContainsFunc(b.Tiers, func(s api.Share) bool { return s.Phase != "planned" || s.Taken != 0 || s.Variant != "v" }) {
				t.Errorf("the report: %+v", b)
			}
		})
	}
	leaked := Host{RAM: size(128 * gib), Reserve: 12 * gib, GPU: &GPU{Pool: GTT, Size: 120 * gib, Leaked: 30 * gib}}
	if m := OfMode(leaked, []units.Unit{member("orch", boot, 90, 40*gib), member("review", demand, 20, 50*gib)}); !strings.Contains(m.Left["tier-review.service"], "and 46GiB is free") {
		t.Errorf("what leaked is no room: %q", m.Left)
	}
	if m := OfMode(Host{Reserve: gib}, []units.Unit{member("orch", boot, 1, 999*gib)}); len(m.Left) > 0 || !m.Fits() {
		t.Errorf("a host that does not say how large it is: %+v", m)
	}
	if m := OfMode(Host{RAM: size(gib), Reserve: 2 * gib}, nil); !m.Fits() {
		t.Error("a mode without tiers does not fit")
	}
}

func TestWhatAModeStartsFitsTheHost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := drawBytes(t, 200, "total")
		reserve := drawBytes(t, 20, "reserve")
		var want []units.Unit
		for i := range rapid.IntRange(0, 8).Draw(t, "tiers") {
			want = append(want, member(string(rune('a'+i)), rapid.SampledFrom([]string{boot, manual, demand}).Draw(t, "start"),
				rapid.IntRange(0, 3).Draw(t, "priority"), drawBytes(t, 80, "memory")))
		}
		m := OfMode(Host{RAM: &total, Reserve: reserve}, want)
		taken, must := reserve, reserve
		for _, u := range want {
			if u.Start != demand {
				must += u.Memory
				if m.Left[u.Name] != "" {
					t.Fatalf("%s does not start on demand and is left out", u.Name)
				}
			}
			if m.Left[u.Name] == "" {
				taken += u.Memory
			}
		}
		if !m.Fits() {
			if must <= total {
				t.Fatalf("%s of %s are refused", must, total)
			}
			rest := must
			for _, u := range want {
				if slices.Contains(m.GiveWay, u.Tier) {
					rest -= u.Memory
				}
			}
			if len(m.GiveWay) > 0 && rest > total {
				t.Fatalf("without %v it is %s of %s still", m.GiveWay, rest, total)
			}
			return
		}
		if taken > total && taken > reserve {
			t.Fatalf("%s of %s would be taken", taken, total)
		}
		for _, u := range want { // nothing that is left out would have fitted beside what was chosen
			if m.Left[u.Name] != "" && taken+u.Memory <= total {
				t.Fatalf("%s is left out although %s of %s are taken", u.Name, taken, total)
			}
		}
	})
}

func TestAHostIsAsItsSnapshotShows(t *testing.T) {
	n := func(b units.Bytes) *uint64 { m := uint64(b); return &m }
	s := rocm.Snapshot{
		Memory: rocm.Memory{MemTotal: n(124 * gib), MemAvailable: n(100 * gib), CmaFree: n(gib)},
		GPUs: []rocm.GPU{{Card: "card1", PCI: "0000:c5:00.0", AMD: true, APU: true, Pool: rocm.PoolGTT, PoolSize: n(120 * gib),
			GTTUsed: n(50 * gib), VRAMTotal: n(gib / 2)}},
		Clients:         []rocm.Client{{PID: 7, Memory: []rocm.ClientMemory{{PCI: "0000:c5:00.0", GTT: uint64(8 * gib)}}}},
		ClientsComplete: true,
	}
	h := HostOf(s, units.HostConfig{Reserve: 12 * gib}, "")
	if *h.RAM != 124*gib || *h.Free != 99*gib || h.Reserve != 12*gib || h.KeepFree != 8*gib {
		t.Errorf("the RAM: %+v", h)
	}
	if want := (GPU{Pool: GTT, Size: 120 * gib, Others: 8 * gib, Leaked: 42 * gib}); h.GPU == nil || *h.GPU != want {
		t.Errorf("the GPU: %+v", h.GPU)
	}
	s.GPUs[0].PoolSize = n(125 * gib)
	b := OfMode(HostOf(s, units.HostConfig{}, ""), []units.Unit{{Name: "tier-a.service", Tier: "a", Start: boot, GPU: true,
		Charge: units.Charge{Written: gib, Device: gib}}}).Report("m", nil, nil)
	if b.Fits || !strings.Contains(b.Words, "ttm.pages_limit lets the GPU map 125GiB") || b.GPU.Broken == "" {
		t.Errorf("a limit above the RAM: %+v", b)
	}
	if h := HostOf(rocm.Snapshot{}, units.HostConfig{}, ""); h.RAM != nil || h.Free != nil || h.GPU != nil {
		t.Errorf("nothing known: %+v", h)
	}
}
