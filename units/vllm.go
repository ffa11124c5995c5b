package units

import (
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// shutdownTimeout is what vLLM itself waits for requests at SIGTERM: little, since the gateway has waited before.
const shutdownTimeout = 5 * time.Second

// vllmFlags are the flags that tierd sets, with the key of tiers.toml that decides each.
var vllmFlags = map[string]string{
	"--model":                            "model",
	"--uds":                              "",
	"--host":                             "",
	"--port":                             "",
	"--served-model-name":                "served_name",
	"--max-model-len":                    "context",
	"--max-num-seqs":                     "parallel",
	"--max-num-batched-tokens":           "batch_tokens",
	"--kv-cache-memory-bytes":            "kv_memory",
	"--gpu-memory-utilization":           "gpu_utilization",
	"--enable-auto-tool-choice":          "tools",
	"--tool-call-parser":                 "tools",
	"--enable-server-load-tracking":      "",
	"--disable-access-log-for-endpoints": "",
	"--shutdown-timeout":                 "drain",
	"--api-key":                          "",
	"--config":                           "",
	"--enable-prefix-caching":            "prefix_caching",
	"--no-enable-prefix-caching":         "prefix_caching",
}

// vllm is the command line of `vllm serve`, or of a program that takes the same flags without that word.
func (s *spec) vllm() command {
	v := s.variant
	argv := slices.Clone(s.engine.Command)
	if slices.Contains(argv[1:], "serve") {
		argv = append(argv, s.modelPath())
	} else {
		argv = append(argv, "--model", s.modelPath())
	}
	argv = append(argv, "--uds", s.unit.Socket, "--served-model-name")
	argv = append(argv, s.servedNames()...)
	argv = append(argv,
		"--max-model-len", number(v.Context),
		"--max-num-seqs", number(v.Parallel),
		"--max-num-batched-tokens", number(v.BatchTokens))
	if u := s.utilization(); u > 0 {
		argv = append(argv, "--gpu-memory-utilization", strconv.FormatFloat(u, 'f', -1, 64))
	}
	if v.Tools != "" {
		argv = append(argv, "--enable-auto-tool-choice", "--tool-call-parser", v.Tools)
	}
	if v.PrefixCaching {
		argv = append(argv, "--enable-prefix-caching")
	} else {
		argv = append(argv, "--no-enable-prefix-caching")
	}
	var prefer []string
	if kv := max(s.sizes.kv, v.KVMemory); kv > 0 { // versions without it size the cache by the share of all memory
		prefer = append(prefer, "--kv-cache-memory-bytes "+number(kv))
	}
	return command{argv: argv, prefer: append(prefer,
		"--enable-server-load-tracking", // /load counts only with it: it is how the shim sees a stuck engine
		"--disable-access-log-for-endpoints /health,/load,/metrics,/v1/models",
		"--shutdown-timeout "+number(int(shutdownTimeout.Seconds())))}
}

// servedNames are the names that the engine accepts as `model`; replies carry the first.
func (s *spec) servedNames() []string {
	var list []string
	for _, n := range []string{s.unit.Served, s.tier.Name, s.variant.Model} {
		if !slices.Contains(list, n) {
			list = append(list, n)
		}
	}
	return list
}

// utilization is the fraction of all GPU memory that vLLM wants to find free at its start, in hundredths. With a KV cache of
// known size it decides nothing else, so it is what model and cache take, and a little. Without one, it is the size of the
// KV cache and has to be written in the file.
func (s *spec) utilization() float64 {
	need, c := s.unit.Charge.Written, s.unit.Charge
	if c.Weights > 0 {
		need = c.Weights + c.KV + vllmGate
	}
	all := s.poolTotal()
	if s.variant.Utilization > 0 || all == 0 || max(s.sizes.kv, s.variant.KVMemory) == 0 {
		return s.variant.Utilization
	}
	hundredths := min((need*100+all-1)/all, 95)
	return float64(max(hundredths, 1)) / 100
}

// vllmEnv keeps vLLM's caches in the tier's directory and lets it load for as long as tierd does.
func (s *spec) vllmEnv() map[string]string {
	dir := s.cacheDir()
	env := map[string]string{
		"VLLM_CACHE_ROOT":             path.Join(dir, "vllm"),
		"VLLM_CONFIG_ROOT":            path.Join(dir, "vllm-config"),
		"TORCHINDUCTOR_CACHE_DIR":     path.Join(dir, "inductor"),
		"TRITON_CACHE_DIR":            path.Join(dir, "triton"),
		"HF_HOME":                     path.Join(dir, "huggingface"),
		"TRANSFORMERS_OFFLINE":        "1",
		"VLLM_NO_USAGE_STATS":         "1",
		"VLLM_RPC_BASE_PATH":          "/tmp", // short: 37 characters are added, a socket's path may have 107
		"VLLM_ENGINE_READY_TIMEOUT_S": number(int(s.variant.LoadTimeout.Seconds())),
		"PYTHONNOUSERSITE":            "1",
	}
	if s.unit.GPU {
		env["MIOPEN_USER_DB_PATH"] = path.Join(dir, "miopen")
		env["MIOPEN_CUSTOM_CACHE_DIR"] = path.Join(dir, "miopen")
	}
	if s.variant.Threads > 0 {
		env["OMP_NUM_THREADS"] = number(s.variant.Threads)
	}
	return env
}

// isGGUF tells a llama.cpp model from a folder of safetensors by its name.
func isGGUF(model string) bool { return strings.HasSuffix(strings.ToLower(model), ".gguf") }
