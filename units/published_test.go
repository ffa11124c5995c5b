package units

import "fmt"

// published are well-known models by what their publishers say of them: config.json, and from its numbers every tensor.
type published struct {
	config string
	family string // of the GGUF file
	shape
}

// shape is what a model's tensors are made of.
type shape struct {
	layers, hidden, heads, groups, head, ff, vocab uint64
	tied, bias, norms                              bool // embeddings serve as output; biases of q, k, v; norms of q and k
	experts, used, expertFF, sharedFF              uint64
	interval                                       uint64 // a layer with attention every so many; 0: all
	stateHeads, stateKeys, stateHead               uint64
	gated                                          bool // q has a gate of its own size
}

var qwen14 = published{family: "qwen2", shape: shape{layers: 48, hidden: 5120, heads: 40, groups: 8, head: 128, ff: 13824, vocab: 152064, bias: true}, config: `{
  "architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "hidden_size": 5120, "intermediate_size": 13824,
  "max_position_embeddings": 32768, "max_window_layers": 70, "model_type": "qwen2", "num_attention_heads": 40,
  "num_hidden_layers": 48, "num_key_value_heads": 8, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
  "sliding_window": 131072, "tie_word_embeddings": false, "torch_dtype": "bfloat16", "use_sliding_window": false, "vocab_size": 152064}`}

var qwen3B = published{family: "qwen2", shape: shape{layers: 36, hidden: 2048, heads: 16, groups: 2, head: 128, ff: 11008, vocab: 151936, bias: true, tied: true}, config: `{
  "architectures": ["Qwen2ForCausalLM"], "hidden_size": 2048, "intermediate_size": 11008, "max_position_embeddings": 32768,
  "max_window_layers": 70, "model_type": "qwen2", "num_attention_heads": 16, "num_hidden_layers": 36, "num_key_value_heads": 2,
  "sliding_window": 32768, "tie_word_embeddings": true, "torch_dtype": "bfloat16", "use_sliding_window": false, "vocab_size": 151936}`}

var qwen7 = published{family: "qwen2", shape: shape{layers: 28, hidden: 3584, heads: 28, groups: 4, head: 128, ff: 18944, vocab: 152064, bias: true}, config: `{
  "architectures": ["Qwen2ForCausalLM"], "hidden_size": 3584, "intermediate_size": 18944, "max_window_layers": 28,
  "model_type": "qwen2", "num_attention_heads": 28, "num_hidden_layers": 28, "num_key_value_heads": 4, "sliding_window": 131072,
  "tie_word_embeddings": false, "torch_dtype": "bfloat16", "use_sliding_window": false, "vocab_size": 152064}`}

var qwenCoder = published{family: "qwen3moe", shape: shape{
	layers: 48, hidden: 2048, heads: 32, groups: 4, head: 128, vocab: 151936, norms: true, experts: 128, used: 8, expertFF: 768,
}, config: `{
  "architectures": ["Qwen3MoeForCausalLM"], "attention_bias": false, "decoder_sparse_step": 1, "head_dim": 128, "hidden_size": 2048,
  "intermediate_size": 5472, "max_position_embeddings": 262144, "max_window_layers": 28, "mlp_only_layers": [], "model_type": "qwen3_moe",
  "moe_intermediate_size": 768, "norm_topk_prob": true, "num_attention_heads": 32, "num_experts": 128, "num_experts_per_tok": 8,
  "num_hidden_layers": 48, "num_key_value_heads": 4, "sliding_window": null, "tie_word_embeddings": false, "torch_dtype": "bfloat16",
  "use_sliding_window": false, "vocab_size": 151936}`}

var llama70 = published{family: "llama", shape: shape{layers: 80, hidden: 8192, heads: 64, groups: 8, head: 128, ff: 28672, vocab: 128256}, config: `{
  "architectures": ["LlamaForCausalLM"], "attention_bias": false, "head_dim": 128, "hidden_size": 8192, "intermediate_size": 28672,
  "max_position_embeddings": 131072, "mlp_bias": false, "model_type": "llama", "num_attention_heads": 64, "num_hidden_layers": 80,
  "num_key_value_heads": 8, "rope_scaling": {"factor": 8.0, "rope_type": "llama3"}, "tie_word_embeddings": false,
  "torch_dtype": "bfloat16", "vocab_size": 128256}`}

