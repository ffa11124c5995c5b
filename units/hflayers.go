package units

import "strings"

// Bounds of what a model may say of itself: some times what the largest have.
const (
	maxHeads  = 1 << 14
	maxSize   = 1 << 20 // of a vector
	maxWindow = 1 << 31
)

// The kinds of layer.
const (
	fullLayer   = "full"
	windowLayer = "window"
	stateLayer  = "state"
	bothLayer   = "both" // attention and a state side by side
	noLayer     = "none" // no memory of its own: a plain MLP, or a layer that shares another's cache
)

// layers is how the layers of the model keep what they have read.
func (c *hfConfig) layers() ([]layer, error) {
	count := int(c.number(maxLayers, "num_hidden_layers", "n_layer", "num_layers", "n_layers"))
	if c.err == nil && count == 0 {
		return nil, unclear("", "it names no num_hidden_layers, so the size of the KV cache is not known")
	}
	heads := c.number(maxHeads, "num_attention_heads", "n_head", "n_heads")
	kinds := c.kinds(count)
	if c.err != nil {
		return nil, c.err
	}
	window, state := c.window(), c.state() // a window of 0 is none: the layer sees the whole context
	full, short := c.attention(count, heads, fullLayer), c.attention(count, heads, windowLayer)
	list := make([]layer, count)
	for i, kind := range kinds {
		switch kind {
		case fullLayer:
			list[i] = full(i)
		case windowLayer:
			list[i] = short(i)
			list[i].window = window
		case stateLayer:
			list[i] = layer{state: state}
		case bothLayer:
			list[i] = full(i)
			list[i].state = state
		}
		if c.err == nil && list[i].key+list[i].value > maxElements {
			c.fault("layer %d would keep %d numbers for each token, which no model does", i, list[i].key+list[i].value)
		}
	}
	return list, c.err
}

// attention returns what a layer with attention keeps of each token. Models with layers of two kinds may give those
// without a window heads of another number and size.
func (c *hfConfig) attention(count int, heads uint64, kind string) func(int) layer {
	if rank := c.number(maxSize, "kv_lora_rank"); rank > 0 { // MLA: one latent vector for keys and values
		l := layer{key: rank + c.number(maxSize, "qk_rope_head_dim")}
		return func(int) layer { return l }
	}
	size := c.number(maxSize, "head_dim")
	if size == 0 && heads > 0 {
		size = c.number(maxSize, "hidden_size", "n_embd", "d_model") / heads
	}
	groups := c.numbers(maxHeads, "num_key_value_heads", "num_kv_heads", "n_head_kv")
	if kind == fullLayer {
		if n := c.number(maxSize, "global_head_dim"); n > 0 {
			size = n
		}
		if n := c.numbers(maxHeads, "num_global_key_value_heads"); len(n) > 0 {
			groups = n
		}
	}
	switch {
	case len(groups) == 0 && c.flag(false, "multi_query"):
		groups = []uint64{1}
	case len(groups) == 0:
		groups = []uint64{heads}
	case len(groups) > 1 && len(groups) != count:
		c.fault("num_key_value_heads has %d entries for %d layers", len(groups), count)
	}
	return func(i int) layer {
		if c.err == nil && (size == 0 || len(groups) == 1 && groups[0] == 0) {
			c.err = unclear("", "it does not name the number and the size of its heads, so the size of the KV cache is not known")
		}
		n := groups[min(i, len(groups)-1)]
		return layer{key: n * size, value: n * size}
	}
}

// kinds tells the kind of each layer: as a list in the file, by a rule in it, or by what the model's family does.
func (c *hfConfig) kinds(count int) []string {
	kinds := c.listed(count)
	if kinds == nil {
		kinds = make([]string, count)
		rule := c.rule()
		for i := range kinds {
			kinds[i] = rule(uint64(i))
		}
	}
	if c.err == nil && len(kinds) != count {
		c.fault("it lists the kinds of %d layers, and there are %d", len(kinds), count)
	}
	shared := int(c.number(maxLayers, "num_kv_shared_layers"))
	for i := max(len(kinds)-shared, 0); i < len(kinds) && c.err == nil; i++ {
		kinds[i] = noLayer
	}
	return kinds
}

// kindNames are the words for the kinds of layer in layer_types and layers_block_type. Any other counts as attention to
// the whole context, which takes the most.
var kindNames = map[string]string{
	"sliding_attention": windowLayer, "chunked_attention": windowLayer, "local_attention": windowLayer,
	"linear_attention": stateLayer, "mamba": stateLayer, "mamba2": stateLayer, "recurrent": stateLayer, "conv": stateLayer,
	"hybrid": bothLayer, "mlp": noLayer, "moe": noLayer,
}

