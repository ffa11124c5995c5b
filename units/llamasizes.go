package units

import (
	"path"
	"slices"
	"strings"
)

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
		key:   "f16", value: "f16",
	}
	_, use.whole = args.last("LLAMA_ARG_SWA_FULL", "--swa-full")
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
	c.Overhead = capped(c.Overhead + buffer + times(windows(m.layers, cells), use.parallel*llamaCheckpoints(s.variant.Context)))
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
