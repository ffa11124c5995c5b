package rocm

import (
	"context"
	"strings"
	"testing"

	"github.com/tierd/tierd/rocm/rocmtest"
)

const gib = uint64(1 << 30)

func TestPool(t *testing.T) {
	for name, c := range map[string]struct {
		apu                    bool
		vram, gtt, bank, limit uint64 // 0: not known
		want                   Pool
		size                   uint64
	}{
		"a small carve-out leaves the memory to the host":     {true, gib / 2, 120 * gib, 120 * gib, 120 * gib, PoolGTT, 120 * gib},
		"a big carve-out is the pool":                         {true, 96 * gib, 15 * gib, 96 * gib, 15 * gib, PoolVRAM, 96 * gib},
		"a limit above the carve-out turns the driver to GTT": {true, 96 * gib, 105 * gib, 105 * gib, 105 * gib, PoolGTT, 105 * gib},
		"as much carved out as left is VRAM":                  {true, 64 * gib, 64 * gib, 64 * gib, 64 * gib, PoolVRAM, 64 * gib},
		"gttsize promises more than ttm grants":               {true, gib / 2, 128 * gib, 62 * gib, 62 * gib, PoolGTT, 62 * gib},
		"HIP is told of less than both":                       {true, gib / 2, 128 * gib, 100 * gib, 110 * gib, PoolGTT, 100 * gib},
		"without KFD the limit counts":                        {true, gib / 2, 128 * gib, 0, 62 * gib, PoolGTT, 62 * gib},
		"without either only the driver's word is left":       {true, gib / 2, 128 * gib, 0, 0, PoolGTT, 128 * gib},
		"a discrete card never uses the host's memory":        {false, 24 * gib, 96 * gib, 24 * gib, 96 * gib, PoolVRAM, 24 * gib},
		"a driver that does not say how much VRAM":            {true, 0, 128 * gib, 128 * gib, 128 * gib, "", 0},
		"a driver that does not say how much GTT":             {true, gib, 0, 128 * gib, 128 * gib, "", 0},
	} {
		known := func(n uint64) *uint64 {
			if n == 0 {
				return nil
			}
			return &n
		}
		g := GPU{APU: c.apu, VRAMTotal: known(c.vram), GTTTotal: known(c.gtt), VRAMUsed: new(uint64(1)), GTTUsed: new(uint64(2)), KFD: &KFD{Bank: known(c.bank)}}
		g.setPool(known(c.limit))
		same(t, name+": size", g.PoolSize, known(c.size))
		if g.Pool != c.want || c.want == PoolVRAM && *g.PoolUsed != 1 || c.want == PoolGTT && *g.PoolUsed != 2 || c.want == "" && g.PoolUsed != nil {
			t.Errorf("%s: %s, of which %s is used", name, g.Pool, show(g.PoolUsed))
		}
	}
}

func TestPoolOfEveryTree(t *testing.T) {
	for tree, want := range map[string]uint64{
		"gtt120": 120 * gib, "carve96": 96 * gib, "carve96-stale-ttm": 113246208000, "gttsize-only": 67065913344, "gtt120-leaked": 120 * gib,
	} {
		g := host(rocmtest.Unpack(t, tree)).Snapshot(context.Background()).GPUs[0]
		same(t, tree, g.PoolSize, &want)
	}
	s := host(rocmtest.Unpack(t, "dgpu-gfx1100-plus-gfx1151")).Snapshot(context.Background())
	same(t, "the discrete card", s.GPUs[0].PoolSize, new(uint64(25753026560)))
	same(t, "the APU beside it", s.GPUs[1].PoolSize, new(uint64(102400000000)))
}

