package main

import (
	"crypto/rand"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/units"
)

// newKey is what `tierctl key --format json` prints.
type newKey struct {
	Name   string   `json:"name"`
	Key    string   `json:"key"`
	SHA256 string   `json:"sha256"`
	Scopes []string `json:"scopes"`
	Tiers  []string `json:"tiers,omitempty"`
}

func (a *app) keyCommand() *cobra.Command {
	k := units.Key{}
	cmd := &cobra.Command{
		Use:   "key NAME",
		Short: "Make a key for clients of the gateway",
		Long: `Make a key of 130 random bits, print it on standard output, and print on standard error
the lines for [gateway] in tiers.toml that let it in. They hold the key's hash: the key
itself is stored nowhere and cannot be shown again. Nothing is changed: add the lines,
and have tierd read the file with tierctl reload. Removing them takes the key back.

NAME says whose key it is. As soon as tiers.toml has a key, every client needs one.`,
		Example: `  tierctl key laptop
  tierctl key grafana --scope metrics
  tierctl key ide --tier coder --tier utility`,
		Args: takes(1, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			k.Name = args[0]
			return a.makeKey(k)
		},
	}
	cmd.Flags().StringArrayVar(&k.Scopes, "scope", []string{units.ScopeModels}, "what it opens: models or metrics; several times for both")
	cmd.Flags().StringArrayVar(&k.Tiers, "tier", nil, "a tier that it opens, several times for more; all if left out")
	_ = cmd.RegisterFlagCompletionFunc("scope", cobra.FixedCompletions([]string{units.ScopeModels, units.ScopeMetrics}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("tier", a.completeTiers)
	return cmd
}

func (a *app) makeKey(k units.Key) error {
	secret := units.KeyPrefix + strings.ToLower(rand.Text())
	k.SHA256 = units.HashKey(secret)
	if err := k.Check(); err != nil {
		return &failure{status: exitUsage, message: err.Error(), hint: "tierctl key --help"}
	}
	if config, _, err := readConfig(filepath.Join(a.root, configFile)); err == nil && config != nil {
		for _, tier := range k.Tiers {
			if _, ok := config.Tier(tier); !ok {
				return missing(fmt.Sprintf("there is no tier %q", tier), tier, configTiers(config))
			}
		}
	} // elsewhere than on the host of the tiers nobody can tell
	if a.format == formatJSON {
		return a.writeJSON(newKey{Name: k.Name, Key: secret, SHA256: k.SHA256, Scopes: k.Scopes, Tiers: k.Tiers})
	}
	if _, err := fmt.Fprintln(a.stdout, secret); err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "This key is shown once. To let it in, add to %s, and then: tierctl reload\n\n%s", configFile, k.Table())
	return nil
}
