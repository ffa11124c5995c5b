package gateway

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"

	"github.com/tierd/tierd/agent/api"
)

func bytesOf(n uint64) *uint64 { return &n }

func TestTheBarsCountAsTierctlDoes(t *testing.T) {
	b := &api.Budget{
		RAM: api.Pool{Name: "ram", Size: bytesOf(124), Promised: 52}, Reserve: 12, KeepFree: 4, Free: bytesOf(50), Pending: 7, Fits: true, Words: "unsaid",
		GPU: &api.Pool{Name: "gtt", Size: bytesOf(110), Others: 2, Leaked: 3},
		Tiers: []api.Share{
			{Tier: "coder", Unit: "tier-coder.service", Phase: "ready", RAM: 20}, {Tier: "cloud", Phase: "ready"},
			{Tier: "coder", Unit: "tier-coder-vllm.service", Phase: "loading", RAM: 32, GPU: 40}, // beside the other, in a switch
		},
	}
	want := &shownBudget{
		Free: bytesOf(50), Pending: 7, KeepFree: 4,
		Bars: []bar{
			{Name: "RAM", Size: bytesOf(124), Parts: []part{
				{Kind: "tier", Tier: "coder", Unit: "tier-coder.service", Phase: "ready", Bytes: 20},
				{Kind: "tier", Tier: "coder", Unit: "tier-coder-vllm.service", Phase: "loading", Bytes: 32},
				{Kind: "reserve", Bytes: 12}, {Kind: "leaked", Bytes: 3}, {Kind: "left", Bytes: 57},
			}},
			{Name: "GTT", Size: bytesOf(110), Parts: []part{
				{Kind: "tier", Tier: "coder", Unit: "tier-coder-vllm.service", Phase: "loading", Bytes: 40}, {Kind: "others", Bytes: 2}, {Kind: "leaked", Bytes: 3}, {Kind: "left", Bytes: 65},
			}},
		},
	}
	if got := newShownBudget(b); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	b.RAM.Size, b.GPU, b.Fits = bytesOf(50), nil, false
	got := newShownBudget(b)
	if len(got.Bars) != 1 || got.Bars[0].Over != 14 || got.Words != "unsaid" {
		t.Errorf("more than there is: %+v", got)
	}
	b.RAM.Size = nil
	if got := newShownBudget(b).Bars[0]; got.Over != 0 || len(got.Parts) != 3 {
		t.Errorf("a size that is not known: %+v", got)
	}
}

func TestThePartsOfABarAreTheWholeBar(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		amount := rapid.Uint64Range(0, 1<<40)
		pool := func(name string) api.Pool {
			return api.Pool{Name: name, Size: bytesOf(rapid.Uint64Range(1, 1<<41).Draw(t, "size")), Others: amount.Draw(t, "others"), Leaked: amount.Draw(t, "leaked")}
		}
		gpu := pool(rapid.SampledFrom([]string{"gtt", "vram"}).Draw(t, "pool"))
		b := &api.Budget{RAM: pool("ram"), GPU: &gpu, Reserve: amount.Draw(t, "reserve")}
		for range rapid.IntRange(0, 6).Draw(t, "tiers") {
			b.Tiers = append(b.Tiers, api.Share{Tier: "t", RAM: amount.Draw(t, "ram"), GPU: amount.Draw(t, "gpu")})
		}
		for _, bar := range newShownBudget(b).Bars {
			var sum uint64
			for _, p := range bar.Parts {
				if p.Bytes == 0 {
					t.Fatalf("%s has an empty part %+v", bar.Name, p)
				}
				sum += p.Bytes
			}
			if sum != *bar.Size+bar.Over {
				t.Fatalf("%s: the parts are %d, the bar %d and %d over", bar.Name, sum, *bar.Size, bar.Over)
			}
		}
	})
}