func TestUnattributed(t *testing.T) {
	s := Snapshot{
		ClientsComplete: true,
		GPUs:            []GPU{{PCI: "0000:c5:00.0", GTTUsed: new(uint64(100)), VRAMUsed: new(uint64(10))}, {PCI: "0000:03:00.0"}},
		Clients:         []Client{{Memory: []ClientMemory{{"0000:03:00.0", 1000, 1000}, {"0000:c5:00.0", 60, 20}}}, {Memory: []ClientMemory{{"0000:c5:00.0", 15, 0}}}, {}},
	}
	gtt, vram := s.Unattributed("c5:00.0")
	same(t, "GTT", gtt, new(uint64(25)))
	same(t, "VRAM of which more is held than used", vram, new(uint64(0)))
	for _, pci := range []string{"0000:03:00.0", "0000:99:00.0", ""} {
		if gtt, vram := s.Unattributed(pci); gtt != nil || vram != nil {
			t.Errorf("of %q: %s, %s", pci, show(gtt), show(vram))
		}
	}
	s.ClientsComplete = false
	if gtt, vram := s.Unattributed("0000:c5:00.0"); gtt != nil || vram != nil {
		t.Errorf("where some process may hold more: %s, %s", show(gtt), show(vram))
	}
}

func TestWhichGPUTheTiersUse(t *testing.T) {
	amd := func(pci, gfx string, cus int) GPU {
		g := GPU{PCI: pci, AMD: true, Driver: "amdgpu"}
		if gfx != "" {
			g.KFD = &KFD{Gfx: gfx, CUs: cus}
		}
		return g
	}
	strix, radeon, desktop := amd("0000:c5:00.0", "gfx1151", 40), amd("0000:03:00.0", "gfx1100", 96), amd("0000:0e:00.0", "gfx1036", 2)
	unknown, intel := amd("0000:04:00.0", "", 0), GPU{PCI: "0000:00:02.0", Driver: "i915"}
	for name, c := range map[string]struct {
		gpus   []GPU
		choice string
		want   string // PCI
		why    string
	}{
		"there is only one": {[]GPU{intel, strix}, "", strix.PCI, "only"},
		"Strix Halo comes before a faster card with less memory": {[]GPU{radeon, strix}, "", strix.PCI, "sized for"},
		"a card comes before the small GPU of a desktop CPU":     {[]GPU{desktop, radeon}, "", radeon.PCI, "most compute units"},
		"of two alike the first":                                 {[]GPU{strix, amd("0000:c6:00.0", "gfx1151", 40)}, "", strix.PCI, "sized for"},
		"one that ROCm can use comes before one that it cannot":  {[]GPU{unknown, desktop}, "", desktop.PCI, "most compute units"},
		"without KFD Vulkan is left":                             {[]GPU{unknown, amd("0000:05:00.0", "", 0)}, "", unknown.PCI, "Vulkan"},
		"another may be chosen":                                  {[]GPU{radeon, strix}, "0000:03:00.0", radeon.PCI, "chosen"},
		"by the address that lspci shows":                        {[]GPU{radeon, strix}, "C5:00.0", strix.PCI, "chosen"},
		"an address where none is":                               {[]GPU{radeon, strix}, "01:00.0", "", `no GPU at "01:00.0", but 0000:03:00.0 (gfx1100), 0000:c5:00.0 (gfx1151)`},
		"an address where another maker's is":                    {[]GPU{intel, strix}, "00:02.0", "", "not AMD's; there are 0000:00:02.0 (i915), 0000:c5:00.0 (gfx1151)"},
		"none of AMD's":                                          {[]GPU{intel}, "", "", "no AMD GPU"},
		"an address where there are none":                        {nil, "01:00.0", "", "but none"},
	} {
		gpu, why := Snapshot{GPUs: c.gpus}.TierGPU(c.choice)
		got := ""
		if gpu != nil {
			got = gpu.PCI
		}
		if got != c.want || !strings.Contains(why, c.why) {
			t.Errorf("%s: %q, %s", name, got, why)
		}
	}
	s := host(rocmtest.Unpack(t, "dgpu-gfx1100-plus-gfx1151")).Snapshot(context.Background())
	if gpu, why := s.TierGPU(""); gpu == nil || gpu.Card != "card1" {
		t.Errorf("of the machine with both: %s, %s", show(gpu), why)
	}
}
