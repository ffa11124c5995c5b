package units

import (
	"testing"

	"pgregory.net/rapid"
)

func TestACacheIsAddedUpLayerByLayer(t *testing.T) {
	full, short, linear := layer{key: 1024, value: 1024}, layer{key: 1024, value: 1024, window: 128}, layer{state: 5000}
	q8, q4 := element{34, 32}, element{18, 32}
	for _, row := range []struct {
		rule   string
		layers []layer
		use    cacheUse
		want   Bytes
	}{
		{"keys and values", []layer{full}, cacheUse{key: halves, value: halves, context: 1000, caches: 1}, 2 * 1024 * 2 * 1000},
		{"in 8 bits with their scales", []layer{full}, cacheUse{key: q8, value: q8, context: 1000, caches: 1}, 2 * 1088 * 1000},
		{"keys in 8 bits and values in 4", []layer{full}, cacheUse{key: q8, value: q4, context: 1000, caches: 1}, (1088 + 576) * 1000},
		{"one latent vector", []layer{{key: 576}}, cacheUse{key: halves, value: halves, context: 1000, caches: 1}, 576 * 2 * 1000},
		{"a window and the tokens in work", []layer{short}, cacheUse{key: halves, value: halves, context: 1000, step: 512, caches: 1}, 4096 * 640},
		{"a window that is wider than the context", []layer{short}, cacheUse{key: halves, value: halves, context: 100, step: 512, caches: 1}, 4096 * 100},
		{"a window that is not made use of", []layer{short}, cacheUse{key: halves, value: halves, context: 1000, step: 512, whole: true, caches: 1}, 4096 * 1000},
		{"whole blocks of tokens", []layer{full}, cacheUse{key: halves, value: halves, context: 1000, align: 256, caches: 1}, 4096 * 1024},
		{"a state does not grow", []layer{linear, full}, cacheUse{key: halves, value: halves, context: 1000, caches: 1, states: 4}, 4096*1000 + 4*5000},
		{"each request has its own", []layer{linear, full}, cacheUse{key: halves, value: halves, context: 1000, caches: 3, states: 3}, 3*4096*1000 + 3*5000},
		{"a layer without memory", []layer{{}}, cacheUse{key: halves, value: halves, context: 1000, caches: 3, states: 3}, 0},
	} {
		t.Run(row.rule, func(t *testing.T) {
			if got := cache(row.layers, row.use); got != row.want {
				t.Errorf("got %d, want %d", got, row.want)
			}
		})
	}
}

func TestACheckpointHoldsWindowsAndStates(t *testing.T) {
	layers := []layer{{key: 1024, value: 1024}, {key: 1024, value: 1024, window: 128}, {state: 5000}}
	use := cacheUse{key: halves, value: halves, context: 1000}
	if got := windows(layers, use); got != 4096*128+5000 {
		t.Errorf("got %d", got)
	}
	use.whole = true
	if got := windows(layers, use); got != 5000 {
		t.Errorf("without windows: %d", got)
	}
}

func TestNoSumOverflows(t *testing.T) {
	most := make([]layer, maxLayers)
	for i := range most {
		most[i] = layer{key: maxElements, value: maxElements, state: uint64(GiB)}
	}
	use := cacheUse{key: element{4, 1}, value: element{4, 1}, context: 1<<31 - 1, caches: 1024, states: 1024}
	if got := cache(most, use); got != maxBytes {
		t.Errorf("got %s", got)
	}
	if got := times(maxBytes, 1<<60); got != maxBytes {
		t.Errorf("got %s", got)
	}
	if got := windows(most, use); got > maxBytes {
		t.Errorf("got %s", got)
	}
}

// randomLayers are those of some model.
func randomLayers(t *rapid.T, most int) []layer {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) layer {
		return layer{
			key: rapid.Uint64Range(0, maxElements/2).Draw(t, "key"), value: rapid.Uint64Range(0, maxElements/2).Draw(t, "value"),
			window: rapid.SampledFrom([]uint64{0, 0, 128, 4096, maxWindow}).Draw(t, "window"),
			state:  rapid.Uint64Range(0, uint64(GiB)).Draw(t, "state"),
		}
	}), 0, most).Draw(t, "layers")
}

func randomUse(t *rapid.T) cacheUse {
	sizes := []element{{4, 1}, {2, 1}, {1, 1}, {34, 32}, {18, 32}, {1, 2}}
	return cacheUse{
		key: rapid.SampledFrom(sizes).Draw(t, "k"), value: rapid.SampledFrom(sizes).Draw(t, "v"),
		context: rapid.Uint64Range(0, 1<<31-1).Draw(t, "context"), step: rapid.Uint64Range(0, maxBatch).Draw(t, "step"),
		align: rapid.SampledFrom([]uint64{0, 16, 256}).Draw(t, "align"), whole: rapid.Bool().Draw(t, "whole"),
		caches: rapid.Uint64Range(1, 1024).Draw(t, "caches"), states: rapid.Uint64Range(0, 1024).Draw(t, "states"),
	}
}

func TestMoreNeverTakesLess(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		layers, use := randomLayers(t, 100), randomUse(t)
		is := cache(layers, use)
		for what, more := range map[string]func() Bytes{
			"context": func() Bytes {
				u := use
				u.context += rapid.Uint64Range(0, 1<<20).Draw(t, "more context")
				return cache(layers, u)
			},
			"requests":      func() Bytes { u := use; u.caches++; u.states++; return cache(layers, u) },
			"layers":        func() Bytes { return cache(append(layers[:len(layers):len(layers)], randomLayers(t, 5)...), use) },
			"bits":          func() Bytes { u := use; u.key, u.value = element{8, 1}, element{8, 1}; return cache(layers, u) },
			"whole windows": func() Bytes { u := use; u.whole = true; return cache(layers, u) },
		} {
			if got := more(); got < is {
				t.Fatalf("more %s takes %d instead of %d", what, got, is)
			}
		}
	})
}

func TestTheWholeIsTheSumOfItsLayers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		layers, use := randomLayers(t, 20), randomUse(t)
		use.context, use.caches = use.context%(1<<20), use.caches%8 // far from where sums end
		var sum Bytes
		for _, l := range layers {
			sum += cache([]layer{l}, use)
		}
		if whole := cache(layers, use); whole != sum {
			t.Fatalf("%d, and %d layer by layer", whole, sum)
		}
	})
}
