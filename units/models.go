package units

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// model is where a model lies on this host.
type model struct {
	path string   // what the engine is told
	dirs []string // what has to be readable for it, absolute
	size Bytes    // on disk, for progress
}

// findModel looks for a model by the name in tiers.toml: an absolute path; below each folder as a path ("org/name",
// "name", "file.gguf"); and in the layout of Hugging Face's cache, where "org/name" is models--org--name with the snapshot
// that refs/main names, and "org/name/file.gguf" is a file in it. The error says what was looked for, where, and the remedy.
func findModel(h tree, folders []string, name, kind string) (model, error) {
	var m model
	found := false
	if path.IsAbs(name) {
		m, found = h.plainModel(path.Clean(name))
	} else {
		for _, folder := range folders {
			if m, found = h.plainModel(path.Join(folder, name)); found {
				break
			}
			if m, found = h.cachedModel(folder, name); found {
				break
			}
		}
	}
	if !found {
		return model{}, h.missing(folders, name)
	}
	return m, h.fits(m, name, kind)
}

// plainModel is a file, or a folder with a model in it, under its own path.
func (h tree) plainModel(at string) (model, bool) {
	info, real, err := h.stat(at)
	if err != nil {
		return model{}, false
	}
	m := model{path: at, dirs: []string{at}}
	if !info.IsDir() {
		m.dirs = []string{path.Dir(at)}
		m.size = h.splitSize(at)
	} else {
		m.size = h.weights(at)
	}
	if real != at { // the folder, or one above it, is a link: its target has to be readable too
		if !info.IsDir() {
			real = path.Dir(real)
		}
		m.dirs = append(m.dirs, real)
	}
	return m, true
}

// cachedModel is a model in the layout that huggingface_hub keeps. Snapshots are links into ../../blobs, so the whole
// models--org--name folder has to be readable.
func (h tree) cachedModel(folder, name string) (model, bool) {
	parts := strings.Split(name, "/")
	if len(parts) < 2 {
		return model{}, false
	}
	file := path.Join(parts[2:]...)
	for _, hub := range []string{folder, path.Join(folder, "hub")} {
		repo := path.Join(hub, "models--"+parts[0]+"--"+parts[1])
		rev, err := h.readFile(path.Join(repo, "refs", "main"))
		if err != nil {
			continue
		}
		m, ok := h.plainModel(path.Join(repo, "snapshots", strings.TrimSpace(rev), file))
		if ok {
			m.dirs = []string{repo}
			if _, real, err := h.stat(repo); err == nil && real != repo {
				m.dirs = append(m.dirs, real)
			}
			return m, true
		}
	}
	return model{}, false
}

// fits tells whether an engine of this kind can load what was found. The engines' own words about it mislead.
func (h tree) fits(m model, name, kind string) error {
	info, _, err := h.stat(m.path)
	if err != nil {
		return fmt.Errorf("cannot look at model %q: %w", name, err)
	}
	switch {
	case kind == KindVLLM && !info.IsDir():
		return fmt.Errorf("model %q is a single file, and vLLM wants a folder with config.json and safetensors; use an engine of kind \"llama\" for it", name)
	case kind == KindVLLM && !h.has(m.path, isConfig):
		return fmt.Errorf("%s has no config.json, so vLLM cannot load it; fetch the model again, or name another folder", m.path)
	case kind == KindLlama && info.IsDir() && h.has(m.path, isGGUF):
		return fmt.Errorf("model %q is a folder, and llama-server wants one file in it; write its name too, as in %q", name, path.Join(name, h.first(m.path, isGGUF)))
	case kind == KindLlama && info.IsDir():
		return fmt.Errorf("model %q is a folder without a .gguf file, which llama-server cannot load; use an engine of kind \"vllm\", or fetch a GGUF of the model", name)
	case kind == KindLlama && !isGGUF(m.path):
		return fmt.Errorf("model %q is not a .gguf file, which is all that llama-server loads", name)
	}
	return nil
}

func isConfig(name string) bool { return name == "config.json" }

