package units

import (
	"fmt"
	"testing"
)

func TestTheFormatIsReadFromTheFiles(t *testing.T) {
	const plain = `{"model_type": "qwen3_moe", "num_experts": 128, "torch_dtype": "bfloat16"%s}`
	quant := func(text string) string { return fmt.Sprintf(plain, `, "quantization_config": `+text) }
	base := Format{Family: "qwen3_moe", MoE: true, DType: "bfloat16"}
	with := func(change func(*Format)) Format { f := base; change(&f); return f }
	for _, row := range []struct {
		rule, text string
		want       Format
	}{
		{"not quantised", fmt.Sprintf(plain, ""), base},
		{"a dense model", `{"model_type": "qwen2", "dtype": "float16"}`, Format{Family: "qwen2", DType: "float16"}},
		{"one expert is none", `{"model_type": "m", "num_local_experts": 1}`, Format{Family: "m"}},
		{"AWQ", quant(`{"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": true}`), with(func(f *Format) { f.Quant, f.Bits, f.Group = "awq", 4, 128 })},
		{"AWQ in older words", quant(`{"quant_method": "AWQ", "w_bit": 4, "q_group_size": 64}`), with(func(f *Format) { f.Quant, f.Bits, f.Group = "awq", 4, 64 })},
		{"GPTQ by channels", quant(`{"quant_method": "gptq", "bits": 8, "group_size": -1, "desc_act": true}`), with(func(f *Format) { f.Quant, f.Bits = "gptq", 8 })},
		{"FP8 in blocks", quant(`{"quant_method": "fp8", "activation_scheme": "dynamic", "fmt": "e4m3", "weight_block_size": [128, 128]}`),
			with(func(f *Format) {
				f.Quant, f.Bits, f.Float, f.Activations, f.Block = "fp8", 8, true, 8, [2]int{128, 128}
			})},
		{"MXFP4", quant(`{"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}`), with(func(f *Format) { f.Quant, f.Bits, f.Float, f.Group = "mxfp4", 4, true, 32 })},
		{"bitsandbytes", quant(`{"quant_method": "bitsandbytes", "load_in_4bit": true, "bnb_4bit_quant_type": "nf4"}`),
			with(func(f *Format) { f.Quant, f.Bits, f.Scheme = "bitsandbytes", 4, "nf4" })},
		{"weights in 4 bits in compressed-tensors", quant(`{"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": {"group_0": {
			"input_activations": null, "weights": {"num_bits": 4, "type": "int", "group_size": 128, "strategy": "group"}}}}`),
			with(func(f *Format) { f.Quant, f.Scheme, f.Bits, f.Group = "compressed-tensors", "pack-quantized", 4, 128 })},
		{"weights and activations in 8 bits", quant(`{"quant_method": "compressed-tensors", "format": "float-quantized", "config_groups": {"group_0": {
			"input_activations": {"num_bits": 8, "type": "float", "dynamic": true}, "weights": {"num_bits": 8, "type": "float", "strategy": "channel"}}}}`),
			with(func(f *Format) {
				f.Quant, f.Scheme, f.Bits, f.Float, f.Activations = "compressed-tensors", "float-quantized", 8, true, 8
			})},
		{"the group with the most bits stands for all", quant(`{"quant_method": "compressed-tensors", "format": "mixed-precision", "config_groups": {
			"group_0": {"weights": {"num_bits": 4, "type": "float", "group_size": 16}}, "group_1": {"weights": {"num_bits": 8, "type": "int", "group_size": 32}}}}`),
			with(func(f *Format) { f.Quant, f.Scheme, f.Bits, f.Group = "compressed-tensors", "mixed-precision", 8, 32 })},
		{"modelopt", quant(`{"quant_method": "modelopt", "quant_algo": "NVFP4"}`),
			with(func(f *Format) { f.Quant, f.Scheme, f.Bits, f.Float, f.Activations = "modelopt", "NVFP4", 4, true, 4 })},
		{"a method that is new", quant(`{"quant_method": "wonder", "bits": 3}`), with(func(f *Format) { f.Quant, f.Bits = "wonder", 3 })},
		{"beside the language part", `{"quantization_config": {"quant_method": "awq", "bits": 4}, "text_config": {"model_type": "t", "dtype": "bfloat16"}}`,
			Format{Family: "t", DType: "bfloat16", Quant: "awq", Bits: 4}},
		{"what is odd is left out", quant(`{"quant_method": "awq", "bits": "four"}`), with(func(f *Format) { f.Quant = "awq" })},
	} {
		t.Run(row.rule, func(t *testing.T) {
			c, err := parseConfig([]byte(row.text))
			if err != nil {
				t.Fatal(err)
			}
			if got := c.format(nil); got != row.want || c.err != nil {
				t.Errorf("got %+v, %v\nwant %+v", got, c.err, row.want)
			}
		})
	}
}

func TestOlderToolsKeptItInAFileOfItsOwn(t *testing.T) {
	for name, row := range map[string]struct {
		text string
		want Format
	}{
		"quantize_config.json":  {`{"bits": 4, "group_size": 128, "desc_act": false}`, Format{Quant: "gptq", Bits: 4, Group: 128}},
		"quant_config.json":     {`{"w_bit": 4, "q_group_size": 128, "version": "GEMM"}`, Format{Quant: "awq", Bits: 4, Group: 128}},
		"hf_quant_config.json":  {`{"producer": {"name": "modelopt"}, "quantization": {"quant_algo": "FP8"}}`, Format{Quant: "modelopt", Scheme: "FP8", Bits: 8, Float: true, Activations: 8}},
		"something_config.json": {`{"bits": 4}`, Format{}},
	} {
		folder := qwen3B.folder("BF16", 1)
		folder[name] = jsonFile(row.text)
		u := chargeOf(t, sizedWith(folder, qwen3B.gguf(q4KM, 15)), "tier-coder.service")
		row.want.Family, row.want.DType, row.want.Served = "qwen2", "bfloat16", "bfloat16"
		if u.Format != row.want {
			t.Errorf("%s: got %+v\nwant %+v", name, u.Format, row.want)
		}
	}
}

func TestExtraArgumentsAreAPartOfTheFormat(t *testing.T) {
	u := chargeOf(t, sized(), "tier-coder.service", `kv_memory = "4GiB"`, `extra_args = ["-q", "fp8", "--dtype", "float16"]`)
	if u.Format.Quant != "fp8" || u.Format.Served != "float16" || u.Format.DType != "bfloat16" {
		t.Errorf("got %+v", u.Format)
	}
	if again := chargeOf(t, sized(), "tier-coder.service"); again.Format.Quant != "" {
		t.Errorf("without: %+v", again.Format)
	}
}

func TestAGGUFFilesFormatIsItsType(t *testing.T) {
	for fileType, want := range map[int]string{15: "Q4_K_M", 7: "Q8_0", 32: "BF16", 38: "MXFP4", 15 | 1<<10: "Q4_K_M"} {
		m, err := ggufModelOf(qwenCoder.gguf(q4KM, fileType))
		if err != nil {
			t.Fatal(err)
		}
		if got := m.format(); got != (Format{Family: "qwen3moe", Quant: want, Bits: 4, MoE: true}) {
			t.Errorf("%d: %+v", fileType, got)
		}
	}
	m, err := ggufModelOf(ggufOf(small()))
	if err != nil || m.format() != (Format{Family: "llama"}) {
		t.Errorf("a file without tensors: %+v, %v", m, err)
	}
}
