package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

// suggestTier adds the nearest tier's name to a "not found" that came without a hint. The names are asked for only
// then, so a right command costs one round trip.
func suggestTier(ctx context.Context, c control, tier string, err error) error {
	if !isKind(err, api.KindNotFound) {
		return err
	}
	status, statusErr := c.Status(ctx)
	if statusErr != nil {
		return err
	}
	return noTier(status.Tiers, tier)
}

func suggestMode(ctx context.Context, c control, mode string, err error) error {
	if !isKind(err, api.KindNotFound) {
		return err
	}
	modes, modesErr := c.Modes(ctx)
	if modesErr != nil {
		return err
	}
	return missing(fmt.Sprintf("there is no mode %q", mode), mode, modeNames(modes))
}

func suggestVariant(ctx context.Context, c control, tier, variant string, err error) error {
	if !isKind(err, api.KindNotFound) {
		return err
	}
	status, statusErr := c.Status(ctx)
	if statusErr != nil {
		return err
	}
	t, ok := byName(status.Tiers, tier)
	if !ok {
		return noTier(status.Tiers, tier)
	}
	return missing(fmt.Sprintf("tier %q has no variant %q", tier, variant), variant, variantNames(t))
}

// onlyKnown picks the named tiers in the order asked for; no names pick all. Every unknown name is an error of its own.
func onlyKnown(tiers []api.Tier, names []string) ([]api.Tier, error) {
	if len(names) == 0 {
		return tiers, nil
	}
	var picked []api.Tier
	var failed []error
	for _, n := range names {
		if t, ok := byName(tiers, n); ok {
			picked = append(picked, t)
		} else {
			failed = append(failed, noTier(tiers, n))
		}
	}
	return picked, errors.Join(failed...)
}

func noTier(tiers []api.Tier, name string) error {
	return missing(fmt.Sprintf("there is no tier %q", name), name, tierNames(tiers))
}

// missing is the error for a name that nothing has; it offers the nearest one, or all there are.
func missing(message, name string, known []string) error {
	f := &failure{status: exitUsage, message: message}
	switch near := nearest(name, known); {
	case near != "":
		f.hint = fmt.Sprintf("did you mean %q? There are: %s", near, list(known))
	case len(known) > 0:
		f.hint = "there are: " + list(known)
	default:
		f.hint = "tiers.toml defines none"
	}
	return f
}

// nearest is the known name with the fewest edits from name, if they are few enough to be a slip of the hand.
func nearest(name string, known []string) string {
	best, fewest := "", len(name)/3+2
	for _, k := range known {
		if d := units.Distance(name, k); d < fewest {
			best, fewest = k, d
		}
	}
	return best
}

func byName(tiers []api.Tier, name string) (api.Tier, bool) {
	for _, t := range tiers {
		if t.Name == name {
			return t, true
		}
	}
	return api.Tier{}, false
}

func tierNames(tiers []api.Tier) []string {
	names := make([]string, len(tiers))
	for i, t := range tiers {
		names[i] = t.Name
	}
	return names
}

func variantNames(t api.Tier) []string {
	names := make([]string, len(t.Variants))
	for i, v := range t.Variants {
		names[i] = v.Name
	}
	return names
}

func modeNames(modes []api.Mode) []string {
	names := make([]string, len(modes))
	for i, m := range modes {
		names[i] = m.Name
	}
	return names
}
