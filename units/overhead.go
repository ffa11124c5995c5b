package units

// What engines take beside weights and KV cache. There is no published figure for gfx1151 with small batches, so these are
// on the safe side, and what was measured in an earlier run stands above them.
const (
	// vLLM: activations, buffers of kernels and the runtime, with up to 4 requests and 2048 tokens in a step. 2 to 3 GiB by
	// its own logs ("non-kv usages") with --enforce-eager.
	vllmBase = 3 * GiB
	// 7B with vLLM's defaults (256 requests, 8192 tokens, graphs) took 7 GiB: a GiB each for 252 more requests (their
	// logits) and for 6144 more tokens (activations), and two for the graphs, which take one to three.
	vllmStep     = GiB
	vllmRequests = 256 - 4
	vllmTokens   = 8192 - 2048
	vllmGraphs   = 2 * GiB
	// Of it, what the gate at its start has to find free besides weights and KV cache.
	vllmGate = 2 * GiB
	// The API server's and the engine's processes, which live in RAM wherever the model is.
	vllmHost = 5 * GiB

	// llama-server: its process, the tokenizer, the results.
	llamaBase = 300 * MiB
	// The same when the model is on a GPU, with the driver's buffers.
	llamaHost = 600 * MiB
)

// vllmOverhead is what vLLM takes beside weights and KV cache.
func vllmOverhead(requests, tokens uint64, graphs bool) Bytes {
	sum := Bytes(vllmBase)
	if requests > 4 {
		sum += times(vllmStep, requests-4) / vllmRequests
	}
	if tokens > 2048 {
		sum += times(vllmStep, tokens-2048) / vllmTokens
	}
	if graphs {
		sum += vllmGraphs
	}
	return sum
}

// llamaCheckpoints is how many copies llama-server keeps for each request of what a window or a linear layer holds: with
// them it can go back when the next prompt differs from the last. It makes one every 8192 tokens and at a prompt's end, up
// to 32, and one of a model with large windows takes hundreds of MiB; so as many as the context has use for, and 8 at most.
func llamaCheckpoints(context Tokens) uint64 { return min(uint64(context)/8192+2, 8) }

// llamaCache is the MiB that llama-server may keep of prompts whose place another request has taken. Its own 8192 are taken
// bit by bit, hours after the start, when nobody sums up any more. A request goes on where the last one in its place ended
// without it, so tierd has none.
const llamaCache = 0
