package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/tierd/tierd/agent/budget"
	"github.com/tierd/tierd/agent/known"
	"github.com/tierd/tierd/rocm"
	"github.com/tierd/tierd/units"
)

// hostSource is the host that a command looks at without tierd: this one, or what --root names.
type hostSource struct {
	root   string // "/" for this machine
	reader *rocm.Host
	files  fs.FS // nil: a recording holds what package rocm reads, and nothing else
}

// rootFlag adds --root.
func rootFlag(cmd *cobra.Command, root *string) {
	cmd.Flags().StringVar(root, "root", "", "look at this host instead, without tierd: a folder with its files, or a\nrecording by tierctl host --record")
}

// openHost opens "/", a folder with the files of a host, or a recording.
func openHost(root string) (hostSource, error) {
	reader, err := rocm.OpenPath(root)
	if err != nil {
		f := &failure{status: exitFailed, message: fmt.Sprintf("cannot look at a host: %v", err)}
		if !errors.Is(err, fs.ErrNotExist) {
			f.hint = "--root takes a folder with the files of a host, or a recording by `tierctl host --record`"
		}
		return hostSource{}, f
	}
	h := hostSource{root: root, reader: reader}
	switch info, err := os.Stat(root); {
	case err != nil:
		return h, fmt.Errorf("cannot look at a host: %w", err)
	case root == "/":
		h.files = os.DirFS(root)
	case info.IsDir():
		// Links in a copied tree may lead out of it, to files of this machine: os.Root does not follow those.
		r, err := os.OpenRoot(root)
		if err != nil {
			return h, fmt.Errorf("cannot look at a host: %w", err)
		}
		h.files = r.FS()
	}
	return h, nil
}

// look takes a snapshot. What has no memory is no host.
func (h hostSource) look(ctx context.Context) (rocm.Snapshot, error) {
	s := h.reader.Snapshot(ctx)
	if s.Memory.MemTotal != nil {
		return s, nil
	}
	for _, p := range s.Problems {
		if p.File == "/proc/meminfo" {
			return s, fmt.Errorf("cannot look at the host in %s: %w", h.root, p)
		}
	}
	return s, &failure{
		status:  exitFailed,
		message: fmt.Sprintf("%s is not a host: there is no proc/meminfo in it", h.root),
		hint:    "--root takes a folder with the files of a host, or a recording by `tierctl host --record`",
	}
}

// units is the host as package units has to know it.
func (h hostSource) units(ctx context.Context, s rocm.Snapshot) units.Host {
	host := units.Host{CPUs: s.Platform.Threads, FS: h.files, GPUTotal: budget.GPUTotal(s, ""), VRAM: budget.Carved(s, "")}
	host.Quirks, host.Faults = known.About(h.quirks(), s)
	if s.Memory.MemTotal != nil {
		host.MemTotal = units.Bytes(*s.Memory.MemTotal)
	}
	if h.files != nil {
		if f, err := h.files.Open("etc/group"); err == nil {
			host.Groups = groupNames(f)
			f.Close()
		}
		// Where it cannot be read it is taken for what no kernel so far does.
		host.ChargesGPU, _ = rocm.ChargesGPU(h.root)
	}
	if h.root == "/" {
		host.SystemdVersion = systemdVersion(ctx)
	}
	return host
}

// quirks is the root of the files with what is known of GPUs: a recording has none, and those of this host do.
func (h hostSource) quirks() string {
	if h.files == nil {
		return "/"
	}
	return h.root
}

// config is the file with the host's tiers: the one that --config names, else where the host has it. "" for a recording.
func (h hostSource) config(named string) string {
	switch {
	case named != "":
		return named
	case h.files == nil:
		return ""
	}
	return filepath.Join(h.root, configFile)
}
