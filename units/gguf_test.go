package units

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gguf "github.com/gpustack/gguf-parser-go"
)

// small is a llama of one layer, with what a test adds.
func small(more ...ggufKey) []ggufKey {
	return append([]ggufKey{
		{"general.architecture", "llama"}, {"llama.block_count", 1}, {"llama.embedding_length", 64}, {"llama.attention.head_count", 4},
		{"llama.attention.head_count_kv", 2},
	}, more...)
}

var smallTensors = []madeTensor{
	{"token_embd.weight", "F16", []uint64{64, 32}}, {"output_norm.weight", "F32", []uint64{64}}, {"blk.0.attn_q.weight", "Q8_0", []uint64{64, 64}},
	{"blk.0.ffn_up.weight", "Q8_0", []uint64{64, 128}},
}

// ggufModelOf reads one file.
func ggufModelOf(f hugeFile) (*ggufModel, error) {
	m, _, err := tree{newDisk(nil, map[string]hugeFile{"m.gguf": f})}.gguf("/m.gguf")
	return m, err
}

// counted is a file that says it has so many tensors and keys, with what follows.
func counted(tensors, keys uint64, rest string) hugeFile {
	b := binary.LittleEndian.AppendUint32([]byte("GGUF"), 3)
	b = binary.LittleEndian.AppendUint64(b, tensors)
	b = binary.LittleEndian.AppendUint64(b, keys)
	b = append(b, rest...)
	return hugeFile{b, int64(len(b))}
}

// le are numbers as they stand in a file.
func le(numbers ...any) string {
	var b bytes.Buffer
	for _, n := range numbers {
		if s, ok := n.(string); ok {
			n = uint64(len(s))
			binary.Write(&b, binary.LittleEndian, n)
			b.WriteString(s)
			continue
		}
		binary.Write(&b, binary.LittleEndian, n)
	}
	return b.String()
}

func grown(f hugeFile, size int64) hugeFile { return hugeFile{f.head, size} }

