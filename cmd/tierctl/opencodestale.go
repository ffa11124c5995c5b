package main

import (
	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/agent/doctor"
	"github.com/tierd/tierd/agent/opencode"
)

// opencodeDrift is in what the invoking user's configuration of OpenCode would differ if apply wrote it now. It asks nobody: status
// is what tierd has said already. False when there is no such file, or when it cannot be told, which is no business of whoever
// wanted to know something else.
func (a *app) opencodeDrift(status api.Status) (opencode.Drift, bool) {
	p, err := a.opencodePlace(opencodeWish{})
	if err != nil {
		return opencode.Drift{}, false
	}
	r, err := opencode.Written(p)
	if err != nil || r == nil || !exists(r.Path) {
		return opencode.Drift{}, false
	}
	config, _, _ := readConfig(status.ConfigPath)
	if config == nil {
		return opencode.Drift{}, false
	}
	d, err := opencode.DriftOf(*r, opencode.Tiers(config, &status, nil), opencode.OptionsFor(config))
	return d, err == nil
}

// opencodeNote is the line of `tierctl status` about it; "" when there is nothing to say.
func (a *app) opencodeNote(status api.Status) string {
	d, ok := a.opencodeDrift(status)
	if !ok || !d.Needed() {
		return ""
	}
	return "OpenCode's configuration is from before: " + d.Words() + " (" + d.Remedy + ")"
}

// opencodeFact is what the doctor is told of it; nil when there is nothing to tell.
func (a *app) opencodeFact(status api.Status) *doctor.ClientFile {
	d, ok := a.opencodeDrift(status)
	if !ok {
		return nil
	}
	f := &doctor.ClientFile{Path: d.File, Fix: d.Remedy, Breaks: d.Breaks()}
	if d.Needed() {
		f.Stale = d.Words()
	}
	return f
}
