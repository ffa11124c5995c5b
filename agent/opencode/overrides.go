package opencode

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"

	"github.com/tailscale/hujson"
)

// source is one of the places that the client puts its configuration together from.
type source struct {
	name string // of the file, or of the variable
	tree map[string]any
}

// sources are all of them that can be read, low to high: what a later one says wins. It is the order that 1.18.33 was seen to have.
func (e Env) sources() []source {
	var all []source
	add := func(files ...string) {
		for _, file := range files {
			if src, err := os.ReadFile(file); err == nil {
				if tree, err := parseJSONC(plainly(src)); err == nil {
					all = append(all, source{file, tree})
				}
			}
		}
	}
	add(filesIn(e.configDir(), configNames)...)
	if e.Config != "" {
		add(e.resolve(e.Config))
	}
	projects := e.projects()
	for _, dir := range projects {
		add(filesIn(dir, configNames[1:])...)
	}
	for _, dir := range projects {
		add(filesIn(filepath.Join(dir, ".opencode"), configNames[1:])...)
	}
	if e.ConfigDir != "" {
		add(filesIn(e.resolve(e.ConfigDir), configNames[1:])...)
	}
	if tree, err := parseJSONC(plainly([]byte(e.variable(contentVariable)))); err == nil {
		all = append(all, source{"$" + contentVariable, tree})
	}
	add(filesIn(e.managedDir(), configNames[1:])...)
	return all
}

// contentVariable holds a whole configuration.
const contentVariable = "OPENCODE_CONFIG_CONTENT"

// projects are the working directory and those above it up to the repository's own, outermost first.
func (e Env) projects() []string {
	if !filepath.IsAbs(e.Dir) {
		return nil
	}
	dirs := []string{filepath.Clean(e.Dir)}
	for dir := dirs[0]; !isThere(filepath.Join(dir, ".git")); {
		above := filepath.Dir(dir)
		if above == dir {
			return dirs[:1] // in no repository
		}
		dir = above
		dirs = append(dirs, dir)
	}
	slices.Reverse(dirs)
	return dirs
}

// winner names what probably set a path to the value that the client has, "" when nobody is known to. ours is no answer. An agent
// may also be a file of Markdown, which goes with the directory that it is in.
func (e Env) winner(path []string, ours string) string {
	for _, s := range slices.Backward(e.sources()) {
		if s.name != ours && has(s.tree, path) {
			return s.name
		}
	}
	if len(path) > 1 && path[0] == "agent" {
		dirs := []string{e.configDir()}
		for _, dir := range e.projects() {
			dirs = append(dirs, filepath.Join(dir, ".opencode"))
		}
		for _, dir := range slices.Backward(dirs) {
			for _, folder := range []string{"agent", "agents"} {
				if file := filepath.Join(dir, folder, path[1]+".md"); isThere(file) {
					return file
				}
			}
		}
	}
	return ""
}

// has tells whether a tree says anything about a path: also a value where there should be a branch takes all beneath it away.
func has(tree any, path []string) bool {
	for _, key := range path {
		branch, ok := tree.(map[string]any)
		if !ok {
			return tree != nil
		}
		if tree, ok = branch[key]; !ok {
			return false
		}
	}
	return true
}

// parseJSONC reads a configuration with comments and trailing commas, as the client takes it.
func parseJSONC(src []byte) (map[string]any, error) {
	plain, err := hujson.Standardize(ended(src))
	if err != nil {
		return nil, err
	}
	var tree map[string]any
	d := json.NewDecoder(bytes.NewReader(plain))
	d.UseNumber()
	if err := d.Decode(&tree); err != nil {
		return nil, err
	}
	return tree, nil
}
