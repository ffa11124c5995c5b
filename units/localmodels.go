package units

import (
	"errors"
	"io/fs"
	"path"
	"slices"
)

// LocalModel is a model that variants load from the disks of this host.
type LocalModel struct {
	Name    string   // as in tiers.toml
	Users   []string // "tier/variant", in the order of the file
	Missing string   // why it cannot be loaded: it is not there, or not whole; "": it can
}

// LocalModels are the models that tiers.toml names, each once, in the order of the file. Those of remote variants are not
// among them.
func (c *Config) LocalModels(fsys fs.FS) []LocalModel {
	var list []LocalModel
	for _, t := range c.Tiers {
		for _, v := range t.Variants {
			e, _ := c.Engine(v.Engine)
			if e.Kind == KindRemote {
				continue
			}
			i := slices.IndexFunc(list, func(m LocalModel) bool { return m.Name == v.Model })
			if i < 0 {
				i = len(list)
				list = append(list, LocalModel{Name: v.Model})
			}
			list[i].Users = append(list[i].Users, t.Name+"/"+v.Name)
			if list[i].Missing == "" {
				list[i].Missing = c.modelMissing(tree{fsys}, v.Model, e.Kind)
			}
		}
	}
	return list
}

// modelMissing says why an engine of this kind cannot load a model, "" when it can as far as its files tell.
func (c *Config) modelMissing(h tree, name, kind string) string {
	m, err := findModel(h, c.Host.Models, name, kind)
	if err != nil {
		return err.Error()
	}
	files, err := h.modelFiles(m.path, kind)
	if err == nil && kind == KindVLLM { // also of a model whose size nobody knows
		_, _, err = h.safetensors(m.path, each(files, func(f ModelFile) string { return path.Base(f.Path) }), 0)
	}
	if err == nil {
		_, err = h.facts(m.path, kind, files)
	}
	var fault *modelError
	if errors.As(err, &fault) && fault.broken {
		return fault.of(name)
	}
	return ""
}
