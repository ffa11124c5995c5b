package budget

import (
	"context"
	"strings"
	"testing"

	"github.com/tierd/tierd/rocm"
	"github.com/tierd/tierd/rocm/rocmtest"
	"github.com/tierd/tierd/units"
)

const mib = units.MiB

// recorded is a recorded host as ours would be: the recordings call the units of tiers tierd-NAME.
func recorded(t *testing.T, name string) rocm.Snapshot {
	t.Helper()
	s := rocm.Open(rocmtest.Unpack(t, name)).Snapshot(context.Background())
	for i, c := range s.Clients {
		if tier, ok := strings.CutPrefix(c.Unit, "tierd-"); ok {
			s.Clients[i].Unit = "tier-" + tier
		}
	}
	return s
}

func TestThePoolOfEachRecordedHost(t *testing.T) {
	want := map[string]*GPU{
		"carve96":                   {Pool: VRAM, Size: 96 * gib},
		"carve96-stale-ttm":         {Pool: GTT, Size: 108000 * mib},
		"dgpu-gfx1100-plus-gfx1151": {Pool: GTT, Size: 102400000000},
		"gtt120":                    {Pool: GTT, Size: 120 * gib, Others: 80 * mib},
		"gtt120-idle":               {Pool: GTT, Size: 120 * gib},
		"gtt120-leaked":             {Pool: GTT, Size: 120 * gib, Others: 80 * mib, Leaked: 45132808192},
		"gtt120-orphan":             {Pool: GTT, Size: 120 * gib, Others: 60 * gib},
		"gttsize-only":              {Pool: GTT, Size: 67065913344},
		"nonamd":                    nil,
	}
	for _, name := range rocmtest.Trees {
		t.Run(name, func(t *testing.T) {
			s := recorded(t, name)
			got := GPUOf(s, "")
			if got == nil || want[name] == nil {
				if got != nil || want[name] != nil {
					t.Fatalf("got %+v", got)
				}
				return
			}
			broken := got.Broken
			got.Broken = ""
			if *got != *want[name] {
				t.Errorf("got %+v, want %+v", got, want[name])
			}
			if (broken != "") != (name == "carve96-stale-ttm") {
				t.Errorf("broken: %q", broken)
			}
		})
	}
}

func TestNothingIsLoadedOnAGPUThatMapsMoreThanThereIs(t *testing.T) {
	s := recorded(t, "carve96-stale-ttm")
	total, free := units.Bytes(*s.Memory.MemTotal), units.Bytes(*s.Memory.Free())
	h := Host{RAM: &total, Free: &free, Reserve: 4 * gib, KeepFree: 4 * gib, GPU: GPUOf(s, "")}
	small := asks(gpuTier("small", 50, 2*gib))
	v := Judge(h, small, nil)
	if v.Answer != No || !strings.Contains(v.Reason, "ttm.pages_limit lets the GPU map 105.47GiB, and this host has 30.99GiB of RAM beside the 96GiB that the BIOS carved out") {
		t.Errorf("got %s: %s", v.Answer, v.Reason)
	}
	small.Need.GPU = 0
	if v := Judge(h, small, nil); v.Answer != Yes {
		t.Errorf("the CPU: %s: %s", v.Answer, v.Reason)
	}
}

func TestWhatATierHoldsOfTheGPUIsFoundByItsUnit(t *testing.T) {
	s := recorded(t, "gtt120")
	var sum units.Bytes
	for _, c := range s.Clients {
		if IsTier(c.Unit) {
			if held := Held(s, "", c.Unit); held == 0 {
				t.Errorf("%s holds nothing", c.Unit)
			} else {
				sum += held
			}
		}
	}
	if sum < 102*gib || Held(s, "", "tier-none.service") != 0 {
		t.Errorf("all tiers hold %s", sum)
	}
}

func TestWhatATierHoldsOfACarveOutIsVRAM(t *testing.T) {
	s := recorded(t, "carve96")
	if held := Held(s, "", "tier-coder.service"); held != 69256347648 {
		t.Errorf("coder holds %s", held)
	}
	if held := Held(recorded(t, "nonamd"), "", "tier-coder.service"); held != 0 {
		t.Errorf("without a GPU it holds %s", held)
	}
}

func TestWhatLiesOnAnotherCardIsNotOfThePool(t *testing.T) {
	n := func(b units.Bytes) *uint64 { m := uint64(b); return &m }
	on := func(pci string, gtt units.Bytes) rocm.ClientMemory {
		return rocm.ClientMemory{PCI: pci, GTT: uint64(gtt)}
	}
	card := func(pci string) rocm.GPU {
		return rocm.GPU{Card: "card" + pci, PCI: pci, AMD: true, APU: true, Pool: rocm.PoolGTT, PoolSize: n(120 * gib)}
	}
	s := rocm.Snapshot{GPUs: []rocm.GPU{card("0000:c5:00.0"), card("0000:03:00.0")}, Clients: []rocm.Client{
		{PID: 7, Memory: []rocm.ClientMemory{on("0000:c5:00.0", 2*gib), on("0000:03:00.0", 4*gib)}},
		{PID: 8, Unit: "tier-coder.service", Memory: []rocm.ClientMemory{on("0000:c5:00.0", 8*gib), on("0000:03:00.0", 16*gib)}},
	}}
	for choice, want := range map[string][2]units.Bytes{"c5:00.0": {2 * gib, 8 * gib}, "03:00.0": {4 * gib, 16 * gib}} {
		if others, held := GPUOf(s, choice).Others, Held(s, choice, "tier-coder.service"); others != want[0] || held != want[1] {
			t.Errorf("%s: others hold %s, coder %s", choice, others, held)
		}
	}
}

func TestHowLargeHIPSaysTheGPUIs(t *testing.T) {
	for tree, want := range map[string][2]units.Bytes{
		"gtt120-idle": {120 * gib, 0}, "gttsize-only": {67065913344, 0}, "carve96": {96 * gib, 96 * gib}, "nonamd": {},
		"dgpu-gfx1100-plus-gfx1151": {102400000000, 0},
	} {
		s := recorded(t, tree)
		if total, out := GPUTotal(s, ""), Carved(s, ""); total != want[0] || out != want[1] {
			t.Errorf("%s: HIP has %s, %s are carved out", tree, total, out)
		}
		if len(s.GPUs) > 1 {
			continue // without KFD it may be another one
		}
		for i := range s.GPUs { // as where the device cgroup hides KFD
			s.GPUs[i].KFD = nil
		}
		if total := GPUTotal(s, ""); total != 0 && total < want[0] {
			t.Errorf("%s without KFD: %s", tree, total)
		}
	}
	if total := GPUTotal(recorded(t, "dgpu-gfx1100-plus-gfx1151"), "0000:03:00.0"); total != 25753026560 {
		t.Errorf("the discrete card has %s", total)
	}
}

func TestWhichUnitsAreTiers(t *testing.T) {
	for unit, want := range map[string]bool{
		"tier-coder.service": true, "tier-gateway.service": false, "tier-guard.service": false, "tierd.service": false, "": false,
	} {
		if IsTier(unit) != want {
			t.Errorf("%q: %t", unit, !want)
		}
	}
}
