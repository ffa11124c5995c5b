package units

import (
	"slices"
	"strconv"
	"strings"
)

// Reads is what an engine has to read from memory for each token that it makes, which bounds how fast it can be. The zero
// value is a model of which that is not known.
type Reads struct {
	Weights Bytes // for one token: of a mixture, the experts that it is given to and what all tokens share
	Experts int   // of a mixture of experts: how many there are in a layer; 0: it is none
	Used    int   // of them, how many a token is given to

	layers     []layer
	key, value element
}

// Known tells whether anything is known.
func (r Reads) Known() bool { return r.Weights > 0 }

// KV is what a token reads of the so many tokens before it: their keys and values, and the states of linear layers.
func (r Reads) KV(depth int) Bytes {
	if !r.Known() {
		return 0
	}
	return cache(r.layers, cacheUse{key: r.key, value: r.value, context: uint64(max(depth, 0)), caches: 1, states: 1})
}

// passes tells which of a model's tensors a token does not read whole. It is a part of modelFacts.
type passes struct {
	unread  stored // tables of which it reads a row, and parts that do not make text
	experts stored // all of them, of all layers
	count   uint64 // experts of a layer
	used    uint64 // experts that a token is given to; 0 where that is not known
	unclear bool   // the tensors have no names, or do not tell which are experts
}

// reads works out what a token reads. With speculation a token is not a pass through the weights, and weights that are
// quantised while they are loaded have a size that no file tells: then it is not known.
func (s *spec) reads(f *modelFacts) Reads {
	args := s.sizeArgs()
	r := Reads{layers: f.layers}
	switch s.engine.Kind {
	case KindVLLM:
		if args.has("--speculative-config", "--hf-overrides") || args.has("--quantization", "-q") && f.format.Quant == "" {
			return Reads{}
		}
		number := vllmElement(args, s.unit.Format.Served)
		r.key, r.value = number, number
	case KindLlama:
		_, draft := args.last("LLAMA_ARG_SPEC_DRAFT_MODEL", "-md", "--model-draft", "--spec-draft-model", "--spec-type")
		use, err := s.runUse(args)
		if draft || err != nil {
			return Reads{}
		}
		r.key, r.value = cacheTypes[use.key].size, cacheTypes[use.value].size
	}
	served := s.unit.Format.Served
	all, unread, experts := f.served(f.stored, served), f.served(f.passes.unread, served), f.served(f.passes.experts, served)
	p := f.passes
	if p.unclear || f.format.MoE && (experts == 0 || p.used == 0 || p.used > p.count) {
		return Reads{}
	}
	r.Weights = all - unread
	if experts > 0 && p.count > 0 {
		r.Weights = r.Weights - experts + times(experts, p.used)/Bytes(p.count)
		r.Experts, r.Used = int(p.count), int(p.used)
	}
	return r
}

// ggufPasses tells it by the names that llama.cpp gives to tensors.
func ggufPasses(m *ggufModel) passes {
	p := passes{unread: stored{}, experts: stored{}, count: uint64(m.about.ExpertCount), used: uint64(m.about.ExpertUsedCount)}
	rows := []string{"token_types", "position_embd", "per_layer_token_embd"}
	if m.shared == 0 { // else the embeddings are the output, too, which is read whole
		rows = append(rows, "token_embd")
	}
	blocks := m.about.BlockCount - min(m.about.BlockCount, uint64(m.about.NextNPredictLayers))
	for _, t := range m.file.TensorInfos {
		size, err := ggufBytes(t)
		name := strings.Split(t.Name, ".")
		switch {
		case err != nil:
			p.unclear = true
		case slices.Contains(rows, name[0]), numbered(name, "blk") >= int64(blocks):
			p.unread[""] += size
		case strings.Contains(t.Name, "_exps."):
			p.experts[""] += size
		}
	}
	return p
}

// numbered is the number behind a word in a tensor's name: 7 behind "blk" in blk.7.attn_q.weight; -1: there is none.
func numbered(name []string, word string) int64 {
	i := slices.Index(name, word)
	if i < 0 || i+1 == len(name) {
		return -1
	}
	n, err := strconv.ParseUint(name[i+1], 10, 31)
	if err != nil {
		return -1
	}
	return int64(n)
}

// Parts of the names that transformers gives to tensors.
var (
	tableNames = []string{"embed_tokens", "word_embeddings", "tok_embeddings", "wte"}
	rowNames   = []string{"embed_tokens_per_layer", "wpe", "position_embeddings"}
	headNames  = []string{"lm_head", "output", "embed_out"}
	otherNames = []string{
		"visual", "vision_tower", "vision_model", "vision_encoder", "vision_embed_tokens", "audio_tower", "multi_modal_projector", "mm_projector",
		"embed_vision", "embed_audio", "mtp",
	}
)

// kind is what a tensor of a model with so many layers is for.
type kind int

const (
	wholeTensor  kind = iota // read for each token
	tableTensor              // embeddings, which may be the output, too
	headTensor               // the output
	unreadTensor             // a row is read, or nothing
	expertTensor
)

// kindOfTensor tells it by the name. Layers behind the last predict further tokens (MTP), which engines leave out unless they
// are told to.
func kindOfTensor(name string, layers int) kind {
	words := strings.Split(name, ".")
	has := func(names []string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return slices.Contains(names, w) })
	}
	switch {
	case has(otherNames), has(rowNames), numbered(words, "layers") >= int64(layers):
		return unreadTensor
	case slices.Contains(words, "experts"):
		return expertTensor
	case has(tableNames):
		return tableTensor
	case len(words) <= 2 && has(headNames), has(headNames[:1]):
		return headTensor
	}
	return wholeTensor
}

// mixture reads how many experts a layer has and how many a token is given to. What is odd there is left out: it decides
// about no size.
func (c *hfConfig) mixture(p *passes) {
	before := c.err
	p.count = c.number(maxSize, expertCounts...)
	// Hunyuan has a number for each layer: the least of them is a bound still.
	if used := c.numbers(maxSize, "num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k", "moe_top_k", "top_k_experts", "num_selected_experts"); len(used) > 0 {
		p.used = slices.Min(used)
	}
	if c.err != nil {
		p.count, p.used, c.err = 0, 0, before
	}
}
