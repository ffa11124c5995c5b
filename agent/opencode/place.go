package opencode

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Scope is whom a configuration is for.
type Scope string

// The scopes. A project's file wins over the user's, a managed one over all.
const (
	ScopeUser    Scope = "user"
	ScopeProject Scope = "project"
	ScopeManaged Scope = "managed"
)

// Place is where the files of a plan go. OpenCode merges config.json, opencode.json and opencode.jsonc of a directory in this
// order, so a file of our own lies beneath the user's, which is never touched.
type Place struct {
	Scope  Scope
	Config string // opencode.json, or what stands in for it
	OMO    string // omo.jsonc; "" where the plugin reads none

	named   bool     // by the user: links on the way are meant
	state   string   // directory of the records
	base    string   // at and above it links are the system's or the user's word; below it they are not followed
	foreign []string // files that OpenCode merges and Apply may not touch; these keep Config from a place of its own
	own     []string // where Config may be or may have been
	merged  []string // all files that OpenCode reads together with ours
	old     []string // where the plugin looks for files of its earlier versions
	home    string   // where OMO's links are looked for from
}

// configNames are the files that OpenCode merges in each directory, low to high.
var configNames = []string{"config.json", "opencode.json", "opencode.jsonc"}

// oldPluginNames are what oh-my-opencode moves away at its start, into a file that Apply wants to write.
var oldPluginNames = []string{"oh-my-opencode.json", "oh-my-opencode.jsonc", "oh-my-openagent.json", "oh-my-openagent.jsonc"}

// Places tells where files go. It looks at what is there and writes nothing.
func Places(scope Scope, env Env) (Place, error) {
	if err := env.fit(scope); err != nil {
		return Place{}, err
	}
	p := Place{Scope: scope, state: env.stateDir(), home: env.Home}
	switch scope {
	case ScopeManaged:
		dir := env.managedDir()
		p.state, p.base = env.managedState(), filepath.Dir(dir)
		p.own = []string{filepath.Join(dir, "opencode.json")}
		p.merged = filesIn(dir, configNames[1:])
	case ScopeProject:
		dir := filepath.Join(env.Dir, ".opencode")
		p.base, p.home = env.Dir, env.Dir
		p.OMO = filepath.Join(env.Dir, ".omo", "omo.jsonc")
		p.own = []string{filepath.Join(dir, "opencode.json")}
		p.merged = slices.Concat(env.global(), filesIn(env.Dir, configNames[1:]), filesIn(dir, configNames[1:]))
		p.old = slices.Concat(filesIn(env.configDir(), oldPluginNames), filesIn(dir, oldPluginNames))
	default:
		dir := env.configDir()
		p.base = filepath.Dir(dir)
		if !filepath.IsAbs(env.ConfigHome) {
			p.base = env.Home
		}
		p.OMO = filepath.Join(env.Home, ".omo", "omo.jsonc")
		p.own = []string{filepath.Join(dir, "opencode.json"), filepath.Join(dir, "config.json")}
		p.merged = env.global()
		p.old = filesIn(dir, oldPluginNames)
		if env.ConfigDir != "" {
			p.old = append(p.old, filesIn(env.resolve(env.ConfigDir), oldPluginNames)...)
		}
	}
	return p, p.choose()
}

// PlaceAt is a place whose configuration goes to a file that the user names. Links are followed: who names a file means it.
func PlaceAt(scope Scope, file string, env Env) (Place, error) {
	if scope == ScopeManaged {
		return Place{}, refuse(file, "leave one of them out", "the managed configuration has its one place, which OpenCode looks at")
	}
	p, err := Places(scope, env)
	if err != nil {
		return p, err
	}
	file, err = followLinks(env.resolve(file))
	if err != nil {
		return p, err
	}
	if isDirectory(file) {
		return p, refuse(file, "name a file in it: --to "+Quote(filepath.Join(file, "opencode.json")), "%s is a directory, not a file", file)
	}
	p.Config, p.own, p.foreign, p.named = file, []string{file}, nil, true
	return p, nil
}

// global are the files that OpenCode reads whatever the project.
func (e Env) global() []string {
	files := filesIn(e.configDir(), configNames)
	if e.Config != "" {
		files = append(files, e.resolve(e.Config))
	}
	if e.ConfigDir != "" {
		files = append(files, filesIn(e.resolve(e.ConfigDir), configNames[1:])...)
	}
	return files
}

