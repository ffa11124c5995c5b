package main

import (
	"context"
	"fmt"

	"github.com/tierd/tierd/agent/api"
)

// edited says what follows from an edit of tiers.toml that tierd has not read.
func edited(s api.Status) string {
	return fmt.Sprintf("%s has been edited since tierd read it, which changes nothing until: tierctl reload", s.ConfigPath)
}

// warnEdited tells, before something is done by what tiers.toml said, that it says something else by now: who has just edited
// the file expects that to be done.
func (a *app) warnEdited(ctx context.Context, c control) {
	s, err := c.Status(ctx)
	switch {
	case err != nil: // what follows will say why
	case s.ConfigEdited:
		say(a.stderr, 2, warning(edited(s)))
	case s.ConfigError != "":
		say(a.stderr, 2, warning(fmt.Sprintf("%s cannot be used as it is now; what tierd read before stays in force: tierctl check", s.ConfigPath)))
	}
}
