package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/opencode"
	"github.com/tierd/tierd/units"
)

func (a *app) opencodeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "opencode",
		Short: "Set OpenCode up for the tiers, and take it back",
		Long: `Write OpenCode's configuration for the tiers: a provider and a model for each, with the
limits that it really serves, and an agent for each role. It goes into a file of its own,
~/.config/opencode/opencode.json, which OpenCode merges beneath opencode.jsonc: your own
file is never touched and wins. If you have an opencode.json, it is config.json, which is
beneath both.

What is there is kept before anything is written, and undo brings it back: each byte, each
mode, and the absence of files and directories. All files are written, or none.

With tierd running the tiers are taken as they are now, else as tiers.toml says.`,
		Example: `  tierctl opencode plan       what would be written, as a diff
  tierctl opencode apply      the same, then ask and write
  tierctl opencode verify     whether OpenCode has taken it, and each model answers
  tierctl opencode undo       as it was before`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.opencodePlanCommand(), a.opencodeApplyCommand(), a.opencodeVerifyCommand(), a.opencodeUndoCommand(), a.opencodeShowCommand(), a.opencodeEnvCommand())
	return cmd
}

// opencodeWish is what the command line says of OpenCode's configuration.
type opencodeWish struct {
	project, managed bool
	to               string

	gateway, omo    bool
	keyFile, config string
}

// placeFlags adds the flags that say where the files are.
func (w *opencodeWish) placeFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&w.project, "project", false, "for this directory: .opencode/opencode.json, which wins over yours")
	cmd.Flags().BoolVar(&w.managed, "managed", false, "for all users, as root: /etc/opencode/opencode.json, without models")
	cmd.Flags().StringVar(&w.to, "to", "", "the configuration goes to this file; links are followed")
}

// planFlags adds the flags that say what is in the files.
func (w *opencodeWish) planFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&w.gateway, "gateway", false, "all tiers by the gateway's one port, instead of a port each")
	cmd.Flags().BoolVar(&w.omo, "with-omo", false, "oh-my-opencode as well, for OpenCode 1")
	cmd.Flags().StringVar(&w.keyFile, "key-file", "", "a file with the key that the gateway wants; the configuration names the\nfile, not the key")
	cmd.Flags().StringVar(&w.config, "config", "", "plan with this tiers.toml, without tierd")
	_ = cmd.MarkFlagFilename("config", "toml")
	_ = cmd.MarkFlagFilename("key-file")
}

func (w *opencodeWish) scope() opencode.Scope {
	switch {
	case w.managed:
		return opencode.ScopeManaged
	case w.project:
		return opencode.ScopeProject
	}
	return opencode.ScopeUser
}

// opencodeEnv is what OpenCode's files depend on, as this process has it.
func (a *app) opencodeEnv() opencode.Env {
	dir, _ := os.Getwd() // one that is gone is not known
	return opencode.Env{
		Home: os.Getenv("HOME"), ConfigHome: os.Getenv("XDG_CONFIG_HOME"), StateHome: os.Getenv("XDG_STATE_HOME"),
		Config: os.Getenv("OPENCODE_CONFIG"), ConfigDir: os.Getenv("OPENCODE_CONFIG_DIR"),
		Environ: os.Environ(), Dir: dir, UID: os.Getuid(), SudoUser: os.Getenv("SUDO_USER"), Root: a.root,
	}
}

func (a *app) opencodePlace(w opencodeWish) (opencode.Place, error) {
	if w.managed && (w.project || w.to != "") {
		return opencode.Place{}, &failure{status: exitUsage, message: "--managed has its one place: it takes neither --project nor --to"}
	}
	if w.to != "" {
		p, err := opencode.PlaceAt(w.scope(), w.to, a.opencodeEnv())
		return p, notYours(err)
	}
	p, err := opencode.Places(w.scope(), a.opencodeEnv())
	return p, notYours(err)
}

