package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tierd/tierd/agent/doctor"
	"github.com/tierd/tierd/rocm/quirks"
	"github.com/tierd/tierd/units"
)

// facts gathers what the doctor goes by. root is "" for this host, whose tierd is asked if it answers.
func (a *app) facts(ctx context.Context, root, config string) (doctor.Facts, error) {
	live := root == ""
	if live {
		root = "/"
	}
	host, err := openHost(root)
	if err != nil {
		return doctor.Facts{}, err
	}
	var f doctor.Facts
	if f.Snapshot, err = host.look(ctx); err != nil {
		return f, err
	}
	if live {
		a.askTierd(ctx, &f)
	}
	f.Quirks, _ = quirks.Load(host.quirks()) // the plan tells of faults in its files
	f.Config = host.config(config)
	if config == "" && !live && !exists(f.Config) {
		f.Config = "" // a tree of a host on which tierd is not installed
	}
	if f.Config != "" {
		plan, faults, err := planFile(f.Config, host.units(ctx, f.Snapshot))
		if err != nil {
			faults = []units.Fault{unreadable(f.Config, err)}
		}
		f.Plan, f.Faults = plan, faults
	}
	if host.files != nil {
		render := ""
		if g, _ := f.Snapshot.TierGPU(""); g != nil {
			render = g.Render
		}
		f.Files = doctor.Look(host.files, f.Plan, render)
	}
	return f, nil
}

// askTierd takes tierd's view where it has one: it may look into every process, and knows how the tiers are.
func (a *app) askTierd(ctx context.Context, f *doctor.Facts) {
	status, err := a.client().Status(ctx)
	if err != nil {
		errors.As(err, &f.Silent)
		return
	}
	f.Status, f.Clients = &status, a.opencodeFacts(status)
	if g, err := a.client().Guard(ctx); err == nil { // one from before there was a guard does not know it
		f.Guard = &g
	}
	if s, err := a.daemonSnapshot(ctx); err == nil && s.Memory.MemTotal != nil {
		f.Snapshot = s
	}
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return file != "" && err == nil
}

// unreadable is a tiers.toml that is not there, or may not be read.
func unreadable(file string, err error) units.Fault {
	f := units.Fault{File: file}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.Msg = "the file does not exist; install the package tierd again, or name another file with --config"
	case errors.Is(err, fs.ErrPermission):
		f.Msg = fmt.Sprintf("the file may not be read; sudo chmod o+r %s", filepath.Clean(file))
	default:
		f.Msg = fmt.Sprintf("the file cannot be read: %v", errors.Unwrap(err))
	}
	return f
}
