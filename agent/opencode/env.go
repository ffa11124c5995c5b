package opencode

import (
	"cmp"
	"path/filepath"
)

// Env is what OpenCode's files depend on. It is handed in, so that nothing in this package asks the process.
type Env struct {
	Home       string   // HOME
	ConfigHome string   // XDG_CONFIG_HOME; "": ~/.config
	StateHome  string   // XDG_STATE_HOME; "": ~/.local/state
	Config     string   // OPENCODE_CONFIG: one more file, read after the global ones
	ConfigDir  string   // OPENCODE_CONFIG_DIR: one more directory
	Dir        string   // working directory: the project
	Environ    []string // the whole of it, as the client is to have it
	UID        int
	SudoUser   string // SUDO_USER: who became root
	Root       string // where /etc and /var are; "" is "/", another in tests
}

// configDir is the directory of OpenCode's global files. OpenCode takes a relative XDG_CONFIG_HOME from its working directory, which
// fit refuses.
func (e Env) configDir() string {
	return filepath.Join(absolute(e.ConfigHome, e.Home, ".config"), "opencode")
}

// stateDir is where the kept bytes are, of files of the user's and of projects. A variable that is not absolute is ignored, as the
// specification of the base directories has it.
func (e Env) stateDir() string {
	return filepath.Join(absolute(e.StateHome, e.Home, ".local", "state"), "tierd", "opencode")
}

func absolute(dir string, otherwise ...string) string {
	if filepath.IsAbs(dir) {
		return dir
	}
	return filepath.Join(otherwise...)
}

// managedDir is where OpenCode looks for what no user may change.
func (e Env) managedDir() string { return filepath.Join(cmp.Or(e.Root, "/"), "etc", "opencode") }

// managedState is beside tierd's own state: root has no need of a home.
func (e Env) managedState() string {
	return filepath.Join(cmp.Or(e.Root, "/"), "var", "lib", "tierd", "opencode")
}

// resolve makes a path absolute as the working directory has it.
func (e Env) resolve(path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(e.Dir, path)
}
