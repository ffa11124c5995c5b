package units

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	gguf "github.com/gpustack/gguf-parser-go"
)

// ggufModel is what the header of a GGUF file says of the model in it, together with its other parts.
type ggufModel struct {
	file    *gguf.GGUFFile // the first part
	about   gguf.GGUFArchitecture
	weights Bytes // data of all tensors of all parts
	shared  Bytes // those of them that are loaded a second time when the output is on a GPU: embeddings without an output of its own
	layers  []layer
}

// splitName is how llama.cpp names the parts of a split file.
var splitName = regexp.MustCompile(`^(.+)-([0-9]{5})-of-([0-9]{5})\.gguf$`)

// maxParts is more than any split model has: 2 TB in parts of 2 GB.
const maxParts = 1000

// gguf reads the headers of a file and of all parts that belong to it, and names the files.
func (h tree) gguf(at string) (*ggufModel, []string, error) {
	first, err := h.ggufFile(at)
	if err != nil {
		return nil, nil, err
	}
	files := []string{at}
	parts := first.Header.MetadataKV
	if count := keyNumber(parts, "split.count"); count > 1 {
		if files, err = h.parts(at, count, keyNumber(parts, "split.no")); err != nil {
			return nil, nil, err
		}
	}
	m := &ggufModel{file: first}
	for _, name := range files[1:] {
		part, err := h.ggufFile(name)
		if err != nil {
			return nil, nil, inFile(path.Base(name), err)
		}
		if len(first.TensorInfos)+len(part.TensorInfos) > maxGGUFTensors {
			return nil, nil, broken(path.Base(name), "the model has more than %d tensors up to here", maxGGUFTensors)
		}
		first.TensorInfos = append(first.TensorInfos, part.TensorInfos...)
		first.Size += part.Size
		first.ModelSize += part.ModelSize
	}
	return m, files, m.read()
}

func (h tree) ggufFile(at string) (*gguf.GGUFFile, error) {
	f, info, err := h.open(at)
	if err != nil {
		return nil, unread("", err)
	}
	defer f.Close()
	return readGGUF(f, info.Size())
}

// parts are the files of a split model. llama-server begins with the first of them and finds the others by their names.
func (h tree) parts(at string, count, number uint64) ([]string, error) {
	name := splitName.FindStringSubmatch(path.Base(at))
	switch {
	case count > maxParts:
		return nil, broken("", "it would have %d parts, and more than %d are not read", count, maxParts)
	case name == nil || name[3] != fmt.Sprintf("%05d", count):
		return nil, broken("", "it is one of %d parts, and its name does not end in -00001-of-%05d.gguf, so llama-server cannot find the others", count, count)
	case number != 0 || name[2] != "00001":
		return nil, broken("", "it is not the first of its parts; name %s-00001-of-%s.gguf", name[1], name[3])
	}
	var files []string
	for i := range count {
		part := fmt.Sprintf("%s-%05d-of-%s.gguf", name[1], i+1, name[3])
		file := path.Join(path.Dir(at), part)
		if _, _, err := h.stat(file); err != nil {
			return nil, inFile(part, unread("", err))
		}
		files = append(files, file)
	}
	return files, nil
}

// read takes out of the header what the charge is made of.
func (m *ggufModel) read() error {
	keys := m.file.Header.MetadataKV
	family := keyText(keys, "general.architecture")
	if family == "" {
		return broken("", "its header names no general.architecture, so llama.cpp cannot load it")
	}
	if err := checkKeys(keys, family); err != nil {
		return err
	}
	embeddings, output := Bytes(0), false
	for _, t := range m.file.TensorInfos {
		size, err := ggufBytes(t)
		if err != nil {
			return err
		}
		m.weights = capped(m.weights + size)
		switch t.Name {
		case "token_embd.weight":
			embeddings = size
		case "output.weight":
			output = true
		}
	}
	if !output {
		m.shared = embeddings
	}
	if err := guarded(func() { m.about = m.file.Architecture() }); err != nil {
		return err
	}
	if m.about.Type != "model" {
		return broken("", "it holds a part of a model (%s), not one that llama-server can serve", oneLine(m.about.Type))
	}
	if m.about.BlockCount == 0 {
		return unclear("", "its header names no %s.block_count, so the size of the KV cache is not known", oneLine(family))
	}
	m.layers = ggufLayers(m.about)
	for i, l := range m.layers {
		if l.key+l.value > maxElements || Bytes(l.state) > GiB {
			return broken("", "layer %d would keep %d numbers for each token and %s besides, which no model does", i, l.key+l.value, Bytes(l.state))
		}
	}
	return nil
}

// checkKeys refuses numbers that no model has, before anything is made of them. The library takes each as it is.
func checkKeys(keys gguf.GGUFMetadataKVs, family string) error {
	most := map[string]uint64{
		"block_count": maxLayers, "attention.head_count": maxHeads, "attention.head_count_kv": maxHeads,
		"embedding_length": maxSize, "expert_count": 1 << 16, "expert_used_count": 1 << 16,
	}
	for _, kv := range keys {
		name, ok := strings.CutPrefix(kv.Key, family+".")
		if !ok {
			continue
		}
		limit, ok := most[name]
		if !ok {
			limit = maxWindow
		}
		values := []any{kv.Value}
		if list, ok := kv.Value.(gguf.GGUFMetadataKVArrayValue); ok {
			values = list.Array
			if list.Len != uint64(len(values)) && list.Type != gguf.GGUFMetadataValueTypeString {
				return broken("", "%s in its header has %d entries, and no model has so many layers", oneLine(kv.Key), list.Len)
			}
		}
		for _, v := range values {
			if n, ok := v.(uint64); ok && n > limit {
				return broken("", "%s in its header is %d, which no model has", oneLine(kv.Key), n)
			}
			if n, ok := v.(int64); ok && (n < 0 || uint64(n) > limit) {
				return broken("", "%s in its header is %d, which no model has", oneLine(kv.Key), n)
			}
		}
	}
	return nil
}

// keyNumber is the value of a key that holds a whole number; 0 otherwise.
func keyNumber(keys gguf.GGUFMetadataKVs, name string) uint64 {
	kv, _ := keys.Get(name)
	switch n := kv.Value.(type) {
	case uint64:
		return n
	case int64:
		return uint64(max(n, 0))
	}
	return 0
}

// keyText is the value of a key that holds a text; "" otherwise.
func keyText(keys gguf.GGUFMetadataKVs, name string) string {
	kv, _ := keys.Get(name)
	s, _ := kv.Value.(string)
	return s
}

// format is the Format of a GGUF file.
func (m *ggufModel) format() Format {
	f := Format{Family: m.about.Architecture, MoE: m.about.ExpertCount > 1}
	if kv, ok := m.file.Header.MetadataKV.Get("general.file_type"); ok {
		const guessed = 1 << 10 // a mark of llama.cpp beside the type
		name := gguf.GGUFFileType(keyNumber(m.file.Header.MetadataKV, kv.Key) &^ guessed).String()
		f.Quant = strings.TrimPrefix(name, "MOSTLY_")
	}
	elements := float64(0)
	for _, t := range m.file.TensorInfos {
		n := float64(1)
		for _, d := range t.Dimensions {
			n *= float64(d)
		}
		elements += n
	}
	if elements > 0 {
		f.Bits = int(float64(m.weights) * 8 / elements)
	}
	return f
}
