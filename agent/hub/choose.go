package hub

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// choose picks the files of a listing that an engine needs of a model, or those that match a pattern of include, if there
// is one. Patterns are those of path.Match, on the whole path or on the file's name.
func choose(l Listing, n Name, include []string) ([]File, error) {
	switch {
	case len(include) > 0:
		return chooseMatching(l, include)
	case n.File != "":
		return chooseGGUF(l, n.File)
	}
	return chooseWeights(l)
}

func chooseMatching(l Listing, include []string) ([]File, error) {
	var files []File
	for _, pattern := range include {
		if _, err := path.Match(pattern, ""); err != nil {
			return nil, fmt.Errorf("--include %q is no pattern", pattern)
		}
		before := len(files)
		for _, f := range l.Files {
			whole, _ := path.Match(pattern, f.Path)
			base, _ := path.Match(pattern, path.Base(f.Path))
			if (whole || base) && !slices.Contains(files, f) {
				files = append(files, f)
			}
		}
		if len(files) == before {
			return nil, fmt.Errorf("no further file of %s matches --include %q", l.Repo, pattern)
		}
	}
	return files, nil
}

func chooseGGUF(l Listing, file string) ([]File, error) {
	names, err := parts(file)
	if err != nil {
		return nil, err
	}
	var files []File
	for _, name := range names {
		i := slices.IndexFunc(l.Files, func(f File) bool { return f.Path == name })
		switch {
		case i >= 0:
			files = append(files, l.Files[i])
		case name == file:
			return nil, fmt.Errorf("%s has no file %s%s", l.Repo, file, offer(l))
		default:
			return nil, fmt.Errorf("%s has no file %s, which is a part of %s", l.Repo, name, file)
		}
	}
	return files, nil
}

// chooseWeights picks safetensors, or PyTorch's files where there are no others, and what an engine reads beside them.
func chooseWeights(l Listing) ([]File, error) {
	top := func(match func(string) bool) bool {
		return slices.ContainsFunc(l.Files, func(f File) bool { return !strings.Contains(f.Path, "/") && match(f.Path) })
	}
	weights := isSafetensors
	if !top(isSafetensors) {
		weights = isTorch
	}
	if !top(weights) {
		return nil, fmt.Errorf("%s has no safetensors%s", l.Repo, offer(l))
	}
	// Mistral's repositories have the same weights twice; engines read those that the index names.
	twice := top(func(name string) bool { return strings.HasPrefix(name, "model") && isSafetensors(name) })
	var files []File
	for _, f := range l.Files {
		if elsewhere(f.Path) || strings.HasPrefix(path.Base(f.Path), ".") || twice && strings.HasPrefix(f.Path, "consolidated") {
			continue
		}
		if weights(f.Path) || isBeside(path.Base(f.Path)) {
			files = append(files, f)
		}
	}
	return files, nil
}

func isSafetensors(name string) bool { return strings.HasSuffix(name, ".safetensors") }

func isTorch(name string) bool {
	return strings.HasPrefix(path.Base(name), "pytorch_model") && strings.HasSuffix(name, ".bin")
}

// beside are the endings of configurations, tokenizers, chat templates, a model's own code, and its card.
var beside = []string{".json", ".txt", ".model", ".jinja", ".tiktoken", ".py", ".md", ".yaml", ".yml"}

func isBeside(name string) bool {
	upper := strings.ToUpper(name)
	return slices.Contains(beside, path.Ext(name)) || strings.HasPrefix(upper, "LICENSE") || strings.HasPrefix(upper, "NOTICE")
}

// elsewhere tells files below folders that hold the same model for other programs.
func elsewhere(name string) bool {
	first, _, below := strings.Cut(name, "/")
	return below && slices.Contains([]string{"original", "onnx", "openvino", "metal", "coreml", "gguf", "figures", "assets"}, first)
}

// offer names the GGUF files of a listing, as a sentence's end: who names none or a wrong one has to choose.
func offer(l Listing) string {
	var names []string
	for _, f := range l.Files {
		m := splitName.FindStringSubmatch(f.Path)
		if strings.HasSuffix(f.Path, ".gguf") && (m == nil || m[2] == "00001") {
			names = append(names, l.Repo+"/"+f.Path)
		}
	}
	slices.Sort(names) // a hub lists them in any order
	const most = 12
	switch {
	case len(names) == 0:
		return ", and no GGUF files either"
	case len(names) > most:
		return fmt.Sprintf("; name one of its GGUF files, as in %s, and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return "; name one of its GGUF files: " + strings.Join(names, ", ")
}