func TestAFileThatIsNoGGUFIsOneClearError(t *testing.T) {
	whole := ggufOf(small(), smallTensors...)
	const terabyte = uint64(1) << 40
	for _, row := range []struct {
		rule string
		file hugeFile
		want string
	}{
		{"an empty file", hugeFile{nil, 0}, "it ends within its header; fetch it again"},
		{"another kind of file", hugeFile{[]byte("PK\x03\x04 and so on"), 1000}, "it is no GGUF file: it does not begin with the letters GGUF"},
		{"zeros", hugeFile{nil, 1 << 30}, "it is no GGUF file: it does not begin with the letters GGUF"},
		{"the first version", hugeFile{[]byte("GGUF\x01\x00\x00\x00"), 1000}, "it is of GGUF version 1, and llama.cpp reads 2 and 3, of this byte order"},
		{"the other byte order", hugeFile{[]byte("GGUF\x00\x00\x00\x03"), 1000}, "it is of GGUF version 50331648, and llama.cpp reads 2 and 3, of this byte order"},
		{"2^60 keys", grown(counted(1, 1<<60, ""), 1<<40), "its header would hold 1152921504606846976 keys, and more than 4096 are not read: this is no GGUF file, or a damaged one"},
		{"2^60 tensors", grown(counted(1<<60, 1, ""), 1<<40), "its header would hold 1152921504606846976 tensors, and more than 32768 are not read: this is no GGUF file, or a damaged one"},
		{"a key of 2^40 bytes", grown(counted(0, 1, le(terabyte)), 1<<45), "its header is longer than 256MiB, and more is not read: this is no GGUF file, or a damaged one"},
		{"a key of 2^40 bytes in a short file", counted(0, 1, le(terabyte)), "it ends within its header; fetch it again"},
		{"a key of a thousand bytes", counted(0, 1, le(strings.Repeat("k", 1000), uint32(4), uint32(1))),
			"the name of a key in its header is longer than 512 bytes: this is no GGUF file, or a damaged one"},
		{"a text of 2^40 bytes", grown(counted(0, 1, le("general.name", uint32(8), terabyte)), 1<<45),
			"its header is longer than 256MiB, and more is not read: this is no GGUF file, or a damaged one"},
		{"an array of 2^60 numbers", grown(counted(0, 1, le("x", uint32(9), uint32(4), uint64(1)<<60)), 1<<45), "it ends within its header; fetch it again"},
		{"an array of 2^64-1 wide numbers", grown(counted(0, 1, le("x", uint32(9), uint32(10), ^uint64(0))), 1<<45), "it ends within its header; fetch it again"},
		{"an array of 2^38 numbers in a file that has them", grown(counted(0, 1, le("x", uint32(9), uint32(4), uint64(1)<<38)), 1<<45),
			"its header is longer than 256MiB, and more is not read: this is no GGUF file, or a damaged one"},
		{"an array of 2^60 texts", grown(counted(0, 1, le("x", uint32(9), uint32(8), uint64(1)<<60)), 1<<45),
			"its header is longer than 256MiB, and more is not read: this is no GGUF file, or a damaged one"},
		{"an array of arrays", counted(0, 1, le("x", uint32(9), uint32(9), uint64(1), uint32(9))), `"x" in its header is an array of arrays, which llama.cpp does not read`},
		{"a kind of value that there is not", counted(0, 1, le("x", uint32(99))), "a value in its header is of type 99, which there is not"},
		{"a tensor with no dimension", counted(1, 0, le("t", uint32(0))), `tensor "t" in its header has 0 dimensions, and 1 to 4 can be`},
		{"a tensor with 2^32-1 dimensions", counted(1, 0, le("t", ^uint32(0))), `tensor "t" in its header has 4294967295 dimensions, and 1 to 4 can be`},
		{"a tensor of an unknown type", counted(1, 0, le("t", uint32(1), uint64(8), uint32(4711), uint64(0))), `tensor "t" is of type 4711, which tierd does not know`},
		{"a tensor of a type that is no more", counted(1, 0, le("t", uint32(1), uint64(8), uint32(4), uint64(0))), `tensor "t" is of type 4, which tierd does not know`},
		{"a tensor of 2^120 numbers", counted(1, 0, le("t", uint32(2), uint64(1)<<60, uint64(1)<<60, uint32(0), uint64(0))), "it has 65B, and its tensors reach to 1024TiB; fetch it again"},
		{"a tensor behind the end of the world", counted(1, 0, le("t", uint32(1), uint64(8), uint32(0), ^uint64(0))), "it has 57B, and its tensors reach to 1024TiB; fetch it again"},
		{"data that is not all there", grown(whole, whole.size-1), "it has 17.47KiB, and its tensors reach to 17.47KiB; fetch it again"},
		{"an alignment of nothing", ggufOf(small(ggufKey{"general.alignment", 0}), smallTensors...), "general.alignment in its header is not a number that can be one"},
		{"an alignment in words", ggufOf(small(ggufKey{"general.alignment", "32"}), smallTensors...), "general.alignment in its header is not a number that can be one"},
		{"no architecture", ggufOf(small()[1:], smallTensors...), "its header names no general.architecture, so llama.cpp cannot load it"},
		{"an architecture that is a number", ggufOf(append([]ggufKey{{"general.architecture", 7}}, small()[1:]...), smallTensors...),
			"its header names no general.architecture, so llama.cpp cannot load it"},
		{"no number of layers", ggufOf(slices.Delete(small(), 1, 2), smallTensors...), "its header names no llama.block_count, so the size of the KV cache is not known"},
		{"2^31 layers", ggufOf(append(small(), ggufKey{"llama.block_count", 1 << 31}), smallTensors...), "llama.block_count in its header is 2147483648, which no model has"},
		{"layers as a text", ggufOf(append(slices.Delete(small(), 1, 2), ggufKey{"llama.block_count", "1"}), smallTensors...),
			`its header is not understood: key \"llama.block_count\" try to get type Numeric but got type...`},
		{"heads without end", ggufOf(small(ggufKey{"llama.attention.key_length", 1 << 30}), smallTensors...), "layer 0 would keep 2147483680 numbers for each token and 0 besides, which no model does"},
		{"more groups than layers can be", ggufOf(slices.Concat(slices.Delete(small(), 4, 5), []ggufKey{{"llama.attention.head_count_kv", make([]int, maxLayers+1)}}), smallTensors...),
			"llama.attention.head_count_kv in its header has 4097 entries, and no model has so many layers"},
		{"no group at all", ggufOf(slices.Concat(slices.Delete(small(), 3, 4), []ggufKey{{"llama.attention.head_count", []int{}}}), smallTensors...),
			"its header is not understood: runtime error: index out of range [0] with length 0"},
		{"an adapter", ggufOf(small(ggufKey{"general.type", "adapter"}), smallTensors...), "it holds a part of a model (adapter), not one that llama-server can serve"},
		{"what makes pictures into tokens", ggufOf([]ggufKey{{"general.architecture", "clip"}}, smallTensors...), "it holds a part of a model (projector), not one that llama-server can serve"},
	} {
		t.Run(row.rule, func(t *testing.T) {
			var err error
			memory := allocated(func() { _, err = ggufModelOf(row.file) })
			if err == nil || err.Error() != "the model: "+row.want {
				t.Errorf("got %v\nwant %s", err, row.want)
			}
			if memory > 16<<20 {
				t.Errorf("%s of memory", Bytes(memory))
			}
		})
	}
}

