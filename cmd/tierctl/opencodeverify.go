package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/agent/opencode"
)

func (a *app) opencodeVerifyCommand() *cobra.Command {
	var w opencodeWish
	var cold bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Tell whether OpenCode has taken it, and whether each model answers",
		Long: `Look whether what tierctl opencode apply wrote works:

  - OpenCode is asked what it makes of its files. It drops a key that it does not know, and
    follows another file, without a word; here each setting of ours is compared, and the
    file named that overrules it. What is yours to choose is told as a note.
  - The models that it offers have to be the tiers, and none of somebody else's servers.
  - Each model is asked for a word, and to call a tool, at the address and with the key that
    OpenCode uses. Only tiers that are ready are asked; --cold asks all of them, one after
    the other, and has each loaded for it.
  - The file is compared with what apply would write now: after a switch or a change of
    tiers.toml it may have limits that no longer hold.

tierctl writes nothing, and OpenCode, which keeps files of its own from its first start on,
looks no name up. Exit status 3 when something is not as it should be, whatever the notes
say.`,
		Example: `  tierctl opencode verify
  tierctl opencode verify --cold
  tierctl opencode verify --format json | jq '.remarks[] | select(.failed)'`,
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			v, err := a.verifyOpencode(cmd.Context(), w, cold)
			if err != nil {
				return err
			}
			if a.format == formatJSON {
				err = a.writeJSON(v)
			} else {
				a.printVerified(v)
			}
			if err != nil {
				return err
			}
			return v.verdict()
		},
	}
	w.placeFlags(cmd)
	cmd.Flags().BoolVar(&cold, "cold", false, "also ask tiers that are not ready: each is loaded, and others may give way")
	return cmd
}

// verified is what `tierctl opencode verify --format json` prints.
type verified struct {
	Healthy bool              `json:"healthy"`
	Scope   opencode.Scope    `json:"scope"`
	File    string            `json:"file"`
	Client  *verifiedClient   `json:"client,omitempty"`
	Models  []opencode.Asked  `json:"models"`
	Remarks []opencode.Remark `json:"remarks"`
}

type verifiedClient struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	Major   int    `json:"major,omitempty"`
}

func (v *verified) add(r ...opencode.Remark) { v.Remarks = append(v.Remarks, r...) }

func (v *verified) failures() int {
	n := 0
	for _, r := range v.Remarks {
		if r.Failed {
			n++
		}
	}
	return n
}

func (v *verified) verdict() error {
	if v.Healthy {
		return nil
	}
	return &failure{status: exitNotReady, message: "OpenCode is not set up as it should be: " + count(v.failures(), "failure")}
}

func (a *app) verifyOpencode(ctx context.Context, w opencodeWish, cold bool) (*verified, error) {
	p, err := a.opencodePlace(w)
	if err != nil {
		return nil, err
	}
	r, err := opencode.Written(p)
	if err != nil {
		return nil, err
	}
	if r == nil {
		return nil, &failure{
			status: exitNotReady, message: fmt.Sprintf("there is nothing to verify: nothing of ours is in force for the %s configuration", p.Scope),
			hint: "tierctl opencode apply",
		}
	}
	v := &verified{Scope: p.Scope, File: r.Path, Models: []opencode.Asked{}, Remarks: []opencode.Remark{}}
	inForce := a.verifyFiles(v, p)
	if err := a.verifyClient(ctx, v, r); err != nil {
		return nil, err
	}
	if err := a.verifyTiers(ctx, v, r, inForce.Models, cold); err != nil {
		return nil, err
	}
	// The worst first; of one kind in the order in which they were found.
	slices.SortStableFunc(v.Remarks, func(a, b opencode.Remark) int { return cmp.Compare(rankOf(a), rankOf(b)) })
	v.Healthy = v.failures() == 0
	return v, ctx.Err()
}

func rankOf(r opencode.Remark) int {
	if r.Failed {
		return 0
	}
	return 1
}

