package units

import (
	"fmt"

	gguf "github.com/gpustack/gguf-parser-go"
)

// runUse is what llama-server makes of a model.
type runUse struct {
	context, parallel uint64 // of one request, and how many requests
	batch, step       uint64 // -b and -ub
	flash, whole      bool   // flash attention, windows not made use of
	key, value        string // types of the KV cache
}

// compute is the buffer in which llama.cpp works: everything on one device, which is where it is largest.
func (m *ggufModel) compute(use runUse) (Bytes, error) {
	options := []gguf.GGUFRunEstimateOption{
		gguf.WithLLaMACppContextSize(int32(use.context * use.parallel)),
		gguf.WithParallelSize(int32(use.parallel)),
		gguf.WithLLaMACppLogicalBatchSize(int32(use.batch)),
		gguf.WithLLaMACppPhysicalBatchSize(int32(use.step)),
		gguf.WithLLaMACppCacheKeyType(cacheTypes[use.key].kind),
		gguf.WithLLaMACppCacheValueType(cacheTypes[use.value].kind),
		gguf.WithLLaMACppOffloadLayers(m.about.BlockCount + 1),
	}
	if use.flash {
		options = append(options, gguf.WithFlashAttention())
	}
	if use.whole {
		options = append(options, gguf.WithLLaMACppFullSizeSWACache())
	}
	var size Bytes
	err := guarded(func() {
		run := m.file.EstimateLLaMACppRun(options...)
		size = capped(Bytes(run.Devices[1].Computation.Compute))
	})
	return size, err
}

// cacheTypes are those that llama.cpp takes for a KV cache.
var cacheTypes = map[string]struct {
	kind gguf.GGMLType
	size element
}{
	"f32": {gguf.GGMLTypeF32, element{4, 1}}, "f16": {gguf.GGMLTypeF16, element{2, 1}}, "bf16": {gguf.GGMLTypeBF16, element{2, 1}},
	"q8_0": {gguf.GGMLTypeQ8_0, element{34, 32}}, "q5_1": {gguf.GGMLTypeQ5_1, element{24, 32}}, "q5_0": {gguf.GGMLTypeQ5_0, element{22, 32}},
	"q4_1": {gguf.GGMLTypeQ4_1, element{20, 32}}, "q4_0": {gguf.GGMLTypeQ4_0, element{18, 32}}, "iq4_nl": {gguf.GGMLTypeIQ4_NL, element{18, 32}},
}

// guarded runs something of the library. It panics at values of a kind that it did not expect.
func guarded(run func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = unclear("", "its header is not understood: %s", oneLine(fmt.Sprint(p)))
		}
	}()
	run()
	return nil
}