// A header cut off anywhere is told as that, and read no further.
func TestAHeaderThatEndsAnywhereIsToldAsThat(t *testing.T) {
	whole := ggufOf(small(ggufKey{"tokenizer.ggml.tokens", []string{"a", "b"}}), smallTensors...)
	for n := range len(whole.head) {
		_, err := ggufModelOf(hugeFile{whole.head[:n], int64(n)})
		if err == nil || err.Error() != "the model: it ends within its header; fetch it again" {
			t.Fatalf("after %d bytes: %v", n, err)
		}
	}
	for n := range len(whole.head) {
		_, err := readGGUF(failing{bytes.NewReader(whole.head), int64(n)}, whole.size)
		if err == nil || err.Error() != "the model: it cannot be read: input/output error" {
			t.Fatalf("a disk that fails after %d bytes: %v", n, err)
		}
	}
	if _, err := ggufModelOf(whole); err != nil {
		t.Errorf("the whole: %v", err)
	}
}

func TestLayersOfAGGUFFileAreThoseOfItsArchitecture(t *testing.T) {
	keys := func(family string, layers int, more ...ggufKey) []ggufKey {
		base := []ggufKey{{"general.architecture", family}, {family + ".block_count", layers}, {family + ".embedding_length", 64}, {family + ".attention.head_count", 4}}
		for _, k := range more {
			base = append(base, ggufKey{family + "." + k.name, k.value})
		}
		return base
	}
	full := layer{key: 32, value: 32}
	for _, row := range []struct {
		rule string
		keys []ggufKey
		want []layer
	}{
		{"groups of heads", keys("llama", 2, ggufKey{"attention.head_count_kv", 2}), []layer{full, full}},
		{"without groups every head has its own", keys("llama", 1), []layer{{key: 64, value: 64}}},
		{"groups by layer, and a layer without", keys("deci", 3, ggufKey{"attention.head_count_kv", []int{2, 0, 4}}), []layer{full, {}, {key: 64, value: 64}}},
		{"sizes of their own", keys("llama", 1, ggufKey{"attention.key_length", 24}, ggufKey{"attention.value_length", 8}), []layer{{key: 96, value: 32}}},
		{"one latent vector", keys("deepseek2", 1, ggufKey{"attention.head_count_kv", 1}, ggufKey{"attention.kv_lora_rank", 512}, ggufKey{"attention.key_length", 576},
			ggufKey{"attention.value_length", 512}, ggufKey{"attention.key_length_mla", 192}, ggufKey{"attention.value_length_mla", 128}), []layer{{key: 576}}},
		{"windows as the architecture has them", keys("gpt-oss", 4, ggufKey{"attention.head_count_kv", 2}, ggufKey{"attention.sliding_window", 128}),
			[]layer{{key: 32, value: 32, window: 128}, full, {key: 32, value: 32, window: 128}, full}},
		{"a window that the architecture does not use", keys("phi3", 1, ggufKey{"attention.head_count_kv", 2}, ggufKey{"attention.sliding_window", 128}), []layer{full}},
		{"an attention layer every so many", keys("qwen35", 2, ggufKey{"attention.head_count_kv", 2}, ggufKey{"full_attention_interval", 2}, ggufKey{"ssm.conv_kernel", 4},
			ggufKey{"ssm.inner_size", 256}, ggufKey{"ssm.state_size", 16}, ggufKey{"ssm.group_count", 2}), []layer{{state: 4 * (3*(256+2*2*16) + 256*16)}, full}},
		{"or where there are heads", keys("lfm2", 2, ggufKey{"attention.head_count_kv", []int{0, 2}}, ggufKey{"shortconv.l_cache", 3}), []layer{{state: 4 * 2 * 64}, full}},
		{"states alone", keys("rwkv7", 1, ggufKey{"wkv.head_size", 16}, ggufKey{"token_shift_count", 2}), []layer{{state: 4 * (2*64 + 16*64)}}},
		{"Kimi's delta attention", keys("kimi-linear", 2, ggufKey{"attention.head_count_kv", []int{0, 2}}, ggufKey{"kda.head_dim", 8}, ggufKey{"ssm.conv_kernel", 4}),
			[]layer{{state: 4 * (3*3*32 + 8*32)}, full}},
		{"both beside each other", keys("falcon-h1", 1, ggufKey{"attention.head_count_kv", 2}, ggufKey{"ssm.conv_kernel", 4}, ggufKey{"ssm.inner_size", 256}, ggufKey{"ssm.state_size", 16}),
			[]layer{{key: 32, value: 32, state: 4 * (3*256 + 256*16)}}},
		{"caches that later layers share", keys("gemma4", 3, ggufKey{"attention.head_count_kv", 2}, ggufKey{"attention.shared_kv_layers", 2}), []layer{full, {}, {}}},
	} {
		t.Run(row.rule, func(t *testing.T) {
			m, err := ggufModelOf(ggufOf(row.keys, smallTensors...))
			if err != nil || !slices.Equal(m.layers, row.want) {
				t.Errorf("got %+v, %v\nwant %+v", m, err, row.want)
			}
		})
	}
}

