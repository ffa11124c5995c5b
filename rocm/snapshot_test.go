package rocm

import (
	"context"
	"encoding/json"
	"os"
	"strconv"
	"testing"

	"github.com/tierd/tierd/rocm/rocmtest"
)

// expected is an entry of testdata/expected.json, which was computed from the trees by other means.
type expected struct {
	MemTotal     *uint64 `json:"mem_total"`
	MemAvailable *uint64 `json:"mem_available"`
	GPUActive    *uint64 `json:"gpu_active"`
	Cards        []struct {
		Card, PCI, ID    string
		AMD, APU         bool
		VRAMTotal        *uint64 `json:"vram_total"`
		VRAMUsed         *uint64 `json:"vram_used"`
		GTTTotal         *uint64 `json:"gtt_total"`
		GTTUsed          *uint64 `json:"gtt_used"`
		KFDNode          *int    `json:"kfd_node"`
		Gfx              string
		CUs              int
		GPUID            uint32  `json:"gpu_id"`
		KFDBank          *uint64 `json:"kfd_bank"`
		CWSR             bool    `json:"cwsr_key"`
		Pool             Pool
		UnattributedGTT  *uint64 `json:"unattributed_gtt"`
		UnattributedVRAM *uint64 `json:"unattributed_vram"`
	}
	Clients map[string]struct{ GTT, VRAM uint64 }
}

func TestSnapshotOfEveryTree(t *testing.T) {
	data, err := os.ReadFile("testdata/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	var all map[string]expected
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	if len(all) != len(rocmtest.Trees) {
		t.Fatalf("%d trees are expected and there are %d", len(all), len(rocmtest.Trees))
	}
	for _, tree := range rocmtest.Trees {
		t.Run(tree, func(t *testing.T) {
			compare(t, host(rocmtest.Unpack(t, tree)).Snapshot(context.Background()), all[tree])
		})
	}
}

func compare(t *testing.T, s Snapshot, want expected) {
	if len(s.Problems) > 0 {
		t.Errorf("problems: %v", s.Problems)
	}
	same(t, "MemTotal", s.Memory.MemTotal, want.MemTotal)
	same(t, "MemAvailable", s.Memory.MemAvailable, want.MemAvailable)
	same(t, "GPUActive", s.Memory.GPUActive, want.GPUActive)
	if len(s.GPUs) != len(want.Cards) {
		t.Fatalf("%d cards, not %d: %+v", len(s.GPUs), len(want.Cards), s.GPUs)
	}
	for i, w := range want.Cards {
		g := s.GPUs[i]
		if g.Card != w.Card || g.PCI != w.PCI || g.ID != w.ID || g.AMD != w.AMD || g.APU != w.APU || g.Pool != w.Pool || g.Gfx() != w.Gfx {
			t.Errorf("got %+v, want %+v", g, w)
		}
		same(t, "VRAMTotal", g.VRAMTotal, w.VRAMTotal)
		same(t, "VRAMUsed", g.VRAMUsed, w.VRAMUsed)
		same(t, "GTTTotal", g.GTTTotal, w.GTTTotal)
		same(t, "GTTUsed", g.GTTUsed, w.GTTUsed)
		if (g.KFD == nil) != (w.KFDNode == nil) {
			t.Fatalf("KFD is %+v, want node %v", g.KFD, w.KFDNode)
		}
		if k := g.KFD; k != nil {
			if k.Node != *w.KFDNode || k.CUs != w.CUs || k.GPUID != w.GPUID || k.CWSR != w.CWSR {
				t.Errorf("KFD is %+v, want %+v", k, w)
			}
			same(t, "Bank", k.Bank, w.KFDBank)
		}
		gtt, vram := s.Unattributed(g.PCI)
		same(t, "unattributed GTT", gtt, w.UnattributedGTT)
		same(t, "unattributed VRAM", vram, w.UnattributedVRAM)
	}
	compareClients(t, s.Clients, want)
}

func compareClients(t *testing.T, clients []Client, want expected) {
	if len(clients) != len(want.Clients) {
		t.Errorf("%d clients, want %d", len(clients), len(want.Clients))
	}
	for _, c := range clients {
		w, ok := want.Clients[strconv.Itoa(c.PID)]
		var gtt, vram uint64
		for _, m := range c.Memory {
			gtt, vram = gtt+m.GTT, vram+m.VRAM
		}
		if !ok || gtt != w.GTT || vram != w.VRAM {
			t.Errorf("client %+v, want %+v", c, w)
		}
	}
}

func same[T comparable](t *testing.T, what string, got, want *T) {
	t.Helper()
	if (got == nil) != (want == nil) || got != nil && *got != *want {
		t.Errorf("%s is %s, want %s", what, show(got), show(want))
	}
}

func show[T any](p *T) string {
	if p == nil {
		return "nil"
	}
	text, _ := json.Marshal(p)
	return string(text)
}
