package units

import "math/bits"

// layer is how one layer of a model keeps what it has read.
type layer struct {
	key, value uint64 // elements a token: KV heads times the head's size. A latent vector (MLA) is all key
	window     uint64 // tokens that it looks back at most; 0: the whole context
	state      uint64 // bytes of a constant state for one request (linear attention, convolutions); 0: none
}

// maxElements bounds key and value of a layer: 64 times what the largest models have.
const maxElements = 1 << 20

// maxLayers bounds the number of layers: llama.cpp's own limit is 512.
const maxLayers = 4096

// element is the size of the numbers in a KV cache: so many bytes for a block of so many. q8_0 has 34 for 32.
type element struct{ bytes, block uint64 }

// cacheUse is what an engine makes of a model's layers.
type cacheUse struct {
	key, value element
	context    uint64 // tokens of one request
	step       uint64 // tokens worked on at once, which a window has to hold besides
	align      uint64 // contexts are rounded up to this
	whole      bool   // windows are not made use of
	caches     uint64 // requests that have a cache of their own
	states     uint64 // requests that have a constant state of their own
}

// cache is the size of the KV cache of a model with these layers.
func cache(layers []layer, use cacheUse) Bytes {
	var one, state Bytes
	for _, l := range layers {
		tokens := use.context
		if l.window > 0 && !use.whole {
			tokens = min(tokens, l.window+use.step)
		}
		if use.align > 0 {
			tokens = (tokens + use.align - 1) / use.align * use.align
		}
		one = capped(one + size(l.key, tokens, use.key) + size(l.value, tokens, use.value))
		state = capped(state + Bytes(l.state))
	}
	return capped(times(one, use.caches) + times(state, use.states))
}

// windows is what the layers with a window or a state hold for one request: what llama-server copies for a checkpoint.
func windows(layers []layer, use cacheUse) Bytes {
	var sum Bytes
	for _, l := range layers {
		if l.window > 0 && !use.whole {
			tokens := min(use.context, l.window)
			sum = capped(sum + size(l.key, tokens, use.key) + size(l.value, tokens, use.value))
		}
		sum = capped(sum + Bytes(l.state))
	}
	return sum
}

// size is that of so many elements for each of so many tokens.
func size(elements, tokens uint64, e element) Bytes {
	return times(Bytes(elements), tokens*e.bytes) / Bytes(e.block)
}

// times multiplies without overflow: what is beyond maxBytes is maxBytes, and no host can hold either.
func times(b Bytes, n uint64) Bytes {
	hi, lo := bits.Mul64(uint64(b), n)
	if hi != 0 {
		return maxBytes
	}
	return capped(Bytes(lo))
}

func capped(b Bytes) Bytes { return min(b, maxBytes) }