func TestASplitModelIsAllItsParts(t *testing.T) {
	part := func(number, count int, tensors ...madeTensor) hugeFile {
		keys := []ggufKey{{"split.no", number}, {"split.count", count}, {"split.tensors.count", 4}}
		if number == 0 {
			keys = append(small(), keys...)
		}
		return ggufOf(keys, tensors...)
	}
	whole := map[string]hugeFile{
		"m-00001-of-00003.gguf": part(0, 3, smallTensors[0], smallTensors[1]), "m-00002-of-00003.gguf": part(1, 3, smallTensors[2]),
		"m-00003-of-00003.gguf": part(2, 3, smallTensors[3]), "other-00002-of-00003.gguf": part(1, 3),
	}
	one, err := ggufModelOf(ggufOf(small(), smallTensors...))
	if err != nil {
		t.Fatal(err)
	}
	m, files, err := tree{newDisk(nil, whole)}.gguf("/m-00001-of-00003.gguf")
	if err != nil || m.weights != one.weights || len(files) != 3 || m.shared != one.shared {
		t.Errorf("%d bytes in %v instead of %d, %v", m.weights, files, one.weights, err)
	}
	for _, row := range []struct {
		rule, at string
		change   func(map[string]hugeFile)
		want     string
	}{
		{"a part that is missing", "/m-00001-of-00003.gguf", func(f map[string]hugeFile) { delete(f, "m-00002-of-00003.gguf") },
			"m-00002-of-00003.gguf of the model: it is not there; fetch the model again"},
		{"a part that is not all there", "/m-00001-of-00003.gguf", func(f map[string]hugeFile) { f["m-00003-of-00003.gguf"] = grown(f["m-00003-of-00003.gguf"], 4096) },
			"m-00003-of-00003.gguf of the model: it has 4KiB, and its tensors reach to 8.69KiB; fetch it again"},
		{"a later part", "/m-00002-of-00003.gguf", nil, "the model: it is not the first of its parts; name m-00001-of-00003.gguf"},
		{"a part under another name", "/x.gguf", func(f map[string]hugeFile) { f["x.gguf"] = f["m-00001-of-00003.gguf"] },
			"the model: it is one of 3 parts, and its name does not end in -00001-of-00003.gguf, so llama-server cannot find the others"},
		{"too many parts", "/m-00001-of-00003.gguf", func(f map[string]hugeFile) { f["m-00001-of-00003.gguf"] = part(0, 1<<30) }, "the model: it would have 1073741824 parts, and more than 1000 are not read"},
	} {
		t.Run(row.rule, func(t *testing.T) {
			files := merged(whole)
			if row.change != nil {
				row.change(files)
			}
			_, _, err := tree{newDisk(nil, files)}.gguf(row.at)
			if err == nil || err.Error() != row.want {
				t.Errorf("got %v\nwant %s", err, row.want)
			}
		})
	}
}

