package units

import (
	"maps"
	"slices"
	"strings"
)

// Format is how a model's numbers are stored, as its own files say it. Rules about what works on which GPU are made of
// these fields; a name of a model says nothing reliable about them. The zero Format is a model of which nothing is known.
type Format struct {
	// Family is config.json's model_type or the GGUF's general.architecture: "qwen3_moe", "llama".
	Family string
	// Quant is how the weights are quantised: the quant_method of a quantization_config ("awq", "gptq", "fp8", "mxfp4",
	// "compressed-tensors", "bitsandbytes", "modelopt" ...) or what extra_args names in its place; of a GGUF file its
	// type ("Q4_K_M"). "" is a model that is not quantised.
	Quant string
	// Scheme says more where Quant is a container: compressed-tensors' format ("pack-quantized"), modelopt's algorithm
	// ("NVFP4"), bitsandbytes' type ("nf4").
	Scheme string
	// Bits is those of a quantised weight, 0 when it is not quantised or not known. Of a GGUF file, whose tensors differ,
	// the whole bits of an average weight.
	Bits int
	// Float tells that quantised weights are floating point numbers (FP8, MXFP4) and not whole ones (INT4, INT8).
	Float bool
	// Activations is the bits to which activations are quantised; 0: they are not (W4A16 has 0, W8A8 has 8).
	Activations int
	// Group is how many weights share a scale; 0: a channel or a tensor, or not known. FP8 in blocks has Block instead.
	Group int
	// Block is the rows and columns that share a scale ([128, 128]); zero: none.
	Block [2]int
	// MoE tells a mixture of experts.
	MoE bool
	// DType is the type of what is not quantised: "bfloat16", "float16", "float32". Of a GGUF file "".
	DType string
	// Served is the type in which vLLM computes and keeps its KV cache, after --dtype. "" for a GGUF file.
	Served string
}

// expertCounts are the names that files have for the number of experts in a layer.
var expertCounts = []string{"num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "num_moe_experts"}

// format reads the Format of a model from its config.json and, where older tools put it there, from a file beside it.
func (c *hfConfig) format(beside *hfConfig) Format {
	f := Format{
		Family: c.text("model_type"),
		MoE:    c.number(maxSize, expertCounts...) > 1,
		DType:  strings.TrimPrefix(c.text("dtype", "torch_dtype"), "torch."),
	}
	q := c.object("quantization_config", "compression_config")
	if len(q.model) == 0 && beside != nil {
		q = beside
	}
	if len(q.model) > 0 {
		f.quantised(q) // what is odd in there is left out: it decides about rules, not about sizes
	}
	return f
}

// maxBits is that of the widest number.
const maxBits = 64

// quantised reads a quantization_config.
func (f *Format) quantised(q *hfConfig) {
	f.Quant = strings.ToLower(q.text("quant_method"))
	f.Bits = int(q.number(maxBits, "bits", "w_bit", "num_bits"))
	f.Group = group(q)
	switch f.Quant {
	case "fp8", "fbgemm_fp8":
		f.Bits, f.Float, f.Activations = 8, true, 8
		if block := q.numbers(maxSize, "weight_block_size"); len(block) == 2 {
			f.Block = [2]int{int(block[0]), int(block[1])}
		}
	case "mxfp4":
		f.Bits, f.Float, f.Group = 4, true, 32
	case "bitsandbytes":
		f.Bits, f.Scheme = 8, q.text("bnb_4bit_quant_type")
		if q.flag(false, "load_in_4bit", "_load_in_4bit") {
			f.Bits = 4
		}
	case "compressed-tensors":
		f.compressed(q)
	case "modelopt", "modelopt_fp4":
		f.Scheme = strings.ToUpper(q.text("quant_algo"))
		f.Float = strings.Contains(f.Scheme, "FP")
		for bits, name := range map[int]string{4: "FP4", 8: "FP8"} {
			if strings.Contains(f.Scheme, name) {
				f.Bits, f.Activations = bits, bits
			}
		}
	}
}

// group is how many weights share a scale; -1 is written for a whole channel.
func group(q *hfConfig) int {
	for _, name := range []string{"group_size", "q_group_size"} {
		if v := q.model[name]; strings.TrimSpace(string(v)) == "-1" {
			return 0
		}
	}
	return int(q.number(maxSize, "group_size", "q_group_size"))
}

// compressed reads compressed-tensors, which describes groups of layers. The one with the most bits stands for all of them:
// mixed models keep their sensitive layers so.
func (f *Format) compressed(q *hfConfig) {
	f.Scheme = q.text("format")
	groups := q.object("config_groups")
	for _, name := range slices.Sorted(maps.Keys(groups.model)) {
		g := groups.object(name)
		weights, inputs := g.object("weights"), g.object("input_activations")
		if bits := int(weights.number(maxBits, "num_bits")); bits > f.Bits {
			f.Bits, f.Group, f.Float = bits, group(weights), weights.text("type") == "float"
			if block := weights.numbers(maxSize, "block_structure"); len(block) == 2 {
				f.Block = [2]int{int(block[0]), int(block[1])}
			}
		}
		f.Activations = max(f.Activations, int(inputs.number(maxBits, "num_bits")))
	}
}

// quantFiles are where tools kept a model's quantisation before config.json had a place for it, with the method they mean.
var quantFiles = []quantFile{
	{"quantize_config.json", "gptq"}, {"quant_config.json", "awq"}, {"hf_quant_config.json", "modelopt"},
}

type quantFile struct{ name, method string }
