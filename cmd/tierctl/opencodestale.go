package main

import (
	"fmt"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/doctor"
	"github.com/tierd/tierd/agent/opencode"
)

// appliedFile is a configuration of OpenCode that apply wrote, with what it would say now.
type appliedFile struct {
	opencode.Drift
	usual bool // it is the user's own, in its usual place
	where string
}

// remedy is the command that writes it anew.
func (f appliedFile) remedy() string { return f.Remedy + f.where }

// appliedFiles are what the invoking user has applied, in every scope, and what root has for all if this is root. Nobody is asked:
// status is what tierd has said already. What cannot be told is left out, being no business of whoever wanted to know something else.
func (a *app) appliedFiles(status api.Status) []appliedFile {
	config, _, _ := readConfig(status.ConfigPath)
	if config == nil {
		return nil
	}
	tiers, options := opencode.Tiers(config, &status, nil), opencode.OptionsFor(config)
	var all []appliedFile
	for _, w := range []opencodeWish{{}, {managed: true}} {
		p, err := a.opencodePlace(w)
		if err != nil {
			continue
		}
		records, err := opencode.Applied(p)
		if err != nil {
			continue
		}
		for _, r := range records {
			if r.Kind == opencode.KindOMO || !exists(r.Path) {
				continue
			}
			d, err := opencode.DriftOf(r, tiers, options)
			if err != nil {
				continue
			}
			f := appliedFile{Drift: d, usual: r.Scope == opencode.ScopeUser && !r.Named}
			if r.Scope == opencode.ScopeProject {
				f.where = ", in its directory"
			}
			all = append(all, f)
		}
	}
	return all
}

// printStale writes a line of `tierctl status` for each that would be another now.
func (a *app) printStale(status api.Status) {
	for _, f := range a.appliedFiles(status) {
		if !f.Needed() {
			continue
		}
		what := "OpenCode's configuration"
		if !f.usual {
			what = f.File
		}
		fmt.Fprintln(a.stdout)
		say(a.stdout, 2, fmt.Sprintf("%s is from before: %s (%s)", what, f.Words(), f.remedy()))
	}
}

// opencodeFacts is what the doctor is told of them.
func (a *app) opencodeFacts(status api.Status) []doctor.ClientFile {
	var facts []doctor.ClientFile
	for _, f := range a.appliedFiles(status) {
		c := doctor.ClientFile{Path: f.File, Fix: f.remedy(), Breaks: f.Breaks()}
		if f.Needed() {
			c.Stale = f.Words()
		}
		facts = append(facts, c)
	}
	return facts
}
