package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/tierd/tierd/agent/hub"
	"github.com/tierd/tierd/units"
)

// pullConfig is tiers.toml; nil when there is none and nothing has to be known of it.
func pullConfig(o pullOptions, args []string) (*units.Config, error) {
	if len(args) == 0 && len(o.tiers) == 0 && !o.all {
		return nil, &failure{status: exitUsage, message: "pull what? Name a model, a tier with --tier, or --all", hint: "tierctl pull --help"}
	}
	config, faults, err := readConfig(o.config)
	if errors.Is(err, fs.ErrNotExist) && o.into != "" && len(o.tiers) == 0 && !o.all {
		return nil, nil
	}
	if err != nil {
		return nil, &failure{status: exitFailed, message: err.Error(), hint: "name the models, and the folder with --into"}
	}
	if config == nil {
		return nil, &failure{status: exitFailed, message: fmt.Sprintf("%s cannot be used: %s", o.config, count(errorCount(faults), "fault")), hint: "tierctl check " + o.config}
	}
	return config, nil
}

// pullNames are the models to fetch: those that are named, whether they are there or not, and those of tiers that are not
// there. left says which of the latter no hub can have; the others are fetched all the same.
func pullNames(o pullOptions, args []string, config *units.Config) (names []hub.Name, left []error, err error) {
	texts := slices.Clone(args)
	if len(o.tiers) > 0 || o.all {
		absent, err := absentModels(o, config)
		if err != nil {
			return nil, nil, err
		}
		texts = append(texts, absent...)
	}
	for i, text := range texts {
		n, err := hub.ParseName(text)
		switch {
		case err != nil && i < len(args):
			return nil, nil, &failure{status: exitUsage, message: err.Error(), hint: "tierctl pull --help"}
		case err != nil:
			left = append(left, &failure{status: exitFailed, message: "cannot fetch what a tier lacks: " + err.Error(),
				hint: "put it there by hand, or write ORG/NAME/FILE.gguf in `model` of tiers.toml"})
		case !slices.Contains(names, n):
			names = append(names, n)
		}
	}
	return names, left, nil
}

// absentModels are those of the tiers that are asked for, as far as they are not there.
func absentModels(o pullOptions, config *units.Config) ([]string, error) {
	var texts []string
	found := map[string]bool{}
	for _, m := range config.LocalModels(os.DirFS("/")) {
		wanted := o.all
		for _, user := range m.Users {
			tier, _, _ := strings.Cut(user, "/")
			for _, asked := range o.tiers {
				if asked == user || asked == tier {
					wanted, found[asked] = true, true
				}
			}
		}
		if wanted && m.Missing != "" {
			texts = append(texts, m.Name)
		}
	}
	for _, asked := range o.tiers {
		if !found[asked] {
			return nil, noLocalModel(asked, config)
		}
	}
	return texts, nil
}

// noLocalModel tells a tier that is not there from one that a server elsewhere serves.
func noLocalModel(asked string, config *units.Config) error {
	tier, variant, _ := strings.Cut(asked, "/")
	t, ok := config.Tier(tier)
	if !ok {
		return missing(fmt.Sprintf("there is no tier %q", tier), tier, configTiers(config))
	}
	if _, ok := t.Variant(variant); !ok {
		var names []string
		for _, v := range t.Variants {
			names = append(names, v.Name)
		}
		return missing(fmt.Sprintf("tier %q has no variant %q", tier, variant), variant, names)
	}
	return &failure{status: exitUsage, message: fmt.Sprintf("%s has no model on this machine: a server elsewhere has it", asked)}
}

// pullFolder is the model folder that is written to.
func pullFolder(o pullOptions, config *units.Config) (*hub.Folder, error) {
	if o.into != "" {
		f, err := hub.OpenFolder(o.into)
		if err != nil {
			return nil, &failure{status: exitFailed, message: "cannot use the folder: " + err.Error(), hint: "make it first: mkdir -p " + o.into}
		}
		return f, unwritable(f)
	}
	var refused []string
	for _, dir := range config.Host.Models {
		f, err := hub.OpenFolder(dir)
		if err != nil {
			refused = append(refused, err.Error())
			continue
		}
		if err := unwritable(f); err == nil {
			return f, nil
		}
		f.Close()
		refused = append(refused, dir+": permission denied")
	}
	if len(refused) == 0 {
		return nil, &failure{status: exitFailed, message: "`models` in [host] names no folder", hint: "--into DIR"}
	}
	return nil, &failure{
		status:  exitForbidden,
		message: fmt.Sprintf("%s cannot write to a model folder (%s)", userName(), strings.Join(refused, "; ")),
		hint:    "use sudo, or --into a folder of yours that `models` in [host] names; sudo mkdir -p makes one that is not there",
	}
}

// unwritable asks the kernel, which knows more than the mode: a read-only disk, access lists, root.
func unwritable(f *hub.Folder) error {
	if err := unix.Access(f.Path, unix.W_OK|unix.X_OK); err != nil {
		return &failure{status: exitForbidden, message: fmt.Sprintf("cannot write to %s: %v", f.Path, err), hint: "use sudo, or another folder"}
	}
	return nil
}

// usersOf are the variants that load one of the models.
func usersOf(config *units.Config, models []string) []string {
	users := []string{}
	if config == nil {
		return users
	}
	for _, m := range config.LocalModels(os.DirFS("/")) {
		if slices.Contains(models, m.Name) {
			users = append(users, m.Users...)
		}
	}
	return users
}

// inModelFolders tells whether tierd looks for models in a folder.
func inModelFolders(config *units.Config, folder string) bool {
	return config != nil && slices.ContainsFunc(config.Host.Models, func(dir string) bool { return filepath.Clean(dir) == folder })
}

// completePull offers the models of tiers.toml.
func (a *app) completePull(o *pullOptions) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		config, _, _ := readConfig(o.config)
		if config == nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var out []cobra.Completion
		for _, m := range config.LocalModels(os.DirFS("/")) {
			if _, err := hub.ParseName(m.Name); err != nil || slices.Contains(args, m.Name) {
				continue
			}
			state := "there"
			if m.Missing != "" {
				state = "missing"
			}
			out = append(out, cobra.CompletionWithDesc(m.Name, list(m.Users)+", "+state))
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// checkRoom compares what has to come with what the disk has.
func checkRoom(folder *hub.Folder, missing, here int64) error {
	free, reserve, err := folder.Room()
	if err != nil || missing-here <= max(free-reserve, 0) {
		return err
	}
	size := func(n int64) units.Bytes { return units.Bytes(max(n, 0)) }
	sum := size(missing).String() + " are missing"
	if here > 0 {
		sum += fmt.Sprintf(", %s of that came before", size(here))
	}
	return &failure{
		status: exitFailed,
		message: fmt.Sprintf("not enough room in %s: %s, %s are free, and %s stay free for the rest of the system: %s too little",
			folder.Path, sum, size(free), size(reserve), size(missing-here-max(free-reserve, 0))),
		hint: "make room, or --into a folder on another disk",
	}
}
