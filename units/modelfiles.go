package units

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"
)

// ModelFile is one file of a model as it was when the plan was made.
type ModelFile struct {
	Path    string // as the engine is told it: absolute, its links not followed
	Size    Bytes
	ModTime time.Time // UTC
	Inode   uint64    // 0: the file system tells none
}

// ModelChanged says in words in what way the files of a unit's model are not those that the plan was made from: other ones
// in their place, changed or gone. Files that were added and that no file of the model names change nothing.
func ModelChanged(fsys fs.FS, u Unit) (string, bool) {
	h := tree{fsys}
	for _, was := range u.ModelFiles {
		is, err := h.modelFile(was.Path)
		switch {
		case err != nil:
			return fmt.Sprintf("%s cannot be looked at any more: %s", was.Path, plainError(err)), true
		case is.Size != was.Size:
			return fmt.Sprintf("%s had %s when the plan was made, and has %s now", was.Path, was.Size, is.Size), true
		case !is.ModTime.Equal(was.ModTime):
			return fmt.Sprintf("%s was written to after the plan was made, at %s", was.Path, is.ModTime.Format(time.DateTime)), true
		case is.Inode != was.Inode:
			return fmt.Sprintf("%s is another file of the same size than when the plan was made", was.Path), true
		}
	}
	return "", false
}

// modelFile looks at a file, behind its links.
func (h tree) modelFile(at string) (ModelFile, error) {
	info, _, err := h.stat(at)
	if err != nil {
		return ModelFile{}, err
	}
	f := ModelFile{Path: at, Size: Bytes(info.Size()), ModTime: info.ModTime().UTC()}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		f.Inode = stat.Ino
	}
	return f, nil
}

// modelFiles are the files at a model's path from which its size can follow: a change of one of them may change it.
func (h tree) modelFiles(at string, kind string) ([]ModelFile, error) {
	dir, names := at, []string(nil)
	if kind == KindLlama {
		dir, names = path.Dir(at), []string{path.Base(at)}
	}
	all, err := h.entries(dir)
	if err != nil {
		return nil, unread("", err)
	}
	split := splitName.FindStringSubmatch(path.Base(at))
	for _, name := range all {
		part := splitName.FindStringSubmatch(name)
		switch {
		case kind == KindVLLM && decidesSize(name):
			names = append(names, name)
		case kind == KindLlama && split != nil && part != nil && part[1] == split[1] && part[3] == split[3] && name != names[0]:
			names = append(names, name)
		}
	}
	files := make([]ModelFile, 0, len(names))
	for _, name := range names {
		f, err := h.modelFile(path.Join(dir, name))
		switch {
		case kind == KindVLLM && errors.Is(err, fs.ErrNotExist):
			continue // a link to nothing: a fetch that has not come so far
		case err != nil:
			return nil, unread(name, err)
		}
		files = append(files, f)
	}
	return files, nil
}

// decidesSize tells the files of a Hugging Face folder that say how large the model is.
func decidesSize(name string) bool {
	return isConfig(name) || strings.HasSuffix(name, ".safetensors") || strings.HasSuffix(name, ".safetensors.index.json") || isTorch(name) ||
		slices.ContainsFunc(quantFiles, func(f quantFile) bool { return f.name == name })
}

// isTorch tells weights in PyTorch's own format, of which only the files' sizes are known.
func isTorch(name string) bool {
	return strings.HasPrefix(name, "pytorch_model") && strings.HasSuffix(name, ".bin")
}
