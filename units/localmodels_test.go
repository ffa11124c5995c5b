package units

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestLocalModels(t *testing.T) {
	config, faults := ParseConfig("tiers.toml", []byte(`
[host]
models = ["/models"]
[engine.llama]
command = ["/bin/llama-server"]
[engine.vllm]
command = ["/bin/vllm"]
[engine.remote]
[tier.a]
port = 8001
[tier.a.variant.folder]
engine = "vllm"
model = "org/whole"
context = "4K"
[tier.a.variant.far]
engine = "remote"
url = "https://api.example.com/v1"
model = "far/model"
context = "4K"
[tier.b]
port = 8002
[tier.b.variant.gguf]
engine = "llama"
model = "org/absent/q4.gguf"
context = "4K"
[tier.b.variant.again]
engine = "vllm"
model = "org/whole"
context = "4K"
[tier.b.variant.part]
engine = "vllm"
model = "org/part"
context = "4K"
[tier.b.variant.noconfig]
engine = "vllm"
model = "org/noconfig"
context = "4K"
`))
	if config == nil {
		t.Fatal(faults)
	}
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	header := "\x02\x00\x00\x00\x00\x00\x00\x00{}"
	index := `{"weight_map":{"x":"model-00001-of-00002.safetensors","y":"model-00002-of-00002.safetensors"}}`
	got := config.LocalModels(fstest.MapFS{
		"models/org/whole/config.json":                         file(`{"model_type":"new","architectures":["New"]}`), // nobody's size is known of it: that is no fault of the fetch
		"models/org/whole/model.safetensors":                   file(header),
		"models/org/part/config.json":                          file(`{"model_type":"qwen2","architectures":["Qwen2ForCausalLM"]}`),
		"models/org/part/model-00001-of-00002.safetensors":     file(header),
		"models/org/part/model.safetensors.index.json":         file(index),
		"models/org/noconfig/model-00001-of-00002.safetensors": file(header),
	})
	want := []struct{ name, users, says string }{
		{"org/whole", "a/folder b/again", ""},
		{"org/absent/q4.gguf", "b/gguf", "fetch it with `tierctl pull org/absent/q4.gguf`"},
		{"org/part", "b/part", "model-00002-of-00002.safetensors of org/part"},
		{"org/noconfig", "b/noconfig", "has no config.json"},
	}
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i, w := range want {
		m := got[i]
		if m.Name != w.name || !slices.Equal(m.Users, strings.Fields(w.users)) || (m.Missing == "") != (w.says == "") || !strings.Contains(m.Missing, w.says) {
			t.Errorf("%+v, want %+v", m, w)
		}
	}
}
