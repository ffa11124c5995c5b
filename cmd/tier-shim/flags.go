package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// preference is flags of which an engine knows one, depending on its version: the first it knows is used.
type preference [][]string

// parsePreference reads '--load-mode mmap|--no-mmap|': alternatives, each with a value behind a blank. An empty
// alternative, or none that the engine knows, leaves the flag out.
func parsePreference(text string) preference {
	var p preference
	for alternative := range strings.SplitSeq(text, "|") {
		alternative = strings.TrimSpace(alternative)
		flag, value, _ := strings.Cut(alternative, " ")
		switch value = strings.TrimSpace(value); {
		case flag == "":
			return append(p, nil)
		case value == "":
			p = append(p, []string{flag})
		default:
			p = append(p, []string{flag, value})
		}
	}
	return p
}

// choose returns the words to append to argv.
func (p preference) choose(known map[string]bool) []string {
	for _, words := range p {
		if len(words) == 0 {
			return nil
		}
		name, _, _ := strings.Cut(words[0], "=")
		if known[name] {
			return words
		}
	}
	return nil
}

// Bounds of one look at an engine's help: vLLM's takes 9 to 19 s of imports, llama-server's 60 KB is the longest.
const (
	helpTime  = 2 * time.Minute
	helpBytes = 4 << 20
)

// preferred returns argv with the preferred flags behind it. An engine whose help cannot be had gets none of them: the
// journal says so, and the engine starts with its own defaults.
func (s *shim) preferred(ctx context.Context) []string {
	if len(s.opts.prefer) == 0 {
		return s.opts.argv
	}
	ask := helpCommand(s.opts.engine, s.opts.argv)
	cache := newFlagCache(s.env, ask)
	known := cache.load()
	if known == nil {
		s.status("Reading the engine's flags (once for each version)")
		s.note.extend(helpTime + 10*time.Second)
		text, err := readHelp(ctx, s.opts.oomScore, ask, s.env)
		if known = parseHelp(text); err != nil || len(known) == 0 {
			if ctx.Err() == nil {
				s.say("cannot read the flags of %s, so it gets none that depend on its version: %v", ask[0], err)
			}
			return s.opts.argv
		}
		if err := cache.store(known); err != nil {
			s.say("cannot keep the flags of %s: %v", ask[0], err)
		}
	}
	argv := slices.Clone(s.opts.argv)
	for _, p := range s.opts.prefer {
		argv = append(argv, p.choose(known)...)
	}
	return argv
}

// helpCommand returns the command that prints every flag. vLLM's is that of its subcommand, and --help alone shows groups.
func helpCommand(engine string, argv []string) []string {
	if i := slices.Index(argv, "serve"); engine == "vllm" && i > 0 {
		return append(slices.Clone(argv[:i+1]), "--help=all")
	}
	words := slices.IndexFunc(argv, func(word string) bool { return strings.HasPrefix(word, "-") })
	if words <= 0 {
		words = 1
	}
	if engine == "vllm" {
		return append(slices.Clone(argv[:words]), "--help=all")
	}
	return append(slices.Clone(argv[:words]), "--help")
}

// readHelp runs the command and returns what it printed. It is killed with its children when ctx or the time ends.
func readHelp(ctx context.Context, rank int, command, env []string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, helpTime)
	defer cancel()
	var out bounded
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = append(engineEnv(env), "COLUMNS=200", "NO_COLOR=1")
	cmd.Stdout = &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err := asVictim(rank, cmd.Start) // vLLM's help takes hundreds of MiB
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot run %s: %w", strings.Join(command, " "), plain(err))
	}
	return out.kept, nil
}

// bounded keeps the first helpBytes of what is written to it.
type bounded struct{ kept []byte }

func (b *bounded) Write(p []byte) (int, error) {
	b.kept = append(b.kept, p[:min(len(p), helpBytes-len(b.kept))]...)
	return len(p), nil
}

// parseHelp returns the flags that a help text defines: those at the start of a line, before their description. A flag
// that is only named to say that it has gone is not one.
func parseHelp(text []byte) map[string]bool {
	known := map[string]bool{}
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		if len(line) < 2 || line[0] != '-' || bytes.Contains(line, []byte("has been removed")) {
			continue
		}
		for field := range bytes.FieldsSeq(line) {
			if name := bytes.TrimRight(field, ","); isFlag(name) {
				known[string(name)] = true
			}
		}
	}
	return known
}

func isFlag(name []byte) bool {
	body := bytes.TrimLeft(name, "-")
	if dashes := len(name) - len(body); dashes < 1 || dashes > 2 || len(body) == 0 || len(body) > 64 {
		return false
	}
	return bytes.IndexFunc(body, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.')
	}) < 0
}

// flagCache keeps the flags of one binary in the tier's cache directory, until the file changes.
type flagCache struct {
	path string // "" without a cache directory
	key  string
}

type cachedFlags struct {
	Binary string   `json:"binary"`
	Flags  []string `json:"flags"`
}

// newFlagCache names the entry. A binary that is not there has no key, and so no cache.
func newFlagCache(env, command []string) flagCache {
	dir, _, _ := strings.Cut(lookup(env, "CACHE_DIRECTORY"), ":")
	binary, err := exec.LookPath(command[0])
	if dir == "" || err != nil {
		return flagCache{}
	}
	info, err := os.Stat(binary)
	if err != nil {
		return flagCache{}
	}
	key := fmt.Sprintf("%s %d %d", strings.Join(command, " "), info.Size(), info.ModTime().UnixNano())
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		key += fmt.Sprintf(" %d:%d", stat.Dev, stat.Ino)
	}
	return flagCache{path: filepath.Join(dir, "flags-"+filepath.Base(binary)+".json"), key: key}
}

// load returns nil when nothing is kept, or it is of another binary, or damaged: it can be made again.
func (c flagCache) load() map[string]bool {
	if c.path == "" {
		return nil
	}
	file, err := os.Open(c.path)
	if err != nil {
		return nil
	}
	defer file.Close()
	var kept cachedFlags
	if json.NewDecoder(io.LimitReader(file, helpBytes)).Decode(&kept) != nil || kept.Binary != c.key || len(kept.Flags) == 0 {
		return nil
	}
	known := make(map[string]bool, len(kept.Flags))
	for _, name := range kept.Flags {
		known[name] = true
	}
	return known
}

// store replaces the entry in one step, so that a start beside this one reads the old or the new.
func (c flagCache) store(known map[string]bool) error {
	if c.path == "" {
		return nil
	}
	kept := cachedFlags{Binary: c.key}
	for name := range known {
		kept.Flags = append(kept.Flags, name)
	}
	slices.Sort(kept.Flags)
	text, err := json.Marshal(kept)
	if err != nil {
		return err
	}
	temp := fmt.Sprintf("%s.%d", c.path, os.Getpid())
	if err := os.WriteFile(temp, text, 0o600); err != nil {
		return err
	}
	if err := os.Rename(temp, c.path); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return nil
}
