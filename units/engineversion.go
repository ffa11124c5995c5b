package units

import (
	"path"
	"strings"
)

// engineVersion is the version of a vLLM by what pip has left beside it: the folder vllm-0.19.0.dist-info among the packages
// of the Python environment that the program belongs to. "" when it is not known: the program is no part of one, or there
// are several. Asking the program itself takes 10 to 20 s of imports.
func (h tree) engineVersion(program string) string {
	places := []string{program}
	if _, real, err := h.stat(program); err == nil && real != program {
		places = append(places, real)
	}
	for _, place := range places {
		env := path.Dir(path.Dir(place))
		for _, lib := range []string{"lib", "lib64"} {
			for _, python := range h.list(path.Join(env, lib)) {
				if !strings.HasPrefix(python, "python3") {
					continue
				}
				if version := versionOf("vllm", h.list(path.Join(env, lib, python, "site-packages"))); version != "" {
					return version
				}
			}
		}
	}
	return ""
}

// versionOf finds the version of a package among the names of site-packages: NAME-VERSION.dist-info. Other packages that
// begin with the same letters have an underscore where the name goes on.
func versionOf(name string, packages []string) string {
	found := ""
	for _, p := range packages {
		version, ok := strings.CutPrefix(p, name+"-")
		if version, ok2 := strings.CutSuffix(version, ".dist-info"); ok && ok2 {
			if found != "" {
				return "" // an upgrade that went wrong
			}
			found = version
		}
	}
	return found
}
