package compose

import (
	"strconv"
	"strings"

	"github.com/tierd/tierd/units"
)

// flagUse says what a flag of an engine is in tiers.toml.
type flagUse struct {
	takes bool // a value, if one follows
	to    func(s *stack, v *server, is value)
}

// field puts the flag's value into a field of the server.
func field(of func(v *server) *value) flagUse {
	return flagUse{true, func(_ *stack, v *server, is value) { *of(v) = is }}
}

// fixed is a flag without a value that stands for one.
func fixed(of func(v *server) *value, text string) flagUse {
	return flagUse{false, func(_ *stack, v *server, is value) { *of(v) = value{text, is.from} }}
}

var (
	ownSwitch = flagUse{false, func(*stack, *server, value) {}} // tierd sets it itself
	ownFlag   = flagUse{true, func(*stack, *server, value) {}}

	model    = field(func(v *server) *value { return &v.model })
	port     = field(func(v *server) *value { return &v.port })
	context  = field(func(v *server) *value { return &v.context })
	parallel = field(func(v *server) *value { return &v.parallel })
	threads  = field(func(v *server) *value { return &v.threads })
	layers   = flagUse{true, gpuLayers}
	flash    = flagUse{true, flashAttention}
	address  = flagUse{true, (*stack).listened}
)

// vllmUses and llamaUses are the flags with a key of tiers.toml, and those that tierd sets; all others are passed on.
var vllmUses = map[string]flagUse{
	"--model":                    model,
	"--host":                     address,
	"--port":                     port,
	"--max-model-len":            context,
	"--max-num-seqs":             parallel,
	"--max-num-batched-tokens":   field(func(v *server) *value { return &v.batch }),
	"--gpu-memory-utilization":   field(func(v *server) *value { return &v.share }),
	"--tool-call-parser":         field(func(v *server) *value { return &v.tools }),
	"--kv-cache-dtype":           {true, func(s *stack, v *server, is value) { s.flagValue(v, "--kv-cache-dtype", is) }},
	"--dtype":                    {true, func(s *stack, v *server, is value) { s.flagValue(v, "--dtype", is) }},
	"--served-model-name":        ownFlag,
	"--api-key":                  ownFlag,
	"--enable-prefix-caching":    ownSwitch,
	"--no-enable-prefix-caching": fixed(func(v *server) *value { return &v.caching }, "false"),
	"--enable-auto-tool-choice":  ownSwitch,
}

var llamaUses = map[string]flagUse{
	"-m": model, "--model": model,
	"-c": context, "--ctx-size": context,
	"-t": threads, "--threads": threads,
	"-np": parallel, "--parallel": parallel,
	"-ngl": layers, "--gpu-layers": layers, "--n-gpu-layers": layers,
	"-fa": flash, "--flash-attn": flash,
	"--no-mmap": fixed(func(v *server) *value { return &v.loadMode }, "none"),
	"--mlock":   fixed(func(v *server) *value { return &v.loadMode }, "mlock"),
	"--host":    address, "--port": port,
	"-a": ownFlag, "--alias": ownFlag, "--api-key": ownFlag,
	"--jinja": ownSwitch, "--metrics": ownSwitch, "--no-webui": ownSwitch,
}

// allLayers is more than any model has: the stack wrote 99 and 999 for all of them.
const allLayers = 99

// gpuLayers: with any layer on the GPU the server is one of the engines that may open it. Less than all are written.
func gpuLayers(_ *stack, v *server, is value) {
	n, err := strconv.Atoi(is.text)
	if err == nil && n == 0 {
		return
	}
	v.engine = "llama-radv"
	if err == nil && n > 0 && n < allLayers {
		v.layers = is
	}
}

// flashAttention was a switch in older versions.
func flashAttention(_ *stack, v *server, is value) {
	if v.flash = is; is.text == "" {
		v.flash.text = "on"
	}
}

// listened says once that tiers are less open than the servers were.
func (s *stack) listened(_ *server, host value) {
	if !s.open && (host.text == "0.0.0.0" || host.text == "::") {
		s.open = true
		s.note(Changed, host.from.at, host.from.key+" --host", "was every address, here and perhaps elsewhere: tiers answer at 127.0.0.1 alone; `listen` in [gateway], with a key, opens them")
	}
}

// own drops a flag that tierd does not let through.
func (s *stack) own(v service, r *server, name string, is value) bool {
	key, own := units.OwnFlag(r.kind, name)
	switch {
	case own && key != "":
		s.note(Warning, is.from.at, v.name+" "+name, "is not in the result: tierd sets it by `%s` of the variant, where you may want what it said", key)
	case own:
		s.note(Dropped, is.from.at, v.name+" "+name, "is not needed: tierd sets it itself")
	}
	return own
}

// dashed is a long flag as it is documented: vLLM takes underscores for its dashes.
func dashed(kind, flag string) string {
	if kind != units.KindVLLM {
		return flag
	}
	return strings.ReplaceAll(flag, "_", "-")
}

func isNumber(text string) bool {
	_, err := strconv.Atoi(text)
	return err == nil
}

// variableName is a flag as a variable would be called: --hf-token is HF_TOKEN.
func variableName(flag string) string {
	return strings.ToUpper(strings.ReplaceAll(strings.TrimLeft(flag, "-"), "-", "_"))
}
