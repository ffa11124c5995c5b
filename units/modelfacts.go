package units

import (
	"path"
	"slices"
	"strings"
)

// modelFacts is what a model's own files say of its size. It is shared by plans, so nobody changes it.
type modelFacts struct {
	files  []ModelFile // that it was read from
	stored stored      // the tensors; "" is the type of those in a file that does not tell it
	passes passes      // which of them a token does not read whole
	layers []layer
	format Format
	gguf   *ggufModel // of a GGUF file
}

// facts reads the files of a model.
func (h tree) facts(at, kind string, files []ModelFile) (*modelFacts, error) {
	if kind == KindLlama {
		return h.ggufFacts(at, files)
	}
	return h.folderFacts(at, files)
}

func (h tree) ggufFacts(at string, files []ModelFile) (*modelFacts, error) {
	m, used, err := h.gguf(at)
	if err != nil {
		return nil, err
	}
	return &modelFacts{
		files: only(files, used), stored: stored{"": m.weights}, passes: ggufPasses(m), layers: m.layers, format: m.format(), gguf: m,
	}, nil
}

func (h tree) folderFacts(dir string, files []ModelFile) (*modelFacts, error) {
	names := each(files, func(f ModelFile) string { return path.Base(f.Path) })
	config, err := h.hfConfig(path.Join(dir, "config.json"))
	if err != nil {
		return nil, inFile("config.json", err)
	}
	used := []string{path.Join(dir, "config.json")}
	beside, name, err := h.quantFile(dir, names)
	if err != nil {
		return nil, inFile(name, err)
	}
	f := &modelFacts{format: config.format(beside)}
	if f.layers, err = config.layers(); err != nil {
		return nil, inFile("config.json", err)
	}
	sum, shards, err := h.safetensors(dir, names, len(f.layers))
	if err != nil {
		return nil, err
	}
	f.passes = sum.passes()
	config.mixture(&f.passes)
	if f.stored = sum.stored; len(shards) == 0 {
		f.passes.unclear = true
		if f.stored, shards = torch(files); len(shards) == 0 {
			return nil, broken("", "its folder %s holds no *.safetensors; fetch the model again, or name another", dir)
		}
	}
	for _, shard := range append(shards, name, indexName) {
		used = append(used, path.Join(dir, shard))
	}
	f.files = only(files, used)
	return f, nil
}

// torch sums up the files of PyTorch's own format.
func torch(files []ModelFile) (stored, []string) {
	var names []string
	sum := stored{}
	for _, f := range files {
		if name := path.Base(f.Path); isTorch(name) {
			sum[""] = capped(sum[""] + f.Size)
			names = append(names, name)
		}
	}
	return sum, names
}

// quantFile reads what older tools wrote beside config.json; nil when there is none.
func (h tree) quantFile(dir string, names []string) (*hfConfig, string, error) {
	for _, f := range quantFiles {
		if !slices.Contains(names, f.name) {
			continue
		}
		c, err := h.hfConfig(path.Join(dir, f.name))
		if err != nil {
			return nil, f.name, err
		}
		if inner := c.object("quantization"); len(inner.model) > 0 { // modelopt nests it
			c = inner
		}
		if kindOf(c.model["quant_method"]) == 0 {
			c.model["quant_method"] = []byte(`"` + f.method + `"`)
		}
		return c, f.name, nil
	}
	return nil, "", nil
}

// only are the files at those paths.
func only(files []ModelFile, paths []string) []ModelFile {
	return slices.DeleteFunc(slices.Clone(files), func(f ModelFile) bool { return !slices.Contains(paths, f.Path) })
}

// storedBytes are the bytes of the floating point types that an engine converts to the one it serves in.
var storedBytes = map[string]uint64{"F64": 8, "F32": 4, "F16": 2, "BF16": 2}

// dtypeBytes are the bytes of the types that a model may be served in.
var dtypeBytes = map[string]uint64{"float32": 4, "float": 4, "float16": 2, "half": 2, "bfloat16": 2, "float64": 8, "double": 8}

// servedType is the type that vLLM serves a model in: what --dtype says, else what the model is made in; of 32 bits it
// keeps 16 unless it is told to.
func servedType(f Format, asked string) string {
	if asked != "" && asked != "auto" {
		return strings.TrimPrefix(asked, "torch.")
	}
	if dtypeBytes[f.DType] == 2 {
		return f.DType
	}
	return "bfloat16"
}

// weights is the size of the tensors once they are loaded in that type.
func (f *modelFacts) weights(served string) Bytes { return f.served(f.stored, served) }

// served is the size of some of the tensors once they are loaded in that type. Quantised ones, and what belongs to them, stay.
func (f *modelFacts) served(part stored, served string) Bytes {
	width, known := dtypeBytes[served]
	if f.format.Quant != "" || !known {
		return part.total()
	}
	var sum Bytes
	for kind, size := range part {
		from := storedBytes[kind]
		if kind == "" {
			from = dtypeBytes[f.format.DType]
		}
		if from > 0 {
			size = times(size, width) / Bytes(from)
		}
		sum = capped(sum + size)
	}
	return sum
}
