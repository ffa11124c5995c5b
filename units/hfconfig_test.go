package units

import (
	"reflect"
	"strings"
	"testing"
)

// layersOf reads the layers of a config.json.
func layersOf(text string) ([]layer, error) {
	c, err := parseConfig([]byte(text))
	if err != nil {
		return nil, err
	}
	return c.layers()
}

func TestAConfigThatIsNotRightIsOneClearError(t *testing.T) {
	const rest = `"num_attention_heads": 8, "hidden_size": 512`
	deep := strings.Repeat(`{"text_config":`, 6) + "{}" + strings.Repeat("}", 6)
	for _, row := range []struct{ rule, text, want string }{
		{"an empty file", "", "it ends in the middle; fetch it again"},
		{"no JSON", "not yet", "it is not understood: invalid character 'o' in literal null (expecting 'u')"},
		{"zero bytes", "\x00\x00", `it is not understood: invalid character '\\x00' looking for beginning of value`},
		{"a list", "[]", "it holds a JSON array where none can be"},
		{"null", "null", "it is not understood: an object is missing"},
		{"a text for a number", `{"num_hidden_layers": "48", ` + rest + `}`, `num_hidden_layers is "48", a text, not a number`},
		{"a negative number", `{"num_hidden_layers": -4, ` + rest + `}`, "num_hidden_layers is -4, which no model has"},
		{"an absurd number", `{"num_hidden_layers": 1e18, ` + rest + `}`, "num_hidden_layers is 1e18, which no model has"},
		{"a fraction", `{"num_hidden_layers": 4.5, ` + rest + `}`, "num_hidden_layers is 4.5, not a whole number"},
		{"an object for a number", `{"num_hidden_layers": {"a": 1}, ` + rest + `}`, "num_hidden_layers is an object, not a number"},
		{"true for a number", `{"num_hidden_layers": true, ` + rest + `}`, "num_hidden_layers is true, not a number"},
		{"no number of layers", `{"model_type": "new", ` + rest + `}`, "it names no num_hidden_layers, so the size of the KV cache is not known"},
		{"no heads", `{"num_hidden_layers": 4}`, "it does not name the number and the size of its heads, so the size of the KV cache is not known"},
		{"heads and no size", `{"num_hidden_layers": 4, "num_attention_heads": 8}`, "it does not name the number and the size of its heads, so the size of the KV cache is not known"},
		{"a list of groups that is too short", `{"num_hidden_layers": 4, "num_key_value_heads": [1, 2], ` + rest + `}`, "num_key_value_heads has 2 entries for 4 layers"},
		{"a list of groups with a text in it", `{"num_hidden_layers": 2, "num_key_value_heads": [1, "2"], ` + rest + `}`, `num_key_value_heads is "2", a text, not a number`},
		{"a list with thousands of groups", `{"num_hidden_layers": 2, "num_key_value_heads": [` + strings.Repeat("1,", maxLayers) + `1], ` + rest + `}`, "num_key_value_heads has 4097 entries, and no model has so many layers"},
		{"a list of kinds that is too long", `{"num_hidden_layers": 1, "layer_types": ["full_attention", "full_attention"], ` + rest + `}`, "it lists the kinds of 2 layers, and there are 1"},
		{"a list of kinds that is a text", `{"num_hidden_layers": 1, "layer_types": "full_attention", ` + rest + `}`, "layer_types is a text, not a list"},
		{"a kind that is a number", `{"num_hidden_layers": 1, "layer_types": [7], ` + rest + `}`, "layer_types holds 7, not a text"},
		{"a flag that is a number", `{"num_hidden_layers": 1, "use_sliding_window": 0, ` + rest + `}`, "use_sliding_window is 0, not true or false"},
		{"a vector without end", `{"num_hidden_layers": 1, "num_attention_heads": 16384, "head_dim": 1048576}`, "layer 0 would keep 34359738368 numbers for each token, which no model does"},
		{"a state without end", `{"num_hidden_layers": 1, "num_attention_heads": 1, "head_dim": 1, "linear_num_value_heads": 16384, "linear_key_head_dim": 65536, "linear_value_head_dim": 65536}`,
			"a layer would keep a state of 256TiB for each request, which no model does"},
		{"nesting without end", deep, "text_config is nested more than 4 deep"},
		{"a nested part that is no object is not one", `{"text_config": "see elsewhere"}`, "it names no num_hidden_layers, so the size of the KV cache is not known"},
	} {
		t.Run(row.rule, func(t *testing.T) {
			_, err := layersOf(row.text)
			if err == nil || err.Error() != "the model: "+row.want {
				t.Errorf("got %v\nwant %s", err, row.want)
			}
		})
	}
}

