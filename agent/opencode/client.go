package opencode

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Client is an OpenCode that is installed on this machine.
type Client struct {
	Path    string // of the program
	Version string // as it calls itself: "1.18.33"
	Major   int    // 0: what it calls itself is no version

	env Env
}

// ErrNoClient tells that no OpenCode was found. Whatever does not ask the client works without one.
var ErrNoClient = errors.New("OpenCode is not installed: there is no program `opencode` on PATH, and none where its installers put it")

// program is the client's command, of OpenCode 1 and 2 alike.
const program = "opencode"

// Bounds of a run of the client. It takes a second or two; with a plugin 14 s, and more where it waits for a registry.
const (
	versionTime = 20 * time.Second
	askTimeout  = 2 * time.Minute
)

// installed are the directories, beneath a home, where installers put the program without being on every PATH: opencode.ai/install,
// bun, npm with a prefix of one's own.
var installed = []string{".opencode/bin", ".bun/bin", ".local/bin", ".npm-global/bin", "bin"}

// FindClient finds the OpenCode that a shell with this environment would start, else the one of an installer, and asks for its
// version. ErrNoClient when there is none.
func FindClient(ctx context.Context, e Env) (Client, error) {
	path := e.Program()
	if path == "" {
		return Client{}, ErrNoClient
	}
	c := Client{Path: path, env: e}
	out, err := c.run(ctx, versionTime, "--version")
	if err != nil {
		return c, err
	}
	c.Version, c.Major = parseVersion(out)
	return c, nil
}

// Program is the client that FindClient would ask, without running it; "" when there is none.
func (e Env) Program() string {
	dirs := filepath.SplitList(e.variable("PATH"))
	for _, dir := range installed {
		dirs = append(dirs, filepath.Join(e.Home, dir))
	}
	for _, dir := range dirs {
		if !filepath.IsAbs(dir) {
			continue // as exec.LookPath has it: what lies in a project is not to be run
		}
		path := filepath.Join(dir, program)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
			return path
		}
	}
	return ""
}

// variable is one of the environment; "" when it is not set.
func (e Env) variable(name string) string {
	for _, v := range slices.Backward(e.Environ) {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}

var versionForm = regexp.MustCompile(`(?m)^\s*(?:opencode )?v?((\d{1,6})\.\d+\.\d+\S*)\s*$`)

// parseVersion reads what --version prints: its first line that is a version, else its first line whatever it is.
func parseVersion(out []byte) (version string, major int) {
	if m := versionForm.FindSubmatch(out); m != nil {
		major, _ = strconv.Atoi(string(m[2]))
		return string(m[1]), major
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return strings.TrimSpace(first), 0
}

// DebugConfig is the configuration as the client has put it together from all of its files. Keys that it does not know are
// missing there, defaults are added, and each apiKey is masked.
func (c Client) DebugConfig(ctx context.Context) (map[string]any, error) {
	out, err := c.run(ctx, askTimeout, "debug", "config")
	if err != nil {
		return nil, err
	}
	tree, err := parseTree(out)
	if err != nil {
		return nil, fmt.Errorf("`%s debug config` printed something else than a configuration: %w", c.Path, err)
	}
	return tree, nil
}

// Models are the models that the client offers, each "provider/model".
func (c Client) Models(ctx context.Context) ([]string, error) {
	out, err := c.run(ctx, askTimeout, "models")
	if err != nil {
		return nil, err
	}
	return parseModels(out), nil
}

// parseTree reads the object that `debug config` prints. A plugin may have written lines of its own before it.
func parseTree(out []byte) (map[string]any, error) {
	text := string(out)
	at := 0
	if !strings.HasPrefix(text, "{") {
		if at = strings.Index(text, "\n{") + 1; at == 0 {
			return nil, errors.New("there is no object in it")
		}
	}
	var tree map[string]any
	d := json.NewDecoder(strings.NewReader(text[at:]))
	d.UseNumber() // a number is compared as it is written
	if err := d.Decode(&tree); err != nil {
		return nil, err
	}
	return tree, nil
}

var modelForm = regexp.MustCompile(`^[^\s/]+/\S+$`)

// parseModels reads the list that `models` prints, one a line. A line that is no model is a plugin's.
func parseModels(out []byte) []string {
	var models []string
	for line := range strings.Lines(string(out)) {
		if line = strings.TrimSpace(line); modelForm.MatchString(line) {
			models = append(models, line)
		}
	}
	return models
}

// HasSearch tells whether the client finds ripgrep: on PATH, or where it puts it itself. It has no other way to search files, and
// fetches the program from github.com at the first search; there is no setting against that.
func (c Client) HasSearch() bool {
	dirs := append(filepath.SplitList(c.env.variable("PATH")), filepath.Join(c.env.cacheDir(), "bin"))
	return slices.ContainsFunc(dirs, func(dir string) bool {
		info, err := os.Stat(filepath.Join(dir, "rg"))
		return err == nil && info.Mode()&fs.ModeType == 0
	})
}

// cacheDir is where the client keeps what it has fetched.
func (e Env) cacheDir() string {
	return filepath.Join(absolute(e.variable("XDG_CACHE_HOME"), e.Home, ".cache"), "opencode")
}