// fit refuses to write for somebody else: with sudo, HOME or the directory is often a user's, and the files would be root's.
func (e Env) fit(scope Scope) error {
	switch {
	case scope == ScopeManaged && e.UID != 0 && e.Root == "":
		r := refuse(e.managedDir(), "use sudo", "%s is written by root alone", e.managedDir())
		r.Forbidden = true
		return r
	case scope == ScopeManaged:
		return nil
	case e.UID == 0 && e.SudoUser != "" && e.SudoUser != "root":
		return refuse(e.Home, "run it without sudo, as "+e.SudoUser+"; `--managed` is what takes root",
			"OpenCode's files belong to %s, and with sudo they would be root's", e.SudoUser)
	case e.Home == "":
		return refuse("", "set HOME to your home directory", "HOME is not set, so it is not known where your files are")
	case !filepath.IsAbs(e.Home):
		return refuse(e.Home, "set HOME to your home directory", "HOME is %q, which is no absolute path", e.Home)
	case !isDirectory(e.Home):
		return refuse(e.Home, "set HOME to your home directory", "HOME is %s, which is not there", e.Home)
	case e.ConfigHome != "" && !filepath.IsAbs(e.ConfigHome):
		return refuse(e.ConfigHome, "set XDG_CONFIG_HOME to an absolute path, or unset it",
			"XDG_CONFIG_HOME is %q, which is no absolute path: OpenCode would look for its files below whatever directory it is started in", e.ConfigHome)
	case scope == ScopeProject && !filepath.IsAbs(e.Dir):
		return refuse(e.Dir, "change into the project's directory", "the working directory is not known")
	case scope == ScopeProject && filepath.Clean(e.Dir) == filepath.Clean(e.Home):
		return refuse(e.Dir, "change into the project's directory, or leave `--project` out", "the working directory is your home, which is no project")
	}
	return nil
}

func isDirectory(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// choose finds Config among own: where Apply wrote before, else where nobody has a file.
func (p *Place) choose() error {
	p.Config = p.own[0]
	free := ""
	for _, file := range p.own {
		if found, err := p.chosen(file); err != nil || found {
			p.foreign = nil
			return err
		}
		// A link that leads nowhere is somebody's file as well.
		switch _, err := os.Lstat(file); {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
			free = cmp.Or(free, file)
		case err == nil:
			p.foreign = append(p.foreign, file)
		}
	}
	if free != "" {
		p.Config, p.foreign = free, nil
	}
	return nil
}

// chosen tells whether Apply wrote this file before, or what it leads to: who has once named the file behind a link need not do
// so each time.
func (p *Place) chosen(file string) (bool, error) {
	r, err := readRecord(p.state, file)
	if err != nil {
		return false, err
	}
	if r != nil {
		p.Config = file
		return true, nil
	}
	real, err := followLinks(file)
	if err != nil || real == file {
		return false, nil // Look says what is wrong with a link
	}
	if r, err = readRecord(p.state, real); r != nil && r.Named {
		p.Config, p.named, p.own = real, true, append(p.own, real)
		return true, err
	}
	return false, err
}

// path is where a kind of file goes; "" when this place has none of it.
func (p Place) path(k Kind) string {
	switch {
	case k == KindOMO:
		return p.OMO
	case k == KindManaged && p.Scope == ScopeManaged, k == KindConfig && p.Scope != ScopeManaged:
		return p.Config
	}
	return ""
}

// Concerns tells whether a finding of a plan is about what is written here: the managed file says nothing of any tier's sizes.
func (p Place) Concerns(f Finding) bool { return p.Scope != ScopeManaged || f.Tier == "" }

// Variable is the setting without which OpenCode does not find the configuration; "" when it needs none.
func (p Place) Variable() string {
	if !p.named {
		return ""
	}
	for _, file := range p.merged {
		if real, err := followLinks(file); err == nil && real == p.Config {
			return ""
		}
	}
	return "OPENCODE_CONFIG=" + p.Config
}

func filesIn(dir string, names []string) []string {
	files := make([]string, len(names))
	for i, name := range names {
		files[i] = filepath.Join(dir, name)
	}
	return files
}

// followLinks resolves the links in a path whose end need not be there.
func followLinks(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		return real, nil
	}
	if info, e := os.Lstat(path); e == nil && info.Mode()&fs.ModeSymlink != 0 {
		return "", refuse(path, "remove the link, or make what it leads to", "%s is a link that leads nowhere: %v", path, err)
	}
	if !errors.Is(err, fs.ErrNotExist) || path == filepath.Dir(path) {
		return "", refuse(path, "", "cannot find the way to %s: %v", path, err)
	}
	dir, err := followLinks(filepath.Dir(path))
	return filepath.Join(dir, filepath.Base(path)), err
}

// linkAbove returns the first directory below base on the way to path that is a link; "" when there is none.
func linkAbove(base, path string) string {
	inside, err := filepath.Rel(base, filepath.Dir(path))
	if err != nil || !filepath.IsLocal(inside) {
		return ""
	}
	dir := base
	for _, part := range strings.Split(inside, string(filepath.Separator)) {
		dir = filepath.Join(dir, part)
		if info, err := os.Lstat(dir); err == nil && dir != filepath.Clean(base) && info.Mode()&fs.ModeSymlink != 0 {
			return dir
		}
	}
	return ""
}