var qwen35moe = published{family: "qwen35moe", shape: shape{
	layers: 40, hidden: 2048, heads: 16, groups: 2, head: 256, vocab: 248320, norms: true, gated: true, experts: 256, used: 8, expertFF: 512,
	sharedFF: 512, interval: 4, stateHeads: 32, stateKeys: 16, stateHead: 128,
}, config: `{
  "architectures": ["Qwen3_5MoeForConditionalGeneration"], "image_token_id": 248056, "model_type": "qwen3_5_moe", "text_config": {
    "attn_output_gate": true, "dtype": "bfloat16", "full_attention_interval": 4, "head_dim": 256, "hidden_size": 2048,
    "layer_types": [` + hybridTypes(40) + `],
    "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128, "linear_num_key_heads": 16, "linear_num_value_heads": 32,
    "linear_value_head_dim": 128, "mamba_ssm_dtype": "float32", "model_type": "qwen3_5_moe_text", "moe_intermediate_size": 512,
    "num_attention_heads": 16, "num_experts": 256, "num_experts_per_tok": 8, "num_hidden_layers": 40, "num_key_value_heads": 2,
    "shared_expert_intermediate_size": 512, "vocab_size": 248320},
  "tie_word_embeddings": false, "vision_config": {"depth": 27, "hidden_size": 1152, "num_heads": 16}}`}

var qwen27 = published{family: "qwen35", shape: shape{
	layers: 64, hidden: 5120, heads: 24, groups: 4, head: 256, ff: 17408, vocab: 248320, norms: true, gated: true,
	interval: 4, stateHeads: 48, stateKeys: 16, stateHead: 128,
}, config: `{
  "architectures": ["Qwen3_5ForConditionalGeneration"], "model_type": "qwen3_5", "text_config": {
    "attn_output_gate": true, "dtype": "bfloat16", "full_attention_interval": 4, "head_dim": 256, "hidden_size": 5120,
    "intermediate_size": 17408, "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128, "linear_num_key_heads": 16,
    "linear_num_value_heads": 48, "linear_value_head_dim": 128, "model_type": "qwen3_5_text", "num_attention_heads": 24,
    "num_hidden_layers": 64, "num_key_value_heads": 4, "vocab_size": 248320}, "vision_config": {"depth": 27, "hidden_size": 1152}}`}

// hybridTypes lists layers of which every fourth has attention.
func hybridTypes(n int) string {
	text := ""
	for i := range n {
		kind := "linear_attention"
		if i%4 == 3 {
			kind = "full_attention"
		}
		text += fmt.Sprintf("%q,", kind)
	}
	return text[:len(text)-1]
}

func gptOSS(layers, experts uint64) published {
	types := ""
	for i := range layers {
		types += fmt.Sprintf("%q,", []string{"sliding_attention", "full_attention"}[i%2])
	}
	return published{family: "gpt-oss", shape: shape{
		layers: layers, hidden: 2880, heads: 64, groups: 8, head: 64, vocab: 201088, bias: true, experts: experts, used: 4, expertFF: 2880,
	}, config: fmt.Sprintf(`{
  "architectures": ["GptOssForCausalLM"], "attention_bias": true, "experts_per_token": 4, "head_dim": 64, "hidden_size": 2880,
  "initial_context_length": 4096, "intermediate_size": 2880, "layer_types": [%s], "max_position_embeddings": 131072, "model_type": "gpt_oss",
  "num_attention_heads": 64, "num_experts_per_tok": 4, "num_hidden_layers": %d, "num_key_value_heads": 8, "num_local_experts": %d,
  "quantization_config": {"modules_to_not_convert": ["model.layers.*.self_attn", "model.embed_tokens", "lm_head"], "quant_method": "mxfp4"},
  "sliding_window": 128, "tie_word_embeddings": false, "vocab_size": 201088}`, types[:len(types)-1], layers, experts)}
}

