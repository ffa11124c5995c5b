package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/agent/opencode"
)

func (a *app) opencodeEnvCommand() *cobra.Command {
	var w opencodeWish
	cmd := &cobra.Command{
		Use:   "env",
		Short: "Print the settings with which OpenCode looks nothing up",
		Long: `Print, as lines for a shell to evaluate, the environment with which OpenCode looks up no
name and fetches nothing by itself: neither its list of hosted models, nor updates,
language servers and packages. With oh-my-opencode applied, also what that one needs. With
a configuration in a place of its own (--to), what OpenCode finds it by.

Nothing of this is needed for OpenCode to work with the tiers, and nothing is changed.
Put the line of the example into ~/.profile to have it in every session.`,
		Example: `  eval "$(tierctl opencode env)"
  tierctl opencode env | source          # fish
  tierctl opencode env --format json`,
		Args: takes(0, 0),
		RunE: func(*cobra.Command, []string) error {
			settings, err := a.opencodeSettings(w)
			if err != nil {
				return err
			}
			if a.format == formatJSON {
				all := map[string]string{}
				for _, s := range settings {
					name, value, _ := strings.Cut(s, "=")
					all[name] = value
				}
				return a.writeJSON(all)
			}
			for _, s := range settings {
				fmt.Fprintln(a.stdout, opencode.Export(s))
			}
			return nil
		},
	}
	w.placeFlags(cmd)
	return cmd
}

// opencodeSettings are those for what is in force in a place.
func (a *app) opencodeSettings(w opencodeWish) ([]string, error) {
	p, err := a.opencodePlace(w)
	if err != nil {
		return nil, err
	}
	r, err := opencode.Written(p)
	if err != nil {
		return nil, err
	}
	omo := false
	if r != nil {
		o, err := opencode.Chosen(*r, opencode.Options{})
		if err != nil {
			return nil, err
		}
		omo = o.OMO
	}
	settings := opencode.Variables(omo)
	if v := p.Variable(); v != "" {
		settings = append(settings, v)
	}
	return settings, nil
}
