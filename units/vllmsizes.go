package units

import (
	"strconv"
	"strings"
)

// vllmSizes works out what vLLM takes. Its KV cache is one pool for all requests, so the least is one of the whole context.
func (s *spec) vllmSizes(_ tree, f *modelFacts) (sizes, error) {
	v, args := s.variant, s.sizeArgs()
	asked, _ := args.last("", "--dtype")
	served := servedType(f.format, asked)
	s.unit.Format.Served = served
	if method, ok := args.last("", "--quantization", "-q"); ok {
		s.unit.Format.Quant = strings.ToLower(method)
	}
	number := vllmElement(args, served)
	use := cacheUse{
		key: number, value: number, context: uint64(v.Context), step: uint64(v.BatchTokens), align: 16,
		whole:  args.has("--disable-hybrid-kv-cache-manager"),
		caches: 1, states: 1,
	}
	r := sizes{need: cache(f.layers, use)}
	use.states = uint64(v.Parallel)
	c := &r.charge
	c.Weights = f.weights(served)
	c.Overhead = vllmOverhead(uint64(v.Parallel), uint64(v.BatchTokens), !args.has("--enforce-eager"))
	c.KV, r.kv = s.vllmCache(args, c.Weights, cache(f.layers, use))
	if s.unit.GPU {
		c.Device, c.Host = c.Estimate(), vllmHost
	}
	return r, nil
}

// vllmElement is the size of the numbers in vLLM's KV cache.
func vllmElement(args sizeArgs, served string) element {
	kind, _ := args.last("", "--kv-cache-dtype")
	switch {
	case strings.HasPrefix(kind, "int4"):
		return element{1, 2}
	case strings.HasPrefix(kind, "fp8"), strings.HasPrefix(kind, "int8"):
		return element{1, 1}
	case dtypeBytes[kind] > 0:
		return element{dtypeBytes[kind], 1}
	}
	return element{max(dtypeBytes[served], 2), 1}
}

// vllmCache is how large vLLM's KV cache will be, and what it has to be told for that.
func (s *spec) vllmCache(args sizeArgs, weights, least Bytes) (size, told Bytes) {
	switch v := s.variant; {
	case v.KVMemory > 0:
		return v.KVMemory, v.KVMemory
	case !s.unit.GPU && args.env[vllmKVEnv] != "":
		gib, err := strconv.ParseUint(args.env[vllmKVEnv], 10, 16)
		if err == nil && gib > 0 {
			return Bytes(gib) * GiB, 0
		}
	case v.Utilization > 0:
		all := Bytes(v.Utilization * float64(s.poolTotal()))
		return max(least, all-min(all, weights+vllmGate)), 0
	}
	// Blocks of tokens, and of hybrid models pages of one size for layers of two kinds, take a little more.
	size = (capped(least+least/20) + MiB - 1) / MiB * MiB
	return size, size
}

// poolTotal is the size of the memory that vLLM's shares are of; 0: not known.
func (s *spec) poolTotal() Bytes {
	if s.unit.GPU && s.host.GPUTotal > 0 {
		return s.host.GPUTotal
	}
	return s.host.MemTotal
}
