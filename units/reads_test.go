package units

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// readsOf plans base with a coder for vLLM and a utility for llama.cpp, and returns what the unit reads.
func readsOf(t testing.TB, h Host, name string, edits ...string) Reads {
	t.Helper()
	return chargeOf(t, h, name, edits...).Reads
}

func TestATokenReadsTheWeightsOnce(t *testing.T) {
	plan, _ := MakePlan(parse(t, string(shipped(t))), strixHalo())
	for _, row := range []struct {
		rule, unit    string
		gigabytes     float64
		experts, used int
	}{
		{"all but the embeddings, of which it reads a row", "tier-orch.service", 27.98, 0, 0},
		{"of a mixture what it is given to", "tier-coder.service", 6.1, 128, 8},
		{"a GGUF file's in the bits that they have", "tier-reviewer.service", 41.9, 0, 0},
		{"embeddings that are the output, too, are read whole", "tier-utility.service", 1.92, 0, 0},
	} {
		t.Run(row.rule, func(t *testing.T) {
			u, _ := plan.Unit(row.unit)
			r := u.Reads
			if got := float64(r.Weights) / 1e9; !r.Known() || got < row.gigabytes*0.98 || got > row.gigabytes*1.02 {
				t.Errorf("%.2f GB, want %.2f, of weights of %.2f", got, row.gigabytes, float64(u.Charge.Weights)/1e9)
			}
			if r.Experts != row.experts || r.Used != row.used {
				t.Errorf("%d of %d experts", r.Used, r.Experts)
			}
		})
	}
}

func TestBothFormatsOfAModelReadAlike(t *testing.T) {
	for name, p := range map[string]published{"dense": qwen7, "mixture": qwenCoder} {
		t.Run(name, func(t *testing.T) {
			full := func(published, string, uint64) string { return "BF16" }
			h := sizedWith(p.folder("BF16", 3), p.gguf(full, 0))
			folder := readsOf(t, h, "tier-coder.service", coderMemory, "")
			file := readsOf(t, h, "tier-utility.service", utilityMemory, "")
			if ratio := float64(folder.Weights) / float64(file.Weights); ratio < 0.99 || ratio > 1.01 {
				t.Errorf("%s as a folder, %s as a file", folder.Weights, file.Weights)
			}
			if folder.Experts != file.Experts || folder.Used != file.Used {
				t.Errorf("%d of %d experts in the folder, %d of %d in the file", folder.Used, folder.Experts, file.Used, file.Experts)
			}
			if folder.KV(1000) != file.KV(1000) {
				t.Errorf("behind 1000 tokens %s and %s", folder.KV(1000), file.KV(1000))
			}
		})
	}
}

func TestWhatNoFileTellsIsNotKnown(t *testing.T) {
	with := func(config string) Host {
		p := qwenCoder
		p.config = config
		return sizedWith(p.folder("BF16", 1), qwen3B.gguf(q4KM, 15))
	}
	changed := func(old, text string) Host { return with(strings.Replace(qwenCoder.config, old, text, 1)) }
	const coder, utility = "tier-coder.service", "tier-utility.service"
	extra := func(words string) []string {
		return []string{coderMemory, fmt.Sprintf("%s\nextra_args = [%s]", coderMemory, words)}
	}
	for _, row := range []struct {
		rule  string
		host  Host
		unit  string
		edits []string
		known bool
	}{
		{"a mixture that says how many experts a token goes to", sized(), coder, nil, true},
		{"one that does not", changed(`"num_experts_per_tok": 8,`, ""), coder, nil, false},
		{"one that says it for each layer", changed(`"num_experts_per_tok": 8`, `"moe_topk": [8, 9]`), coder, nil, true},
		{"one whose number is none", changed(`"num_experts_per_tok": 8`, `"num_experts_per_tok": "eight"`), coder, nil, false},
		{"more than there are", changed(`"num_experts_per_tok": 8`, `"num_experts_per_tok": 129`), coder, nil, false},
		{"a draft makes several tokens in one pass", sized(), coder, extra(`"--speculative-config", "{}"`), false},
		{"weights that are quantised at the load", sized(), coder, extra(`"--quantization=fp8"`), false},
		{"a GGUF file", sized(), utility, nil, true},
		{"a GGUF file with speculation", sized(), utility, []string{utilityMemory, utilityMemory + "\nextra_args = [\"--spec-type\", \"ngram-simple\"]"}, false},
	} {
		t.Run(row.rule, func(t *testing.T) {
			r := readsOf(t, row.host, row.unit, row.edits...)
			if r.Known() != row.known {
				t.Errorf("%+v", r)
			}
			if !r.Known() && r.KV(1000) != 0 {
				t.Errorf("it reads %s behind 1000 tokens", r.KV(1000))
			}
		})
	}
}

func TestPyTorchsOwnFilesNameNoTensors(t *testing.T) {
	folder := map[string]hugeFile{"config.json": jsonFile(qwen7.config), "pytorch_model.bin": {size: 1 << 30}}
	if r := readsOf(t, sizedWith(folder, qwen3B.gguf(q4KM, 15)), "tier-coder.service", coderMemory, ""); r.Known() {
		t.Errorf("%+v", r)
	}
}

