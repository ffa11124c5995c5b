package units

import "slices"

// llamaFlags are the flags that tierd sets, with the key of tiers.toml that decides each.
var llamaFlags = map[string]string{
	"-m": "model", "--model": "model",
	"--host": "", "--port": "", "--reuse-port": "",
	"-c": "context", "--ctx-size": "context",
	"-np": "parallel", "--parallel": "parallel",
	"-t": "threads", "--threads": "threads",
	"-ngl": "gpu_layers", "--gpu-layers": "gpu_layers", "--n-gpu-layers": "gpu_layers",
	"-fit": "", "--fit": "",
	"-fa": "flash_attention", "--flash-attn": "flash_attention",
	"--load-mode": "load_mode", "--mmap": "load_mode", "--no-mmap": "load_mode", "--mlock": "load_mode",
	"-cram": "", "--cache-ram": "",
	"-ctxcp": "", "--ctx-checkpoints": "", "--swa-checkpoints": "",
	"--jinja": "", "--no-ui": "", "--no-webui": "", "--no-warmup": "",
	"-a": "served_name", "--alias": "served_name",
	"--metrics": "", "--sse-ping-interval": "",
	"--api-key": "", "--api-key-file": "",
	"--models-dir": "", "--models-preset": "",
	"-hf": "model", "-hfr": "model", "--hf-repo": "model",
	"-mu": "model", "--model-url": "model",
}

// llama is the command line of llama-server. Context and layers are always explicit and fitting is off: it would size this
// tier by what is free just now, which depends on what the other tiers do in the same second.
func (s *spec) llama() command {
	v := s.variant
	argv := append(slices.Clone(s.engine.Command),
		"--host", s.unit.Socket, // a name that ends in .sock is a unix socket
		"-m", s.modelPath(),
		"--alias", s.unit.Served,
		"-c", number(int(v.Context)*v.Parallel), // shared out among the slots
		"-np", number(v.Parallel))
	if v.Threads > 0 {
		argv = append(argv, "-t", number(v.Threads))
	}
	switch {
	case v.GPULayers != nil:
		argv = append(argv, "-ngl", number(*v.GPULayers))
	case s.unit.GPU:
		argv = append(argv, "-ngl", "999") // all
	}
	checkpoints := number(llamaCheckpoints(v.Context))
	argv = append(argv, "-fa", v.FlashAttention, "--metrics", "--jinja")
	return command{argv: argv, prefer: []string{
		"--fit off|-fit off",
		"--no-ui|--no-webui",
		"--no-warmup",           // the shim's probe is a real token, which warms as well; once is enough
		"--sse-ping-interval 1", // a stop with a stream open ends at the next ping
		loadMode(v.LoadMode),
		"--cache-ram " + number(llamaCache),
		"--ctx-checkpoints " + checkpoints + "|--swa-checkpoints " + checkpoints,
	}}
}

// loadMode is how the model is read: one flag in new versions, two switches in old ones, where mmap is what happens without.
func loadMode(mode string) string {
	prefer := "--load-mode " + mode
	switch mode {
	case "none":
		prefer += "|--no-mmap"
	case "mlock", "mmap+mlock":
		prefer += "|--mlock"
	}
	return prefer
}