// The library's own reader, which allocates as the file says and reads string by string, must see the same in good files.
func TestWhatIsReadIsWhatTheLibraryReads(t *testing.T) {
	for name, model := range map[string]published{"qwen14": qwen14, "coder": qwenCoder, "hybrid": qwen35moe, "gpt-oss": gptOSS(24, 32)} {
		root := t.TempDir()
		onDisk(t, root, map[string]hugeFile{"m.gguf": model.gguf(mxfp4, 38)})
		theirs, err := gguf.ParseGGUFFile(filepath.Join(root, "m.gguf"), gguf.SkipLargeMetadata())
		if err != nil {
			t.Fatal(err)
		}
		m, _, err := tree{os.DirFS(root)}.gguf("/m.gguf")
		if err != nil {
			t.Fatal(err)
		}
		if got, want := fmt.Sprintf("%+v", m.about), fmt.Sprintf("%+v", theirs.Architecture()); got != want {
			t.Errorf("%s: got %s\nwant %s", name, got, want)
		}
		if m.weights != Bytes(theirs.TensorInfos.Bytes()) || m.file.TensorDataStartOffset != theirs.TensorDataStartOffset || m.file.ModelSize != theirs.ModelSize {
			t.Errorf("%s: %d bytes of tensors, theirs %d", name, m.weights, theirs.TensorInfos.Bytes())
		}
		// Its KV cache is ours, but for windows, which it rounds up by -b where llama.cpp does by -ub.
		run := theirs.EstimateLLaMACppRun(gguf.WithLLaMACppContextSize(32<<10), gguf.WithFlashAttention(), gguf.WithLLaMACppLogicalBatchSize(512))
		use := cacheUse{key: halves, value: halves, context: 32 << 10, step: 512, align: 256, caches: 1, states: 1}
		if got, want := cache(m.layers, use), Bytes(run.Devices[1].KVCache.Key+run.Devices[1].KVCache.Value); got != want {
			t.Errorf("%s: a KV cache of %d, theirs %d", name, got, want)
		}
	}
}

// What llama.cpp itself reported for these files, with -ub 512.
func TestTheComputeBufferIsWhatWasMeasured(t *testing.T) {
	for _, row := range []struct {
		name    string
		file    hugeFile
		context uint64
		flash   bool
		want    float64 // MiB
	}{
		{"Qwen2.5-3B", qwen3B.gguf(q4KM, 15), 4096, true, 80.59},
		{"Qwen3-Coder-30B-A3B", qwenCoder.gguf(q4KM, 15), 4096, true, 88.09},
		{"Llama-3.3-70B", llama70.gguf(q4KM, 15), 32 << 10, true, 300},
	} {
		m, err := ggufModelOf(row.file)
		if err != nil {
			t.Fatal(err)
		}
		got, err := m.compute(runUse{context: row.context, parallel: 1, batch: 2048, step: 512, flash: row.flash, key: "f16", value: "f16"})
		if mib := float64(got) / float64(MiB); err != nil || mib < row.want*0.9 || mib > row.want*1.15 {
			t.Errorf("%s: %s, %v; measured were %v MiB", row.name, got, err, row.want)
		}
	}
}