// verifyFiles tells whether the files are as they were written, and returns what the configuration says now.
func (a *app) verifyFiles(v *verified, p opencode.Place) (config opencode.InForce) {
	files, err := opencode.Show(p)
	if err != nil {
		v.add(opencode.Remark{Failed: true, Text: err.Error()})
	}
	for _, f := range files {
		if f.Path != p.Config && f.Path != p.OMO {
			continue
		}
		if f.Path == p.Config {
			config = f
		}
		switch {
		case f.Fault != nil:
			v.add(opencode.Remark{Failed: true, Text: f.Fault.Error(), Hint: "tierctl opencode undo shows what was edited; apply --force writes it anew"})
		case f.State == opencode.Gone:
			v.add(opencode.Remark{Failed: true, Text: f.Path + " is gone", Hint: "tierctl opencode apply writes it again, tierctl opencode undo forgets it"})
		case f.State == opencode.Edited:
			v.add(opencode.Remark{Text: f.Path + " has been edited since it was written", Hint: "tierctl opencode undo shows what; your own settings belong in opencode.jsonc"})
		}
	}
	return config
}

// verifyClient asks OpenCode what it makes of the file.
func (a *app) verifyClient(ctx context.Context, v *verified, r *opencode.Record) error {
	env := a.opencodeEnv()
	if env.UID == 0 && env.SudoUser != "" && env.SudoUser != "root" {
		v.add(opencode.Remark{
			Text: "OpenCode is not asked as root, whose files it would leave in " + env.Home, Hint: "tierctl opencode verify, without sudo",
		})
		return nil
	}
	fmt.Fprintln(a.stderr, "Asking OpenCode what it makes of its files, which takes some seconds.")
	c, err := opencode.FindClient(ctx, env)
	if errors.Is(err, context.Canceled) {
		return err
	}
	if errors.Is(err, opencode.ErrNoClient) {
		v.add(opencode.Remark{Failed: true, Text: err.Error(), Hint: "npm install -g opencode-ai, or see opencode.ai"})
		return nil
	}
	if c.Path != "" {
		v.Client = &verifiedClient{c.Path, c.Version, c.Major}
	}
	var found []opencode.Remark
	if err == nil {
		var data []byte
		if data, err = os.ReadFile(r.Path); errors.Is(err, os.ErrNotExist) {
			return nil // which has been said
		}
		if err == nil {
			found, err = opencode.Verify(ctx, c, r.Path, data)
		}
	}
	if err != nil {
		found = []opencode.Remark{unasked(c, err)}
	}
	v.add(otherVersion(c, r)...)
	v.add(found...)
	return nil
}

// verifyTiers compares the file with what would be written now, and asks the models.
func (a *app) verifyTiers(ctx context.Context, v *verified, r *opencode.Record, models []opencode.Model, cold bool) error {
	status, config, err := a.opencodeSource(ctx, "")
	if err != nil {
		return err
	}
	base := opencode.OptionsFor(config)
	o, err := opencode.Chosen(*r, base)
	if err != nil {
		return err
	}
	key := ""
	if o.KeyFile != "" {
		if _, key, err = readKeyFile(o.KeyFile); err != nil {
			message, hint := describe(err)
			v.add(opencode.Remark{Failed: true, Text: message, Hint: hint})
		}
	}
	tiers, told := liveTiers(ctx, config, status, o, key)
	for _, f := range told {
		v.add(opencode.Remark{Tier: f.Tier, Text: f.Text, Hint: f.Hint})
	}
	drift, err := opencode.DriftOf(*r, tiers, base)
	if err != nil {
		return err
	}
	if drift.Needed() {
		v.add(opencode.Remark{Failed: drift.Breaks(), Text: drift.File + " is not what it would be now: " + drift.Words(), Hint: drift.Remedy})
	}
	v.Models = a.askModels(ctx, models, tiers, status, key, cold)
	for _, m := range v.Models {
		v.add(m.Remarks...)
	}
	return nil
}
