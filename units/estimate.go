package units

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// sizes is how a unit's memory was worked out.
type sizes struct {
	charge Charge
	need   Bytes // KV cache without which vLLM refuses to start: one request of the whole context
	kv     Bytes // what vLLM is told to take as its KV cache; 0: it takes what gpu_utilization leaves
}

// sumUp works out what the unit takes from its model's files. A model that cannot be summed up blocks the unit unless
// tiers.toml says what it takes.
func (s *spec) sumUp(fs *faults, h tree) {
	facts, err := s.host.Models.facts(h, s.model.path, s.engine.Kind)
	var found sizes
	if err == nil {
		s.unit.Format, s.unit.ModelFiles = facts.format, facts.files
		found, err = byKind(s, s.vllmSizes, s.llamaSizes, nil)(h, facts)
	}
	var fault *modelError
	if errors.As(err, &fault) {
		if s.variant.Memory == 0 {
			s.blockSize(fs, fault)
		}
		return
	}
	s.sizes = found
	written := s.unit.Charge.Written
	s.unit.Charge = found.charge
	s.unit.Charge.Written = written
	s.unit.measureKey = s.measureKey()
	s.unit.Charge.Measured = s.host.Measured[s.unit.measureKey]
	s.compare(fs)
}

func (s *spec) blockSize(fs *faults, fault *modelError) {
	key, class := "memory", "configuration"
	if fault.broken {
		key, class = "model", "model"
	}
	s.block(fs, key, class, fmt.Sprintf("%s; or write what it takes, as in memory = \"20GiB\"", fault.of(s.variant.Model)))
}

// compare warns of figures in the file that fall short of what the model's files say.
func (s *spec) compare(fs *faults) {
	name, estimate := s.tier.Name+"/"+s.variant.Name, s.unit.Charge
	at := func(key string) int { return s.config.line("tier", s.tier.Name, "variant", s.variant.Name, key) }
	estimate.Written, estimate.Measured = 0, 0
	if w := s.variant.Memory; w > 0 && estimate.Total() > w+w/10 {
		fs.warn(at("memory"), s.tier.Name, "memory of %s: %s are written, and by its model's files it takes %s", name, w, estimate)
	}
	if w := s.variant.KVMemory; w > 0 && w < s.sizes.need {
		fs.warn(at("kv_memory"), s.tier.Name, "kv_memory of %s: %s are written, and one request of %d tokens takes %s, so vLLM will not start",
			name, w, s.variant.Context, s.sizes.need)
	}
}

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
	r := sizes{need: cache(f.layers, cacheUse{
		key: number, value: number, context: uint64(v.Context), step: uint64(v.BatchTokens), align: 16,
		whole:  args.has("--disable-hybrid-kv-cache-manager"),
		caches: 1, states: uint64(v.Parallel),
	})}
	c := &r.charge
	c.Weights = f.weights(served)
	c.Overhead = vllmOverhead(uint64(v.Parallel), uint64(v.BatchTokens), !args.has("--enforce-eager"))
	c.KV, r.kv = s.vllmCache(args, c.Weights, r.need)
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
func (s *spec) vllmCache(args sizeArgs, weights, need Bytes) (size, told Bytes) {
	switch v := s.variant; {
	case v.KVMemory > 0:
		return v.KVMemory, v.KVMemory
	case args.env[vllmKVEnv] != "":
		gib, err := strconv.ParseUint(args.env[vllmKVEnv], 10, 16)
		if err == nil && gib > 0 {
			return Bytes(gib) * GiB, 0
		}
	case v.Utilization > 0:
		all := Bytes(v.Utilization * float64(s.poolTotal()))
		return max(need, all-min(all, weights+vllmGate)), 0
	}
	// Blocks of tokens, and of hybrid models pages of one size for layers of two kinds, take a little more.
	size = (capped(need+need/20) + MiB - 1) / MiB * MiB
	return size, size
}

// poolTotal is the size of the memory that vLLM's shares are of; 0: not known.
func (s *spec) poolTotal() Bytes {
	if s.unit.GPU && s.host.GPUTotal > 0 {
		return s.host.GPUTotal
	}
	return s.host.MemTotal
}