func TestMoreWorkAtOnceNeedsALargerBuffer(t *testing.T) {
	m, err := ggufModelOf(llama70.gguf(q4KM, 15))
	if err != nil {
		t.Fatal(err)
	}
	buffer := func(change func(*runUse)) Bytes {
		use := runUse{context: 32 << 10, parallel: 1, batch: 2048, step: 512, flash: true, key: "f16", value: "f16"}
		change(&use)
		got, err := m.compute(use)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	base := buffer(func(*runUse) {})
	if got := buffer(func(u *runUse) { u.step = 2048 }); got < 3*base {
		t.Errorf("-ub 2048: %s after %s", got, base)
	}
	if got := buffer(func(u *runUse) { u.context *= 2 }); got <= base {
		t.Errorf("twice the context: %s after %s", got, base)
	}
	// Without flash attention there is a number for each pair of tokens and head.
	if got := buffer(func(u *runUse) { u.flash = false }); got < 32<<10*512*64*4 {
		t.Errorf("without flash attention: %s", got)
	}
}

func FuzzGGUF(f *testing.F) {
	f.Add(ggufOf(small(ggufKey{"tokenizer.ggml.tokens", []string{"a", "b"}}), smallTensors...).head, int64(1<<20))
	f.Add(ggufOf(small(ggufKey{"llama.attention.sliding_window_pattern", []int{1, 0}}, ggufKey{"llama.attention.sliding_window", 8}), smallTensors...).head, int64(1<<20))
	f.Add(ggufOf([]ggufKey{{"general.architecture", "clip"}, {"clip.has_vision_encoder", true}}, smallTensors...).head, int64(1<<20))
	f.Add(ggufOf(append(small(), ggufKey{"llama.full_attention_interval", 4}, ggufKey{"llama.ssm.inner_size", 64}, ggufKey{"llama.ssm.state_size", 8}), smallTensors...).head, int64(1<<20))
	f.Add(counted(1<<60, 1<<60, "").head, int64(1<<40))
	f.Fuzz(func(t *testing.T, head []byte, size int64) {
		if size < int64(len(head)) || size > 1<<50 {
			size = int64(len(head))
		}
		var m *ggufModel
		var err error
		memory := allocated(func() {
			var file *gguf.GGUFFile
			if file, err = readGGUF(bytes.NewReader(head), size); err != nil {
				return
			}
			m = &ggufModel{file: file}
			if err = m.read(); err != nil {
				return
			}
			m.format()
			_, err = m.compute(runUse{context: 1 << 20, parallel: 4, batch: 2048, step: 512, flash: true, key: "f16", value: "q8_0"})
		})
		if limit := uint64(8<<20 + 1024*len(head)); memory > limit {
			t.Errorf("%d bytes of memory for a header of %d", memory, len(head))
		}
		switch {
		case err != nil && strings.ContainsAny(err.Error(), "\n\x00"):
			t.Errorf("an error of several lines: %q", err)
		case err == nil && m.weights > Bytes(size)+maxGGUFTensors*64:
			t.Errorf("%s of tensors in a file of %d", m.weights, size)
		case err == nil && len(m.layers) > maxLayers:
			t.Errorf("%d layers", len(m.layers))
		}
	})
}

// large is a file with as many tokens as the largest models have.
func large() hugeFile {
	tokens, merges := make([]string, 150_000), make([]string, 150_000)
	for i := range tokens {
		tokens[i], merges[i] = fmt.Sprintf("token-%d", i), fmt.Sprintf("to ken-%d", i)
	}
	keys := small(ggufKey{"tokenizer.ggml.tokens", tokens}, ggufKey{"tokenizer.ggml.merges", merges}, ggufKey{"tokenizer.ggml.token_type", make([]int, len(tokens))})
	return ggufOf(keys, llama70.ggufTensors(q4KM)...)
}

// A plan is made at every start of a blocked tier, so a header that nothing is known of must not take long either.
func BenchmarkAHeaderWith150kTokens(b *testing.B) {
	root := b.TempDir()
	onDisk(b, root, map[string]hugeFile{"m.gguf": large()})
	h := tree{os.DirFS(root)}
	b.Run("cold", func(b *testing.B) {
		b.ReportAllocs()
		var none *ModelCache
		for b.Loop() {
			if _, err := none.facts(h, "/m.gguf", KindLlama); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("cached", func(b *testing.B) {
		b.ReportAllocs()
		var kept ModelCache
		for b.Loop() {
			if _, err := kept.facts(h, "/m.gguf", KindLlama); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkAModelWith18kTensors(b *testing.B) {
	root := b.TempDir()
	onDisk(b, root, below("m", qwenCoder.folder("BF16", 16)))
	h := tree{os.DirFS(root)}
	b.ReportAllocs()
	var none *ModelCache
	for b.Loop() {
		if _, err := none.facts(h, "/m", KindVLLM); err != nil {
			b.Fatal(err)
		}
	}
}