func TestTheSentenceNamesFileAndModel(t *testing.T) {
	h := tree{newDisk(nil, map[string]hugeFile{
		"m/config.json": jsonFile(`{"num_hidden_layers": "48"}`), "big/config.json": {[]byte("{"), 100 << 20},
	})}
	for at, want := range map[string]string{
		"/m":    `config.json of org/name: num_hidden_layers is "48", a text, not a number`,
		"/big":  "config.json of org/name: it has 100MiB, and more than 4MiB is not read: this is no model's",
		"/gone": "config.json of org/name: it is not there; fetch the model again",
	} {
		_, err := h.folderFacts(at, nil)
		if fault, ok := err.(*modelError); !ok || fault.of("org/name") != want || !fault.broken {
			t.Errorf("%s: %v", at, err)
		}
	}
}

func TestLayersAreReadByWhatTheModelIs(t *testing.T) {
	attention := func(n uint64) layer { return layer{key: n, value: n} }
	window := func(n, w uint64) layer { return layer{key: n, value: n, window: w} }
	const base = `"num_attention_heads": 8, "hidden_size": 512, `
	for _, row := range []struct {
		rule, text string
		want       []layer
	}{
		{"heads of their own", `{"num_hidden_layers": 2, "num_attention_heads": 8, "hidden_size": 512}`, []layer{attention(512), attention(512)}},
		{"groups of heads", `{` + base + `"num_hidden_layers": 1, "num_key_value_heads": 2}`, []layer{attention(128)}},
		{"a size of its own", `{` + base + `"num_hidden_layers": 1, "num_key_value_heads": 2, "head_dim": 256}`, []layer{attention(512)}},
		{"128.0 is a number", `{` + base + `"num_hidden_layers": 1.0, "num_key_value_heads": 2, "head_dim": 256.0}`, []layer{attention(512)}},
		{"null is nothing", `{` + base + `"num_hidden_layers": 1, "num_key_value_heads": null, "head_dim": null, "sliding_window": null}`, []layer{attention(512)}},
		{"groups by layer", `{` + base + `"num_hidden_layers": 3, "num_key_value_heads": [1, 4, null]}`, []layer{attention(64), attention(256), {}}},
		{"one group for all heads", `{"n_layer": 1, "n_head": 8, "n_embd": 512, "multi_query": true}`, []layer{attention(64)}},
		{"one latent vector (MLA), not two", `{"num_hidden_layers": 1, "num_attention_heads": 128, "num_key_value_heads": 128, "hidden_size": 7168, "kv_lora_rank": 512, "qk_rope_head_dim": 64}`,
			[]layer{{key: 576}}},
		{"a window that is not used", `{` + base + `"num_hidden_layers": 1, "sliding_window": 4096, "use_sliding_window": false}`, []layer{attention(512)}},
		{"a window in every layer", `{` + base + `"num_hidden_layers": 2, "sliding_window": 4096}`, []layer{window(512, 4096), window(512, 4096)}},
		{"the first layers see everything", `{` + base + `"num_hidden_layers": 2, "sliding_window": 4096, "use_sliding_window": true, "max_window_layers": 1}`,
			[]layer{attention(512), window(512, 4096)}},
		{"layers take turns", `{` + base + `"num_hidden_layers": 2, "sliding_window": 128, "layer_types": ["sliding_attention", "full_attention"]}`,
			[]layer{window(512, 128), attention(512)}},
		{"every third by a pattern", `{` + base + `"num_hidden_layers": 3, "sliding_window": 128, "sliding_window_pattern": 3}`,
			[]layer{window(512, 128), window(512, 128), attention(512)}},
		{"every second by the family", `{` + base + `"num_hidden_layers": 2, "sliding_window": 128, "model_type": "gemma2"}`, []layer{window(512, 128), attention(512)}},
		{"chunks are windows", `{` + base + `"num_hidden_layers": 1, "attention_chunk_size": 64, "layer_types": ["chunked_attention"]}`, []layer{window(512, 64)}},
		{"a listed window without a size is none", `{` + base + `"num_hidden_layers": 1, "layer_types": ["sliding_attention"]}`, []layer{attention(512)}},
		{"a kind that is not known takes the most", `{` + base + `"num_hidden_layers": 1, "layer_types": ["quantum_attention"]}`, []layer{attention(512)}},
		{"wider heads where all is seen", `{"num_hidden_layers": 2, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "global_head_dim": 512, "num_global_key_value_heads": 2,
			"sliding_window": 128, "layer_types": ["sliding_attention", "full_attention"]}`, []layer{window(1024, 128), attention(1024)}},
		{"layers that share another's cache", `{` + base + `"num_hidden_layers": 3, "num_kv_shared_layers": 2}`, []layer{attention(512), {}, {}}},
		{"linear layers keep a state", `{` + base + `"num_hidden_layers": 2, "full_attention_interval": 2, "linear_num_value_heads": 4, "linear_num_key_heads": 2,
			"linear_key_head_dim": 16, "linear_value_head_dim": 16, "linear_conv_kernel_dim": 4}`,
			[]layer{{state: 4 * (4*16*16 + 3*(2*2*16+4*16))}, attention(512)}},
		{"Mamba beside attention", `{` + base + `"num_hidden_layers": 3, "hybrid_override_pattern": "M*-", "ssm_state_size": 128, "mamba_num_heads": 4, "mamba_head_dim": 16, "n_groups": 1, "conv_kernel": 4}`,
			[]layer{{state: 4 * (64*128 + 3*(64+2*128))}, attention(512), {}}},
		{"both in one layer", `{` + base + `"num_hidden_layers": 1, "layers_block_type": ["hybrid"], "mamba_d_state": 16, "mamba_expand": 2}`,
			[]layer{{key: 512, value: 512, state: 4 * 1024 * 16}}},
		{"an attention layer every so many", `{` + base + `"num_hidden_layers": 4, "attn_layer_period": 4, "attn_layer_offset": 2, "mamba_d_state": 16}`,
			[]layer{{state: 4 * 512 * 16}, {state: 4 * 512 * 16}, attention(512), {state: 4 * 512 * 16}}},
		{"short convolutions", `{` + base + `"num_hidden_layers": 2, "layer_types": ["conv", "full_attention"], "conv_L_cache": 3}`, []layer{{state: 4 * 512 * 2}, attention(512)}},
		{"a model that only keeps states", `{"num_hidden_layers": 1, "layer_types": ["mamba"], "state_size": 16, "hidden_size": 512}`, []layer{{state: 4 * 512 * 16}}},
		{"the language part of a model that sees", `{"hidden_size": 1152, "num_hidden_layers": 27, "text_config": {` + base + `"num_hidden_layers": 1}}`, []layer{attention(512)}},
		{"what the language part leaves open stands above it", `{"num_hidden_layers": 1, "sliding_window": 64, "text_config": {"num_attention_heads": 8, "hidden_size": 512, "sliding_window": null}}`,
			[]layer{attention(512)}},
		{"parts of parts", `{"thinker_config": {"text_config": {` + base + `"num_hidden_layers": 1}}}`, []layer{attention(512)}},
	} {
		t.Run(row.rule, func(t *testing.T) {
			got, err := layersOf(row.text)
			if err != nil || !reflect.DeepEqual(got, row.want) {
				t.Errorf("got %v, %v\nwant %v", got, err, row.want)
			}
		})
	}
}

