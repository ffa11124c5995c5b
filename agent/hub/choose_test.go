package hub

import (
	"slices"
	"strings"
	"testing"
)

func listOf(paths ...string) Listing {
	l := Listing{Repo: "a/b", Commit: aCommit}
	for _, p := range paths {
		l.Files = append(l.Files, File{Path: p, Size: 1, Sum: Sum{sha256Sum, aSHA256}})
	}
	return l
}

func TestChoice(t *testing.T) {
	mixed := listOf(".gitattributes", "README.md", "config.json", "model.safetensors", "pytorch_model.bin", "tf_model.h5", "rust_model.ot",
		"model.onnx", "onnx/config.json", "original/params.json", "tokenizer.model", "chat_template.jinja", "1_Pooling/config.json", "2_Dense/model.safetensors",
		"modeling_x.py", "x-q4.gguf", "demo.png", "training_args.bin")
	mistral := listOf("config.json", "consolidated.safetensors", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "params.json")
	gguf := listOf("README.md", "a-q4.gguf", "b/x-00001-of-00002.gguf", "b/x-00002-of-00002.gguf", "c-00001-of-00003.gguf", "c-00003-of-00003.gguf")
	for _, c := range []struct {
		rule    string
		list    Listing
		file    string
		include []string
		want    string // the paths, by spaces
		says    string
	}{
		{"of a folder what an engine reads", mixed, "", nil,
			"README.md config.json model.safetensors tokenizer.model chat_template.jinja 1_Pooling/config.json 2_Dense/model.safetensors modeling_x.py", ""},
		{"the same weights once", mistral, "", nil, "config.json model-00001-of-00002.safetensors model-00002-of-00002.safetensors params.json", ""},
		{"consolidated weights where there are no others", listOf("config.json", "consolidated.safetensors"), "", nil, "config.json consolidated.safetensors", ""},
		{"PyTorch's files where there are no others", listOf("config.json", "pytorch_model-00001-of-00001.bin", "training_args.bin"), "", nil,
			"config.json pytorch_model-00001-of-00001.bin", ""},
		{"a repository of GGUF files offers them", gguf, "", nil, "", "name one of its GGUF files: a/b/a-q4.gguf, a/b/b/x-00001-of-00002.gguf, a/b/c-00001-of-00003.gguf"},
		{"a repository of neither", listOf("README.md"), "", nil, "", "no GGUF files either"},
		{"one file", gguf, "a-q4.gguf", nil, "a-q4.gguf", ""},
		{"a split one whole", gguf, "b/x-00001-of-00002.gguf", nil, "b/x-00001-of-00002.gguf b/x-00002-of-00002.gguf", ""},
		{"a split one with a hole", gguf, "c-00001-of-00003.gguf", nil, "", "no file c-00002-of-00003.gguf, which is a part of c-00001"},
		{"a part", gguf, "b/x-00002-of-00002.gguf", nil, "", "name b/x-00001-of-00002.gguf"},
		{"a file that is not there", gguf, "a-q5.gguf", nil, "", "has no file a-q5.gguf; name one of"},
		{"what a pattern says, by name or path", mixed, "", []string{"*.onnx", "original/*"}, "model.onnx original/params.json", ""},
		{"a pattern that matches nothing", mixed, "", []string{"*.xyz"}, "", `matches --include "*.xyz"`},
		{"what is no pattern", mixed, "", []string{"[a"}, "", "is no pattern"},
	} {
		files, err := choose(c.list, Name{"a/b", c.file}, c.include)
		var got []string
		for _, f := range files {
			got = append(got, f.Path)
		}
		if strings.Join(got, " ") != c.want || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %q, %v", c.rule, got, err)
		}
	}
}

func TestManyOffersAreShortened(t *testing.T) {
	var paths []string
	for _, q := range "abcdefghijklmnop" {
		paths = append(paths, string(q)+".gguf")
	}
	if _, err := choose(listOf(paths...), Name{Repo: "a/b"}, nil); err == nil || !strings.HasSuffix(err.Error(), "a/b/l.gguf, and 4 more") {
		t.Error(err)
	}
}

func TestTheFileByWhichAModelIsFoundComesLast(t *testing.T) {
	for file, want := range map[string]string{
		"model.safetensors": "config.json", "1_Pooling/config.json": "config.json", "config.json": "", "q4.gguf": "",
		"b/m-00002-of-00003.gguf": "b/m-00001-of-00003.gguf", "b/m-00001-of-00003.gguf": "",
	} {
		if got := gate(file); got != want {
			t.Errorf("%s waits for %q, want %q", file, got, want)
		}
	}
	files := []string{"m-00001-of-00002.gguf", "config.json", "m-00002-of-00002.gguf", "x.safetensors"}
	slices.SortStableFunc(files, func(a, b string) int { return boolOrder(gate(a) == "", gate(b) == "") })
	if want := []string{"m-00002-of-00002.gguf", "x.safetensors", "m-00001-of-00002.gguf", "config.json"}; !slices.Equal(files, want) {
		t.Error(files)
	}
}
