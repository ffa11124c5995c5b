package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tierd/tierd/packaging/guardbench/trial"
)

// plan is a list of runs, in their order.
type plan []trial.Run

// newPlan lists all runs: guards follow each other within seconds on one scenario, in another order each round, since the
// machine's speed drifts. No names are all names.
func newPlan(scenarios, guards []string, rounds int) (plan, error) {
	var keys []string
	for _, s := range trial.Scenarios {
		keys = append(keys, s.Key)
	}
	scenarios, err := pick("scenario", scenarios, keys)
	if err != nil {
		return nil, err
	}
	if guards, err = pick("guard", guards, trial.Guards); err != nil {
		return nil, err
	}
	var p plan
	for round := range rounds {
		for _, s := range scenarios {
			for i := range guards {
				p = append(p, trial.Run{Scenario: s, Guard: guards[(i+round)%len(guards)], Round: round + 1})
			}
		}
	}
	return p, nil
}

// pick returns those of all that are wanted, in the order of all.
func pick(kind string, wanted, all []string) ([]string, error) {
	if len(wanted) == 0 {
		return all, nil
	}
	for _, name := range wanted {
		if !slices.Contains(all, name) {
			return nil, fmt.Errorf("there is no %s %q; there are: %s", kind, name, strings.Join(all, " "))
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(name string) bool { return !slices.Contains(wanted, name) }), nil
}