func TestKindsOfTensors(t *testing.T) {
	for name, want := range map[string]kind{
		"model.layers.7.self_attn.q_proj.weight":                    wholeTensor,
		"model.layers.7.mlp.experts.12.up_proj.weight":              expertTensor,
		"model.layers.7.mlp.experts.gate_up_proj_blocks":            expertTensor,
		"model.layers.7.mlp.shared_expert.up_proj.weight":           wholeTensor,
		"model.layers.7.mlp.shared_experts.up_proj.weight":          wholeTensor,
		"model.layers.7.block_sparse_moe.experts.0.w1.weight":       expertTensor,
		"model.layers.7.mlp.gate.weight":                            wholeTensor,
		"model.layers.48.eh_proj.weight":                            unreadTensor,
		"model.layers.48.mlp.experts.0.up_proj.weight":              unreadTensor,
		"mtp.layers.0.mlp.up_proj.weight":                           unreadTensor,
		"model.embed_tokens.weight":                                 tableTensor,
		"model.language_model.embed_tokens.weight":                  tableTensor,
		"transformer.wte.weight":                                    tableTensor,
		"model.language_model.embed_tokens_per_layer.weight":        unreadTensor,
		"lm_head.weight":                                            headTensor,
		"language_model.lm_head.weight":                             headTensor,
		"output.weight":                                             headTensor,
		"transformer.h.0.attention.output.dense.weight":             wholeTensor,
		"model.visual.blocks.0.attn.proj.weight":                    unreadTensor,
		"vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight": unreadTensor,
		"multi_modal_projector.linear_1.weight":                     unreadTensor,
		"model.norm.weight":                                         wholeTensor,
		"model.layers.99999999999999999999.self_attn.q_proj.weight": wholeTensor,
		"":       wholeTensor,
		"layers": wholeTensor,
	} {
		if got := kindOfTensor(name, 48); got != want {
			t.Errorf("%q is of kind %d, want %d", name, got, want)
		}
	}
}

func TestPartsOfAGGUFFileThatATokenDoesNotRead(t *testing.T) {
	big := []uint64{256, 1000}
	size := Bytes(256 * 1000 * 2)
	base := []madeTensor{{"token_embd.weight", "F16", big}, {"blk.0.ffn_up.weight", "F16", big}}
	for _, row := range []struct {
		rule   string
		keys   []ggufKey
		more   []madeTensor
		unread Bytes
		expert Bytes
	}{
		{"embeddings that are the output", nil, nil, 0, 0},
		{"embeddings beside an output", nil, []madeTensor{{"output.weight", "F16", big}}, size, 0},
		{"embeddings of each layer", nil, []madeTensor{{"per_layer_token_embd.weight", "F16", big}}, size, 0},
		{"experts", nil, []madeTensor{{"blk.0.ffn_up_exps.weight", "F16", big}, {"blk.0.ffn_up_shexp.weight", "F16", big}}, 0, size},
		{"a block that predicts further tokens", []ggufKey{{"llama.block_count", 2}, {"llama.nextn_predict_layers", 1}}, []madeTensor{{"blk.1.ffn_up.weight", "F16", big}}, size, 0},
	} {
		t.Run(row.rule, func(t *testing.T) {
			keys := small()
			if row.keys != nil {
				keys = append(row.keys, keys[0], keys[2], keys[3], keys[4])
			}
			m, err := ggufModelOf(ggufOf(keys, append(base, row.more...)...))
			if err != nil {
				t.Fatal(err)
			}
			p := ggufPasses(m)
			if p.unread.total() != row.unread || p.experts.total() != row.expert || p.unclear {
				t.Errorf("%+v", p)
			}
		})
	}
}

// TestReadsAreBounded: no token reads more weights than there are, and none reads less behind more tokens.
func TestReadsAreBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		layers := randomLayers(t, 8)
		r := Reads{Weights: 1, layers: layers, key: element{2, 1}, value: element{34, 32}}
		a, b := rapid.IntRange(0, 1<<20).Draw(t, "depth"), rapid.IntRange(0, 1<<20).Draw(t, "more")
		if r.KV(a) > r.KV(a+b) {
			t.Errorf("%s behind %d tokens, %s behind %d", r.KV(a), a, r.KV(a+b), a+b)
		}
		if r.KV(-a) != r.KV(0) {
			t.Errorf("behind %d tokens %s", -a, r.KV(-a))
		}
	})
	for _, p := range []published{qwen14, qwen3B, qwen7, qwenCoder, qwen35moe, gptOSS(24, 32)} {
		h := sizedWith(p.folder("BF16", 1), qwen3B.gguf(q4KM, 15))
		u := chargeOf(t, h, "tier-coder.service", coderMemory, `allow_unsupported = true`)
		if !u.Reads.Known() || u.Reads.Weights > u.Charge.Weights {
			t.Errorf("%s reads %s of %s", p.family, u.Reads.Weights, u.Charge.Weights)
		}
	}
}
