package hub

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	for _, c := range []struct {
		rule, text string
		want       Name
		says       string // of the error
	}{
		{"a repository", "Qwen/Qwen2.5-14B-Instruct", Name{Repo: "Qwen/Qwen2.5-14B-Instruct"}, ""},
		{"a file in one", "Qwen/X-GGUF/x-q4_k_m.gguf", Name{"Qwen/X-GGUF", "x-q4_k_m.gguf"}, ""},
		{"a file in a folder of one", "a/b/Q4/x.gguf", Name{"a/b", "Q4/x.gguf"}, ""},
		{"a plain file is on no hub", "x.gguf", Name{}, "names no repository"},
		{"nor is an absolute path", "/models/x.gguf", Name{}, "does not allow"},
		{"nothing leads out of the folder", "a/b/../../x.gguf", Name{}, "does not stay"},
		{"also not as a repository", "../x", Name{}, "does not allow"},
		{"nor by its second part", "a/..", Name{}, "does not allow"},
		{"a file in a repository is a GGUF", "a/b/config.json", Name{}, "has to be a .gguf file"},
		{"an address is no name", "https://huggingface.co/a/b", Name{}, "does not allow"},
		{"a folder of the cache is no name", "models--a--b/x", Name{}, "does not allow"},
		{"nothing hides in a terminal", "a/b/\x1b[2Jx.gguf", Name{}, "no file of a model has"},
		{"an option is no name", "-a/b", Name{}, "does not allow"},
		{"nothing is no name", "", Name{}, "names no repository"},
	} {
		got, err := ParseName(c.text)
		if got != c.want || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %q gives %+v, %v", c.rule, c.text, got, err)
		}
		if err == nil && got.String() != c.text {
			t.Errorf("%s: %q becomes %q", c.rule, c.text, got)
		}
	}
}

func FuzzParseName(f *testing.F) {
	for _, seed := range []string{"a/b", "a/b/c.gguf", "a/b/../c.gguf", "a/./c.gguf", "a//b", "a/b/c\x00.gguf", "a/b/c/..gguf"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := ParseName(text)
		if err != nil {
			return
		}
		if n.String() != text || !filepath.IsLocal(text) || filepath.Clean(text) != text || strings.HasPrefix(text, ".") {
			t.Errorf("%q is taken as %+v", text, n)
		}
	})
}

func TestPartsOfSplitFiles(t *testing.T) {
	for _, c := range []struct {
		rule, file string
		want       []string
		says       string
	}{
		{"one file is itself", "m.gguf", []string{"m.gguf"}, ""},
		{"the first names all", "d/m-00001-of-00003.gguf", []string{"d/m-00001-of-00003.gguf", "d/m-00002-of-00003.gguf", "d/m-00003-of-00003.gguf"}, ""},
		{"another is not the name of a model", "m-00002-of-00003.gguf", nil, "name m-00001-of-00003.gguf"},
		{"five digits make a part", "m-1-of-3.gguf", []string{"m-1-of-3.gguf"}, ""},
		{"no model has so many", "m-00001-of-99999.gguf", nil, "more than 1000"},
		{"nor none", "m-00001-of-00000.gguf", nil, "0 parts"},
	} {
		got, err := parts(c.file)
		if !slices.Equal(got, c.want) || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, %v", c.rule, got, err)
		}
	}
}

func TestRevisions(t *testing.T) {
	for text, good := range map[string]bool{
		"main": true, "v1.0": true, "refs/pr/1": true, "0123456789abcdef0123456789abcdef01234567": true,
		"": false, "../main": false, "a b": false, "-x": false, "a//b": false, "a?b": false, "a#b": false,
	} {
		if err := checkRevision(text); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}