// full tells whether a layer has attention.
func (p published) full(i uint64) bool { return p.interval == 0 || (i+1)%p.interval == 0 }

// tensors are those of the model in safetensors, all in one type.
func (p published) tensors(kind string) []madeTensor {
	var all []madeTensor
	add := func(name string, dims ...uint64) { all = append(all, madeTensor{name + ".weight", kind, dims}) }
	add("model.embed_tokens", p.vocab, p.hidden)
	if !p.tied {
		add("lm_head", p.vocab, p.hidden)
	}
	for i := range p.layers {
		at := fmt.Sprintf("model.layers.%d.", i)
		if p.full(i) {
			q := p.heads * p.head
			if p.gated {
				q *= 2
			}
			add(at+"self_attn.q_proj", q, p.hidden)
			add(at+"self_attn.k_proj", p.groups*p.head, p.hidden)
			add(at+"self_attn.v_proj", p.groups*p.head, p.hidden)
			add(at+"self_attn.o_proj", p.hidden, p.heads*p.head)
			if p.bias {
				all = append(all, madeTensor{at + "self_attn.qkv.bias", kind, []uint64{q + 2*p.groups*p.head}})
			}
		} else {
			add(at+"linear_attn.in_proj_qkvz", 2*p.stateKeys*p.stateHead+2*p.stateHeads*p.stateHead, p.hidden)
			add(at+"linear_attn.in_proj_ba", 2*p.stateHeads, p.hidden)
			add(at+"linear_attn.conv1d", 2*p.stateKeys*p.stateHead+p.stateHeads*p.stateHead, 1, 4)
			add(at+"linear_attn.out_proj", p.hidden, p.stateHeads*p.stateHead)
		}
		if p.ff > 0 {
			for _, name := range []string{"gate", "up", "down"} {
				add(at+"mlp."+name+"_proj", p.ff, p.hidden)
			}
		}
		for e := range p.experts {
			for _, name := range []string{"gate", "up", "down"} {
				add(fmt.Sprintf("%smlp.experts.%d.%s_proj", at, e, name), p.expertFF, p.hidden)
			}
		}
		if p.experts > 0 {
			add(at+"mlp.gate", p.experts, p.hidden)
		}
		if p.sharedFF > 0 {
			add(at+"mlp.shared_expert", 3*p.sharedFF, p.hidden)
		}
		add(at+"input_layernorm", p.hidden)
		add(at+"post_attention_layernorm", p.hidden)
	}
	return all
}

// folder is the model as vLLM loads it, in that many files.
func (p published) folder(kind string, files int) map[string]hugeFile {
	all := shardsOf("", files, p.tensors(kind))
	moved := below("", all)
	moved["config.json"] = jsonFile(p.config)
	return moved
}

// mix chooses the type of a tensor in a GGUF file.
type mix func(p published, name string, layer uint64) string

// q4KM is llama.cpp's rule for Q4_K_M: more bits at both ends and in every third layer for the tensors that suffer most.
func q4KM(p published, name string, layer uint64) string {
	more := layer < p.layers/8 || layer >= 7*p.layers/8 || (layer-p.layers/8)%3 == 2
	switch name {
	case "output.weight":
		return "Q6_K"
	case "token_embd.weight":
		if p.tied {
			return "Q6_K"
		}
	case "attn_v.weight":
		if more {
			return "Q6_K"
		}
		if p.layers == 80 {
			return "Q5_K"
		}
	case "ffn_down.weight", "ffn_down_exps.weight":
		if more {
			return "Q6_K"
		}
	}
	return "Q4_K"
}

// mxfp4 is what gpt-oss is published in: experts in MXFP4, the rest in 8 bits.
func mxfp4(_ published, name string, _ uint64) string {
	switch name {
	case "ffn_gate_exps.weight", "ffn_up_exps.weight", "ffn_down_exps.weight":
		return "MXFP4"
	}
	return "Q8_0"
}