func FuzzConfigJSON(f *testing.F) {
	for _, model := range []published{qwen14, qwenCoder, qwen35moe, gptOSS(4, 8)} {
		f.Add([]byte(model.config))
	}
	f.Add([]byte(`{"num_hidden_layers": 3, "hybrid_override_pattern": "M*-", "ssm_state_size": 128, "mamba_num_heads": 4, "mamba_head_dim": 16}`))
	f.Add([]byte(strings.Repeat(`{"text_config":`, 9)))
	f.Fuzz(func(t *testing.T, text []byte) {
		var layers []layer
		var err error
		memory := allocated(func() {
			c, fault := parseConfig(text)
			if err = fault; err == nil {
				c.format(nil)
				layers, err = c.layers()
			}
		})
		if limit := uint64(2<<20 + 256*len(text)); memory > limit {
			t.Errorf("%d bytes of memory for a file of %d", memory, len(text))
		}
		if err != nil && strings.ContainsAny(err.Error(), "\n\x00") {
			t.Errorf("an error of several lines: %q", err)
		}
		if len(layers) > maxLayers {
			t.Errorf("%d layers", len(layers))
		}
		for _, l := range layers {
			if l.key+l.value > maxElements && err == nil {
				t.Errorf("a layer of %d", l.key+l.value)
			}
		}
		if use := (cacheUse{key: halves, value: halves, context: 1 << 20, caches: 1024, states: 1024}); cache(layers, use) > maxBytes {
			t.Error("more than a PiB")
		}
	})
}