// opencodePlan makes the plan for a place: from the tiers as they are now where tierd answers and no file is named, else from
// tiers.toml. A tier that is down has the context that its engine was seen to serve when this place was written.
func (a *app) opencodePlan(ctx context.Context, w opencodeWish, p opencode.Place) (opencode.Plan, error) {
	status, config, err := a.opencodeSource(ctx, w.config)
	if err != nil {
		return opencode.Plan{}, err
	}
	o := opencode.OptionsFor(config)
	o.Gateway, o.OMO = w.gateway, w.omo
	key := ""
	if w.keyFile != "" {
		if o.KeyFile, key, err = readKeyFile(w.keyFile); err != nil {
			return opencode.Plan{}, err
		}
	}
	if o.OMO {
		if c, err := opencode.FindClient(ctx, a.opencodeEnv()); err == nil { // without one it is not known, which is a finding
			o.Major = c.Major
		}
	}
	tiers, told := liveTiers(ctx, config, status, o, key)
	r, err := opencode.Written(p)
	if err == nil {
		tiers, err = opencode.Remembered(tiers, r)
	}
	if err != nil {
		return opencode.Plan{}, err
	}
	plan := opencode.MakePlan(tiers, o)
	plan.Findings = slices.Concat(openKey(w.keyFile, o.KeyFile), told, plan.Findings)
	return plan, nil
}

// liveTiers are the tiers as their running engines say, and what they did not say. Without a status nobody is asked.
func liveTiers(ctx context.Context, config *units.Config, status *api.Status, o opencode.Options, key string) ([]opencode.Tier, []opencode.Finding) {
	tiers := opencode.Tiers(config, status, nil)
	if status == nil || o.Port == 0 || o.Keys && key == "" { // without a key each would refuse
		return tiers, nil
	}
	live, told := opencode.Ask(ctx, &http.Transport{}, config.Gateway.URL(o.Port), key, tiers) // a proxy would be elsewhere
	return opencode.Tiers(config, status, live), told
}

// opencodeSource reads tiers.toml, and asks tierd unless a file is named. The status is nil when tierd does not answer.
func (a *app) opencodeSource(ctx context.Context, file string) (*api.Status, *units.Config, error) {
	var status *api.Status
	if file == "" {
		file = configFile
		s, err := a.client().Status(ctx)
		if errors.Is(err, context.Canceled) {
			return nil, nil, err
		}
		if err == nil {
			status = &s
			if s.ConfigPath != "" {
				file = s.ConfigPath
			}
		} else {
			fmt.Fprintf(a.stderr, "tierd does not answer: what %s says is taken for what the tiers serve.\n", file)
		}
	}
	config, faults, err := readConfig(file)
	switch {
	case err != nil:
		return nil, nil, err
	case config == nil:
		return nil, nil, planError(file, faults)
	}
	return status, config, nil
}

// maxKeyFile is ample for a key and a newline.
const maxKeyFile = 4 << 10

// openKey warns of a key that others can read: with it they are let in by the gateway as this user.
func openKey(name, path string) []opencode.Finding {
	info, err := os.Stat(path)
	if name == "" || err != nil || info.Mode().Perm()&0o044 == 0 {
		return nil
	}
	return []opencode.Finding{{Text: "other users can read the key in " + path, Hint: "chmod 600 " + name}}
}

// keyHint makes a key's file that only its user may read.
func keyHint(name string) string { return "(umask 077; tierctl key opencode > " + name + ")" }

// readKeyFile returns the absolute path and the key: OpenCode reads the file at each start, from whatever directory.
func readKeyFile(name string) (path, key string, err error) {
	path, err = filepath.Abs(name)
	if err != nil {
		return "", "", fmt.Errorf("cannot find the key's file: %w", err)
	}
	file, err := os.Open(path)
	if err != nil {
		return "", "", &failure{status: exitFailed, message: fmt.Sprintf("cannot read the key: %v", err), hint: keyHint(name)}
	}
	defer file.Close()
	src, err := io.ReadAll(io.LimitReader(file, maxKeyFile))
	if err != nil {
		return "", "", fmt.Errorf("cannot read the key: %w", err)
	}
	key = strings.TrimSpace(string(src))
	if key == "" || strings.ContainsAny(key, " \t\r\n") {
		return "", "", &failure{status: exitFailed, message: path + " does not hold one key, and nothing else", hint: keyHint(name)}
	}
	return path, key, nil
}