// llamaSizes works out what llama-server takes. Each of its requests has a cache of its own.
func (s *spec) llamaSizes(h tree, f *modelFacts) (sizes, error) {
	args := s.sizeArgs()
	use, err := s.runUse(args)
	if err != nil {
		return sizes{}, err
	}
	c := Charge{Weights: f.gguf.weights, Overhead: llamaBase}
	layers := uint64(0)
	if s.unit.GPU {
		layers = s.gpuLayers(f.gguf)
	}
	if layers > 0 {
		c.Weights = capped(c.Weights + f.gguf.shared)
	}
	if err := s.addModel(&c, f.gguf, use); err != nil {
		return sizes{}, err
	}
	if err := s.beside(h, &c, args, use); err != nil {
		return sizes{}, err
	}
	if s.unit.GPU {
		onGPU := c.Weights
		if !args.has("-nkvo", "--no-kv-offload") {
			onGPU += c.KV
		}
		c.Device, c.Host = c.Overhead+times(onGPU, layers)/Bytes(f.gguf.about.BlockCount+1), llamaHost
	} else if s.variant.LoadMode == "mmap" {
		c.Mapped = f.gguf.weights
	}
	return sizes{charge: c}, nil
}

// gpuLayers is how many layers go to the GPU, the output counted as one.
func (s *spec) gpuLayers(m *ggufModel) uint64 {
	all := m.about.BlockCount + 1
	if s.variant.GPULayers == nil {
		return all
	}
	return min(uint64(*s.variant.GPULayers), all)
}

// maxBatch bounds -b and -ub: with more the buffers alone would fill the machine.
const maxBatch = 1 << 16

func (s *spec) runUse(args sizeArgs) (runUse, error) {
	use := runUse{
		context: uint64(s.variant.Context), parallel: uint64(s.variant.Parallel), flash: s.variant.FlashAttention != "off",
		batch: args.number(2048, maxBatch, "LLAMA_ARG_BATCH", "-b", "--batch-size"),
		step:  args.number(512, maxBatch, "LLAMA_ARG_UBATCH", "-ub", "--ubatch-size"),
		whole: args.has("--swa-full"), key: "f16", value: "f16",
	}
	use.step = min(use.step, use.batch)
	for _, t := range []struct {
		into            *string
		variable, short string
		long            string
	}{
		{&use.key, "LLAMA_ARG_CACHE_TYPE_K", "-ctk", "--cache-type-k"},
		{&use.value, "LLAMA_ARG_CACHE_TYPE_V", "-ctv", "--cache-type-v"},
	} {
		name, ok := args.last(t.variable, t.short, t.long)
		if !ok {
			continue
		}
		if _, known := cacheTypes[name]; !known {
			return use, unclear("", "the KV cache would be of type %s, whose size tierd does not know", quote(name))
		}
		*t.into = name
	}
	return use, nil
}

// addModel adds the KV cache and the buffers of a model.
func (s *spec) addModel(c *Charge, m *ggufModel, use runUse) error {
	cells := cacheUse{
		key: cacheTypes[use.key].size, value: cacheTypes[use.value].size, context: use.context, step: use.step, align: 256,
		whole: use.whole, caches: use.parallel, states: use.parallel,
	}
	c.KV = capped(c.KV + cache(m.layers, cells))
	buffer, err := m.compute(use)
	if err != nil {
		return err
	}
	c.Overhead = capped(c.Overhead + buffer + times(windows(m.layers, cells), use.parallel*llamaCheckpoints))
	return nil
}

// beside adds the models that extra_args name besides: a draft model with its own cache, projectors and adapters.
func (s *spec) beside(h tree, c *Charge, args sizeArgs, use runUse) error {
	if at, ok := args.last("LLAMA_ARG_SPEC_DRAFT_MODEL", "-md", "--model-draft", "--spec-draft-model"); ok {
		at = path.Join("/", at) // where units work
		draft, err := s.host.Models.facts(h, at, KindLlama)
		if err != nil {
			return inFile(at, err)
		}
		use.key, use.value = "f16", "f16" // its cache has types of its own
		c.Weights = capped(c.Weights + draft.gguf.weights)
		if err := s.addModel(c, draft.gguf, use); err != nil {
			return inFile(at, err)
		}
		s.unit.ModelFiles = slices.Concat(s.unit.ModelFiles, draft.files)
	}
	for _, flags := range [][]string{{"LLAMA_ARG_MMPROJ", "-mm", "--mmproj"}, {"", "--lora"}, {"", "--control-vector"}} {
		names, _ := args.last(flags[0], flags[1:]...)
		for at := range strings.SplitSeq(names, ",") {
			if at == "" {
				continue
			}
			at = path.Join("/", at)
			file, err := h.modelFile(at)
			if err != nil {
				return inFile(at, unread("", err))
			}
			c.Weights = capped(c.Weights + file.Size)
			s.unit.ModelFiles = slices.Concat(s.unit.ModelFiles, []ModelFile{file})
		}
	}
	return nil
}
