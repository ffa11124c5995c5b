package units

import (
	"slices"

	gguf "github.com/gpustack/gguf-parser-go"
)

// ggufLayers is how llama.cpp keeps what the layers have read.
func ggufLayers(a gguf.GGUFArchitecture) []layer {
	list := make([]layer, a.BlockCount)
	state := ggufState(a)
	for i := range list {
		attention, recurrent := ggufKind(a, i)
		if recurrent {
			list[i].state = state
		}
		own := a.AttentionKVFromStartLayerCount == 0 || i < int(a.AttentionKVFromStartLayerCount)
		if !attention || !own { // layers behind those share the caches of earlier ones
			continue
		}
		heads := a.AttentionHeadCountKV
		if i < len(a.AttentionHeadCountKVs) {
			heads = a.AttentionHeadCountKVs[i]
		}
		key, value := uint64(a.AttentionKeyLength), uint64(a.AttentionValueLength)
		if i < len(a.AttentionSlidingWindowLayers) && a.AttentionSlidingWindowLayers[i] {
			list[i].window = a.AttentionSlidingWindow
			key, value = orElse(a.AttentionKeyLengthSWA, key), orElse(a.AttentionValueLengthSWA, value)
		}
		list[i].key, list[i].value = heads*key, heads*value
		if a.AttentionKeyLengthMLA > 0 { // one latent vector for keys and values, whose beginning serves as the value
			list[i].value = 0
		}
	}
	return list
}

func orElse(n uint32, otherwise uint64) uint64 {
	if n > 0 {
		return uint64(n)
	}
	return otherwise
}

// ggufKind tells whether a layer has attention, and whether it has a constant state. Hybrid models have either, by a list of
// heads or by an interval; where they tell neither, both is the most that they take.
func ggufKind(a gguf.GGUFArchitecture, i int) (attention, recurrent bool) {
	switch {
	case a.AttentionHybrid && slices.Contains(a.AttentionHeadCountKVs, 0):
		full := i < len(a.AttentionHeadCountKVs) && a.AttentionHeadCountKVs[i] > 0
		return full, !full
	case a.AttentionHybrid && a.FullAttentionInterval > 1:
		full := (i+1)%int(a.FullAttentionInterval) == 0
		return full, !full
	case a.AttentionHybrid:
		return true, true
	}
	return !a.AttentionRecurrent, a.AttentionRecurrent
}

// ggufState is the bytes of a recurrent layer's state for one request. llama.cpp keeps it in 32 bits.
func ggufState(a gguf.GGUFArchitecture) uint64 {
	var inputs, matrix Bytes // of the convolution, and what has been learnt
	switch embedding := Bytes(a.EmbeddingLength); {
	case a.RWKVHeadSize > 0:
		inputs, matrix = times(embedding, uint64(a.RWKVTokenShiftCount)), times(embedding, uint64(a.RWKVHeadSize))
	case a.ShortConvLCache > 0:
		inputs = times(embedding, uint64(a.ShortConvLCache)-1)
	case a.KDAHeadDim > 0:
		inner := times(Bytes(a.AttentionHeadCount), uint64(a.KDAHeadDim))
		inputs, matrix = times(inner, 3*uint64(max(a.SSMConvolutionKernel, 4)-1)), times(inner, uint64(a.KDAHeadDim))
	case a.SSMInnerSize > 0:
		width := Bytes(a.SSMInnerSize) + times(Bytes(2*a.SSMGroupCount), uint64(a.SSMStateSize))
		inputs = times(width, uint64(max(a.SSMConvolutionKernel, 1)-1))
		matrix = times(Bytes(a.SSMInnerSize), uint64(a.SSMStateSize))
	}
	return uint64(times(capped(inputs+matrix), 4))
}