// listed reads the lists of kinds that files may have; nil when there is none.
func (c *hfConfig) listed(count int) []string {
	if pattern := c.text("hybrid_override_pattern"); pattern != "" { // Nemotron-H: a letter for each layer
		if len(pattern) > maxLayers {
			c.fault("hybrid_override_pattern has %d letters, and no model has so many layers", len(pattern))
			return nil
		}
		letters := map[rune]string{'M': stateLayer, '*': fullLayer}
		var kinds []string
		for _, letter := range pattern {
			kind, ok := letters[letter]
			if !ok {
				kind = noLayer
			}
			kinds = append(kinds, kind)
		}
		return kinds
	}
	words := c.words("layer_types", "layers_block_type")
	if len(words) == 0 {
		return nil
	}
	kinds := make([]string, len(words))
	for i, word := range words {
		kinds[i] = fullLayer
		if kind, ok := kindNames[word]; ok {
			kinds[i] = kind
		}
	}
	return kinds
}

// rule tells the kind of a layer by its number, from the fields by which files describe it.
func (c *hfConfig) rule() func(uint64) string {
	choose := func(is func(uint64) bool, kind, other string) func(uint64) string {
		return func(i uint64) string {
			if is(i) {
				return kind
			}
			return other
		}
	}
	if n := c.number(maxLayers, "full_attention_interval"); n > 0 { // Qwen3-Next and what came after it
		return choose(func(i uint64) bool { return (i+1)%n == 0 }, fullLayer, stateLayer)
	}
	if n := c.number(maxLayers, "attn_layer_period"); n > 0 { // Jamba
		offset := c.number(maxLayers, "attn_layer_offset")
		return choose(func(i uint64) bool { return i%n == offset }, fullLayer, stateLayer)
	}
	if c.window() == 0 {
		return func(uint64) string { return fullLayer }
	}
	pattern := c.number(maxLayers, "sliding_window_pattern", "_sliding_window_pattern")
	switch family := c.text("model_type"); {
	case pattern == 0 && strings.HasPrefix(family, "gemma2"):
		pattern = 2
	case pattern == 0 && strings.HasPrefix(family, "gemma3"):
		pattern = 6
	}
	if pattern > 0 {
		return choose(func(i uint64) bool { return (i+1)%pattern == 0 }, fullLayer, windowLayer)
	}
	first := c.number(maxLayers, "max_window_layers") // Qwen2: those before it see the whole context
	return choose(func(i uint64) bool { return i < first }, fullLayer, windowLayer)
}

// window is how far layers with a sliding window look back; 0: there are none. Qwen2 names a window that it does not use.
func (c *hfConfig) window() uint64 {
	if !c.flag(true, "use_sliding_window") {
		return 0
	}
	return c.number(maxWindow, "sliding_window", "attention_chunk_size", "sliding_window_size")
}

// state is the bytes that a layer with linear attention keeps of a request: a matrix for each head, in 32 bits as the
// engines keep it, and the inputs of a short convolution.
func (c *hfConfig) state() uint64 {
	const wide = 4
	if values := c.number(maxHeads, "linear_num_value_heads"); values > 0 { // gated delta net
		keys := c.number(maxHeads, "linear_num_key_heads")
		keySize, valueSize := c.number(maxSize, "linear_key_head_dim"), c.number(maxSize, "linear_value_head_dim")
		conv := c.number(maxSize, "linear_conv_kernel_dim")
		return c.bounded(wide, values*keySize, valueSize) + c.bounded(wide, 2*keys*keySize+values*valueSize, max(conv, 1)-1)
	}
	if n := c.number(maxSize, "mamba_d_state", "ssm_state_size", "state_size"); n > 0 { // Mamba
		inner := c.number(maxHeads, "mamba_n_heads", "mamba_num_heads") * c.number(maxSize, "mamba_d_head", "mamba_head_dim")
		if inner == 0 {
			inner = max(c.number(maxHeads, "mamba_expand", "expand"), 1) * c.number(maxSize, "hidden_size", "d_model")
		}
		groups := c.number(maxHeads, "mamba_n_groups", "n_groups")
		conv := c.number(maxSize, "mamba_d_conv", "conv_kernel")
		return c.bounded(wide, inner, n) + c.bounded(wide, inner+2*groups*n, max(conv, 1)-1)
	}
	conv := c.number(maxSize, "conv_L_cache") // LFM2
	return c.bounded(wide, c.number(maxSize, "hidden_size"), max(conv, 1)-1)
}

// bounded multiplies what makes up a state. A GiB for one layer is more than any model has.
func (c *hfConfig) bounded(wide, a, b uint64) uint64 {
	product := times(times(Bytes(wide), a), b)
	if product > GiB {
		c.fault("a layer would keep a state of %s for each request, which no model does", product)
		return 0
	}
	return uint64(product)
}
