package vmtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Base is what mkroot.sh made: a Debian tree, and a layer that holds the model where tierd looks for models.
type Base struct {
	Root, Model string
}

// MakeBase runs mkroot.sh, which makes the base once per machine; what it says while it works goes to progress.
func MakeBase(ctx context.Context, script string, progress *os.File) (Base, error) {
	cmd := exec.CommandContext(ctx, script)
	cmd.Stderr = progress
	out, err := cmd.Output()
	if err != nil {
		return Base{}, fmt.Errorf("cannot make the bed's base (%s): %w", script, err)
	}
	dir := strings.TrimSpace(string(out))
	return Base{Root: filepath.Join(dir, "root"), Model: filepath.Join(dir, "model")}, nil
}

// InstallScript is the command by which a package that was copied into a bed is installed, as a user would do it.
func InstallScript(path string) string {
	return "DEBIAN_FRONTEND=noninteractive apt-get install -y -qq " + path
}

// Installed boots a bed on the base, installs the package in it and makes tiers its configuration, powers it off and
// returns the layer that has all of that, so that other beds can be booted on it.
func (base Base) Installed(ctx context.Context, pkg string, tiers []byte) (layer string, err error) {
	b, err := Boot(ctx, base.Model, base.Root)
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	inside, err := b.CopyIn(pkg)
	if err != nil {
		return "", err
	}
	if _, err := b.Must(ctx, InstallScript(inside)); err != nil {
		return "", fmt.Errorf("cannot install %s: %w\n%s", pkg, err, b.Journal())
	}
	if err := b.WriteFile("/etc/tierd/tiers.toml", tiers, 0o644); err != nil {
		return "", err
	}
	// Scenarios begin with a daemon and without models, so what a boot would start is left to the one that boots.
	if _, err := b.Must(ctx, "systemctl disable tierd-boot.service"); err != nil {
		return "", err
	}
	return b.PowerOff(ctx)
}

// NewestPackage returns the one file in dir whose name matches pattern.
func NewestPackage(dir, pattern string) (string, error) {
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("want one %s in %s and found %d: run `make package` first, after `make clean` if there are several", pattern, dir, len(found))
	}
	return filepath.Abs(found[0])
}

// Manifest lists every file of the bed's own file systems with kind, mode, owner and link target, to be compared with
// another: what changes by itself while a system runs is left out, and so are the backups that useradd and its like make.
func (b *Bed) Manifest(ctx context.Context) ([]byte, error) {
	const script = `find / -xdev \( -path /tmp -o -path /bed -o -path /var/log -o -path /var/tmp -o -path /var/cache/apt -o -path /var/cache/debconf \
		-o -path /var/cache/ldconfig -o -path /var/lib/apt -o -path '/etc/*-' -o -path /var/lib/systemd \) -prune -o -printf '%y %m %u %g %p %l\n' | sort
		find /run -xdev \( -path /run/systemd -o -path /run/log -o -path /run/udev -o -path '/run/lock*' -o -path /run/user \
		-o -path /run/credentials \) -prune -o -printf '%y %m %u %g %p\n' | sort
		getent passwd; getent group`
	out, err := b.Must(ctx, script)
	return bytes.TrimSpace([]byte(out)), err
}
