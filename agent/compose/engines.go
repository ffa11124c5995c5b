package compose

import (
	"slices"

	"github.com/tierd/tierd/units"
)

// engine is an [engine.NAME] of the tiers.toml that comes with tierd.
type engine struct {
	name, kind string
	gpu        bool
	command    []string
	env        [][2]string
	why        string // the stack's server is taken for one of these
}

var engines = []engine{
	{"vllm", units.KindVLLM, true, []string{"/opt/vllm/bin/vllm", "serve"}, [][2]string{
		{"TORCH_ROCM_AOTRITON_ENABLE_EXPERIMENTAL", "1"},
		{"FLASH_ATTENTION_TRITON_AMD_ENABLE", "TRUE"},
		{"VLLM_ROCM_USE_AITER", "0"},
		{"MIOPEN_FIND_MODE", "FAST"},
		{"HIP_FORCE_DEV_KERNARG", "1"},
	}, "it was served by vLLM"},
	{"llama", units.KindLlama, false, []string{"/usr/bin/llama-server"}, nil, "llama.cpp, on the CPU as before"},
	{"llama-radv", units.KindLlama, true, []string{"/opt/llama.cpp/vulkan/bin/llama-server"}, nil, "llama.cpp on the GPU, by Vulkan"},
	{"llama-rocm", units.KindLlama, true, []string{"/opt/llama.cpp/rocm/bin/llama-server"}, [][2]string{
		{"ROCBLAS_USE_HIPBLASLT", "1"},
	}, "llama.cpp on the GPU, by ROCm"},
}

func engineOf(name string) engine {
	i := slices.IndexFunc(engines, func(e engine) bool { return e.name == name })
	if i < 0 {
		return engine{name: name, kind: units.KindRemote}
	}
	return engines[i]
}

// writeEngines writes those that a tier uses. Images do not say where a program is on this machine.
func writeEngines(w *writer, tiers []*tier) {
	for _, e := range engines {
		used := slices.ContainsFunc(tiers, func(t *tier) bool {
			return slices.ContainsFunc(t.variants, func(v variant) bool { return v.engine == e.name })
		})
		if !used {
			continue
		}
		w.table(origin{}, "engine", e.name)
		if e.name != e.kind {
			w.set("kind", e.kind, added("the engine's name does not say it"))
		}
		w.set("command", e.command, added("as in the tiers.toml that comes with tierd; it was in a container's image"))
		if e.gpu && e.kind == units.KindLlama {
			w.set("gpu", true, added("llama.cpp opens no GPU otherwise"))
		}
		if len(e.env) > 0 {
			w.table(origin{}, "engine", e.name, "env")
			for _, pair := range e.env {
				w.set(pair[0], pair[1], added("what gfx1151 needs"))
			}
		}
	}
}
