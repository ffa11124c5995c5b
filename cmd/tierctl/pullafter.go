package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

func (a *app) nothingToPull() error {
	if a.format == formatJSON {
		return a.writeJSON([]pulled{})
	}
	fmt.Fprintln(a.stdout, "nothing to fetch: the models are there.")
	return nil
}

// printPulled writes what came, and what that means for the tiers.
func (a *app) printPulled(ctx context.Context, results []pulled, config *units.Config, folder string) error {
	if a.format == formatJSON {
		return a.writeJSON(results)
	}
	for _, r := range results {
		var size int64
		for _, f := range r.Files {
			size += f.Size
		}
		what := "whole already"
		if r.Fetched > 0 {
			what = units.Bytes(r.Fetched).String() + " fetched"
		}
		fmt.Fprintf(a.stdout, "%s: %s in %s, %s, commit %s\n", list(r.Models), units.Bytes(size), r.Folder, what, r.Commit[:12])
	}
	if !inModelFolders(config, folder) {
		fmt.Fprintf(a.stderr, "hint: tierd does not look into %s: add it to `models` in [host] of tiers.toml, then tierctl reload\n", folder)
		return nil
	}
	a.printLoadable(ctx, results, config)
	return nil
}

// printLoadable says of each variant that loads one of the models whether it can now: in tierd's words where it answers, which
// then looks for the models again, else in those of `tierctl check`.
func (a *app) printLoadable(ctx context.Context, results []pulled, config *units.Config) {
	var users []string
	changed := map[string]bool{}
	for _, r := range results {
		users = append(users, r.Tiers...)
		for _, user := range r.Tiers {
			changed[user] = r.changed
		}
	}
	if len(users) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	c := a.client()
	// A plan makes tierd look for what was missing; what it would do is of no interest here, nor is a file without a mode.
	_, _ = c.Plan(ctx, "")
	status, err := c.Status(ctx)
	if err != nil {
		a.printOffline(users, config)
		return
	}
	for _, user := range users {
		tier, variant, _ := strings.Cut(user, "/")
		t, ok := byName(status.Tiers, tier)
		i := slices.IndexFunc(t.Variants, func(v api.Variant) bool { return v.Name == variant })
		switch {
		case !ok || i < 0:
			fmt.Fprintf(a.stdout, "%s: tierd does not know it yet: tierctl reload\n", user)
		case t.Variants[i].State == api.Blocked:
			fmt.Fprintf(a.stdout, "%s: blocked: %s\n", user, t.Variants[i].Reason)
		case t.Variant == variant && (t.State == api.Ready || t.State == api.Starting):
			text := fmt.Sprintf("%s: %s", user, t.State)
			if changed[user] {
				text += fmt.Sprintf("; tierctl restart %s loads what has changed", tier)
			}
			fmt.Fprintln(a.stdout, text)
		case t.Variant == variant:
			fmt.Fprintf(a.stdout, "%s: can start: tierctl start %s\n", user, tier)
		default:
			fmt.Fprintf(a.stdout, "%s: can start: tierctl switch %s %s\n", user, tier, variant)
		}
	}
}

// askWithin bounds how long the end of a pull waits for tierd.
const askWithin = 10 * time.Second

// printOffline is for a host on which tierd does not run.
func (a *app) printOffline(users []string, config *units.Config) {
	models := config.LocalModels(os.DirFS("/"))
	for _, user := range users {
		i := slices.IndexFunc(models, func(m units.LocalModel) bool { return slices.Contains(m.Users, user) })
		if i >= 0 && models[i].Missing != "" {
			fmt.Fprintf(a.stdout, "%s: %s\n", user, models[i].Missing)
		} else {
			fmt.Fprintf(a.stdout, "%s: its model is there\n", user)
		}
	}
	fmt.Fprintln(a.stderr, "hint: tierd does not answer; tierctl check says whether anything else is missing")
}
