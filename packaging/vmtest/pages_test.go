//go:build vmtest

package vmtest

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/packaging/pages"
)

// TestPages runs every command of README.md and docs, page by page and in the order of the page, in a bed of its own with the
// package installed and the tiers of testdata/tiers.toml. Each has to end with the status and the output that the page shows.
// Blocks that say not-run are left out; packaging/pages holds the reasons.
func TestPages(t *testing.T) {
	if err := prepareBeds(); err != nil {
		t.Fatal(err)
	}
	all, err := pages.Read("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if commandsOf(p) == 0 {
			continue
		}
		t.Run(p.Name, func(t *testing.T) {
			t.Parallel()
			runPage(t, p)
		})
	}
}

func commandsOf(p pages.Page) int {
	n := 0
	for _, b := range p.Blocks {
		if b.NotRun() == "" {
			n += len(b.Steps())
		}
	}
	return n
}

// What a bed has in place of sudo and of a user: everything there is done by root, and who edits tiers.toml makes it the bed's.
const (
	sudo = `#!/bin/sh
export DEBIAN_FRONTEND=noninteractive
exec "$@"
`
	sudoedit = `#!/bin/sh
exec cp /root/tiers.toml "$1"
`
)

func runPage(t *testing.T, p pages.Page) {
	layers := []string{fixture.installed, fixture.base.Model, fixture.base.Root}
	installs := slices.Contains([]string{"README.md", "docs/install.md"}, p.Name)
	if installs {
		layers = layers[1:] // the page itself installs the package
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	b, err := Boot(ctx, layers...)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if t.Failed() {
			t.Log("the bed's journal:\n" + b.Journal())
		}
		if err := b.Close(); err != nil {
			t.Log("cannot remove the bed: ", err)
		}
	}()
	for name, text := range map[string]string{"/usr/local/bin/sudo": sudo, "/usr/local/bin/sudoedit": sudoedit, "/root/tiers.toml": string(fixture.tiers)} {
		if err := b.WriteFile(name, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	switch {
	case installs:
		readyToInstall(ctx, t, b)
	case p.Name == "docs/opencode.md":
		asShipped(ctx, t, b)
	default:
		awaitGuard(ctx, t, b)
	}
	for _, block := range p.Blocks {
		if block.NotRun() != "" {
			continue
		}
		for _, s := range block.Steps() {
			if !runStep(ctx, t, b, p.Name, s) {
				return // what follows builds on it
			}
		}
	}
}

// readyToInstall puts the package where a user would have downloaded it.
func readyToInstall(ctx context.Context, t *testing.T, b *Bed) {
	at, err := b.CopyIn(fixture.deb)
	if err == nil {
		_, err = b.Must(ctx, "mv "+at+" /root/")
	}
	if err != nil {
		t.Fatal(err)
	}
}

// awaitGuard waits for the guard to find tierd, a second after the machine came up; nobody reads that fast.
func awaitGuard(ctx context.Context, t *testing.T, b *Bed) {
	if _, err := b.Must(ctx, "until tierctl guard --format json | jq -e .connected; do sleep 0.1; done"); err != nil {
		t.Fatal(err)
	}
}

// asShipped gives the bed the tiers.toml of the package: its own tiers are too small for OpenCode, which the page does not try out.
func asShipped(ctx context.Context, t *testing.T, b *Bed) {
	shipped, err := os.ReadFile("../../tiers.toml")
	if err == nil {
		err = b.WriteFile("/etc/tierd/tiers.toml", shipped, 0o644)
	}
	if err == nil {
		_, err = b.Must(ctx, "tierctl reload")
	}
	if err != nil {
		t.Fatal(err)
	}
}

func runStep(ctx context.Context, t *testing.T, b *Bed, page string, s pages.Step) bool {
	start := time.Now()
	r, err := b.Run(ctx, "exec 2>&1; cd /root\n"+s.Command)
	if err != nil {
		t.Errorf("%s:%d: %s: %v", page, s.Line, s.Command, err)
		return false
	}
	if took := time.Since(start); took > 5*time.Second || os.Getenv("TIERD_PAGES") != "" {
		t.Logf("%s:%d: %s (%.1f s, status %d)\n%s", page, s.Line, s.Command, took.Seconds(), r.Exit, r.Stdout)
	}
	switch {
	case !slices.Contains(s.Status, r.Exit):
		t.Errorf("%s:%d: %s ends with status %d, not %v:\n%s", page, s.Line, s.Command, r.Exit, s.Status, r.Stdout)
	case s.Output != "" && !pages.Match(s.Output, r.Stdout):
		t.Errorf("%s:%d: %s says\n%s\nand the page shows\n%s", page, s.Line, s.Command, r.Stdout, s.Output)
	default:
		return true
	}
	return strings.TrimSpace(s.Output) != "" && slices.Contains(s.Status, r.Exit) // the next may be right all the same
}