// gguf is the model as llama.cpp loads it.
func (p published) gguf(kind mix, fileType int) hugeFile {
	f := p.family + "."
	keys := []ggufKey{
		{"general.architecture", p.family}, {"general.file_type", fileType}, {f + "block_count", int(p.layers)}, {f + "context_length", 131072},
		{f + "embedding_length", int(p.hidden)}, {f + "attention.head_count", int(p.heads)}, {f + "attention.head_count_kv", int(p.groups)},
		{f + "attention.key_length", int(p.head)}, {f + "attention.value_length", int(p.head)},
		{"tokenizer.ggml.model", "gpt2"}, {"tokenizer.ggml.tokens", []string{"a", "b", "c"}},
	}
	if p.ff > 0 {
		keys = append(keys, ggufKey{f + "feed_forward_length", int(p.ff)})
	}
	if p.experts > 0 {
		keys = append(keys, ggufKey{f + "expert_count", int(p.experts)}, ggufKey{f + "expert_used_count", int(p.used)},
			ggufKey{f + "expert_feed_forward_length", int(p.expertFF)})
	}
	if p.interval > 0 {
		keys = append(keys, ggufKey{f + "full_attention_interval", int(p.interval)}, ggufKey{f + "ssm.conv_kernel", 4},
			ggufKey{f + "ssm.state_size", int(p.stateHead)}, ggufKey{f + "ssm.inner_size", int(p.stateHeads * p.stateHead)},
			ggufKey{f + "ssm.group_count", int(p.stateKeys)}, ggufKey{f + "ssm.time_step_rank", int(p.stateHeads)})
	}
	if p.family == "gpt-oss" {
		keys = append(keys, ggufKey{f + "attention.sliding_window", 128})
	}
	return ggufOf(keys, p.ggufTensors(kind)...)
}

func (p published) ggufTensors(kind mix) []madeTensor {
	all := []madeTensor{{"token_embd.weight", kind(p, "token_embd.weight", 0), []uint64{p.hidden, p.vocab}}, {"output_norm.weight", "F32", []uint64{p.hidden}}}
	if !p.tied {
		all = append(all, madeTensor{"output.weight", kind(p, "output.weight", 0), []uint64{p.hidden, p.vocab}})
	}
	for i := range p.layers {
		at := fmt.Sprintf("blk.%d.", i)
		add := func(name string, dims ...uint64) {
			all = append(all, madeTensor{at + name, kind(p, name, i), dims})
		}
		plain := func(name string, dims ...uint64) { all = append(all, madeTensor{at + name, "F32", dims}) }
		plain("attn_norm.weight", p.hidden)
		plain("ffn_norm.weight", p.hidden)
		if p.full(i) {
			add("attn_q.weight", p.hidden, p.heads*p.head)
			add("attn_k.weight", p.hidden, p.groups*p.head)
			add("attn_v.weight", p.hidden, p.groups*p.head)
			add("attn_output.weight", p.heads*p.head, p.hidden)
		} else {
			add("ssm_in.weight", p.hidden, 2*p.stateKeys*p.stateHead+2*p.stateHeads*p.stateHead)
			add("ssm_out.weight", p.stateHeads*p.stateHead, p.hidden)
		}
		if p.ff > 0 {
			add("ffn_gate.weight", p.hidden, p.ff)
			add("ffn_up.weight", p.hidden, p.ff)
			add("ffn_down.weight", p.ff, p.hidden)
		}
		if p.experts > 0 {
			plain("ffn_gate_inp.weight", p.hidden, p.experts)
			add("ffn_gate_exps.weight", p.hidden, p.expertFF, p.experts)
			add("ffn_up_exps.weight", p.hidden, p.expertFF, p.experts)
			add("ffn_down_exps.weight", p.expertFF, p.hidden, p.experts)
		}
	}
	return all
}