// missing words what was looked for and where, with the remedy.
func (h tree) missing(folders []string, name string) error {
	if path.IsAbs(name) {
		return fmt.Errorf("model %s does not exist; put it there, or change `model`", name)
	}
	if len(folders) == 0 {
		return fmt.Errorf("model %q cannot be looked for: `models` in [host] names no folder", name)
	}
	remedy, as := "put it there", name
	if org, rest, ok := strings.Cut(name, "/"); ok {
		repo, _, _ := strings.Cut(rest, "/")
		as += " or models--" + org + "--" + repo
		remedy = fmt.Sprintf("fetch it with `tierctl pull %s`", name)
	}
	if near := h.nearModel(folders, name); near != "" {
		remedy = fmt.Sprintf("did you mean %q? Or %s", near, remedy)
	}
	return fmt.Errorf("model %q is not in %s (looked for %s); %s, or add its folder to `models` in [host]",
		name, strings.Join(folders, ", "), as, remedy)
}

// nearModel is the name of what is there in the same folder, and that the name is a slip of; "" for none. Another number is no
// slip but another model: 14B beside 32B, Q4 beside Q8. The name itself is there as a link to nowhere.
func (h tree) nearModel(folders []string, name string) string {
	dir, base := path.Split(name)
	for _, folder := range folders {
		there := slices.DeleteFunc(h.list(path.Join(folder, dir)), func(other string) bool { return other == base || digits(other) != digits(base) })
		if near := nearest(base, there); near != "" {
			return dir + near
		}
	}
	return ""
}

func digits(name string) string {
	return strings.Map(func(r rune) rune {
		if r < '0' || r > '9' {
			return -1
		}
		return r
	}, name)
}

// weights is the size of the model files in a folder, each behind its links.
func (h tree) weights(dir string) Bytes {
	var sum, all Bytes
	for _, name := range h.list(dir) {
		info, _, err := h.stat(path.Join(dir, name))
		if err != nil || info.IsDir() {
			continue
		}
		all += Bytes(info.Size())
		if strings.HasSuffix(name, ".safetensors") {
			sum += Bytes(info.Size())
		}
	}
	if sum == 0 {
		return all
	}
	return sum
}

// splitSize is the size of a file, or of all its parts when it is the first of a split GGUF: x-00001-of-00003.gguf.
func (h tree) splitSize(at string) Bytes {
	dir, base := path.Split(at)
	before, of, split := strings.Cut(base, "-00001-of-")
	var sum Bytes
	for _, name := range h.list(dir) {
		if name == base || split && strings.HasPrefix(name, before+"-") && strings.HasSuffix(name, "-of-"+of) {
			if info, _, err := h.stat(path.Join(dir, name)); err == nil {
				sum += Bytes(info.Size())
			}
		}
	}
	return sum
}

// has tells whether a folder holds a file with such a name.
func (h tree) has(dir string, match func(string) bool) bool { return h.first(dir, match) != "" }

func (h tree) first(dir string, match func(string) bool) string {
	for _, name := range h.list(dir) {
		if match(name) {
			return name
		}
	}
	return ""
}

// executable says why a program cannot be run, or nothing.
func (h tree) executable(program string) error {
	info, _, err := h.stat(program)
	switch {
	case hidden(err):
		return nil // for systemd, as root, it may be there
	case err != nil:
		return fmt.Errorf("%s does not exist", program)
	case info.IsDir():
		return fmt.Errorf("%s is a folder, not a program", program)
	case info.Mode()&0o111 == 0:
		return fmt.Errorf("%s is not executable", program)
	}
	return nil
}

// credentialDirs are where systemd looks for a bare name given to LoadCredentialEncrypted.
var credentialDirs = []string{"/etc/credstore.encrypted", "/run/credstore.encrypted", "/usr/local/lib/credstore.encrypted", "/usr/lib/credstore.encrypted"}

// hasCredential is true as well when the folders may not be looked into, as by `tierctl check` run by a user.
func (h tree) hasCredential(name string) bool {
	for _, dir := range credentialDirs {
		if _, _, err := h.stat(path.Join(dir, name)); err == nil || hidden(err) {
			return true
		}
	}
	return false
}
