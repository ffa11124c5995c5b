package units

import (
	"math"
	"os"
	"path"
	"testing"
)

// factsOf reads a model from sparse files on a real disk.
func factsOf(t *testing.T, at, kind string, files map[string]hugeFile) *modelFacts {
	t.Helper()
	root := t.TempDir()
	onDisk(t, root, files)
	var c *ModelCache
	f, err := c.facts(tree{os.DirFS(root)}, path.Join("/", at), kind)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// within tells whether two sizes differ by at most 2 %.
func within(got, want Bytes) bool { return math.Abs(float64(got)-float64(want)) <= 0.02*float64(want) }

func gib(n float64) Bytes { return Bytes(n * float64(GiB)) }

var halves = element{2, 1} // BF16 and F16

// perToken is what one more token takes in the layers that look back at all of the context.
func perToken(layers []layer, e element) Bytes {
	use := cacheUse{key: e, value: e, context: 1 << 20, caches: 1}
	before := cache(layers, use)
	use.context += 32 // a block of quantised elements
	return (cache(layers, use) - before) / 32
}

// The figures that the default tiers were chosen by. Weights are those of real tensors: the shapes follow from config.json.
func TestTheTableOfKnownModels(t *testing.T) {
	for _, row := range []struct {
		name     string
		model    published
		perToken Bytes
		contexts [3]float64 // GiB for 32K, 64K and 128K, rounded
		bf16     float64    // GiB
		mixed    mix
		gguf     float64
	}{
		{"Qwen2.5-14B", qwen14, 196_608, [3]float64{6, 12, 24}, 27.5, q4KM, 8.4},
		{"Qwen3-Coder-30B-A3B", qwenCoder, 98_304, [3]float64{3, 6, 12}, 56.9, q4KM, 17.4},
		{"Llama-3.3-70B", llama70, 327_680, [3]float64{10, 20, 40}, 131.4, q4KM, 39.6},
		{"Qwen2.5-3B", qwen3B, 36_864, [3]float64{1.1, 2.3, 4.5}, 5.8, q4KM, 1.8},
		{"Qwen2.5-7B", qwen7, 57_344, [3]float64{1.8, 3.5, 7}, 14.2, nil, 0},
		{"Qwen3.6-35B-A3B", qwen35moe, 20_480, [3]float64{0.6, 1.3, 2.5}, 64.6, nil, 0},
		{"Qwen3.6-27B", qwen27, 65_536, [3]float64{2, 4, 8}, 50, nil, 0},
		{"gpt-oss-120b", gptOSS(36, 128), 36_864, [3]float64{1.1, 2.3, 4.5}, 0, mxfp4, 59},
		{"gpt-oss-20b", gptOSS(24, 32), 24_576, [3]float64{0.8, 1.5, 3}, 0, mxfp4, 11.3},
	} {
		t.Run(row.name, func(t *testing.T) {
			folder := factsOf(t, "m", KindVLLM, below("m", row.model.folder("BF16", 3)))
			checkCaches(t, "config.json", folder.layers, row.perToken, row.contexts)
			if got := folder.weights("bfloat16"); row.bf16 > 0 && !within(got, gib(row.bf16)) {
				t.Errorf("BF16 weights are %s, want %vGiB", got, row.bf16)
			}
			if row.mixed == nil {
				row.mixed = q4KM
			}
			file := factsOf(t, "m.gguf", KindLlama, map[string]hugeFile{"m.gguf": row.model.gguf(row.mixed, 15)})
			checkCaches(t, "GGUF", file.layers, row.perToken, row.contexts)
			if got := file.gguf.weights; row.gguf > 0 && !within(got, gib(row.gguf)) {
				t.Errorf("GGUF weights are %s, want %vGiB", got, row.gguf)
			}
		})
	}
}

func checkCaches(t *testing.T, of string, layers []layer, want Bytes, contexts [3]float64) {
	t.Helper()
	if got := perToken(layers, halves); got != want {
		t.Errorf("%s: %d bytes a token, want %d", of, got, want)
	}
	for i, rounded := range contexts {
		var growing []layer // the table has what grows with the context
		for _, l := range layers {
			if l.window == 0 {
				growing = append(growing, layer{key: l.key, value: l.value})
			}
		}
		got := cache(growing, cacheUse{key: halves, value: halves, context: 32 << 10 << i, caches: 1})
		if math.Round(float64(got)/float64(GiB)*10)/10 != rounded {
			t.Errorf("%s: %s for %dK, want %vGiB", of, got, 32<<i, rounded)
		}
	}
}

// The plan that came before tierd reckoned with 40 layers, which is the number of query heads: 2 GiB too little at 64K.
func TestTheLayersOfAModelAreNotItsHeads(t *testing.T) {
	f := factsOf(t, "m", KindVLLM, below("m", qwen14.folder("BF16", 8)))
	if len(f.layers) != 48 {
		t.Fatalf("%d layers", len(f.layers))
	}
	use := cacheUse{key: halves, value: halves, context: 64 << 10, caches: 1}
	if got := cache(f.layers, use); got != 12*GiB {
		t.Errorf("64K take %s, want 12GiB", got)
	}
	if mistaken := cache(f.layers[:40], use); mistaken != 10*GiB {
		t.Errorf("with 40 layers 64K would take %s, want 10GiB", mistaken)
	}
}
