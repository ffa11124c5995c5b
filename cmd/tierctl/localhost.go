package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/tierd/tierd/units"
)

// localHost is this machine as package units has to know it, for work without the daemon. What cannot be read is left
// unknown: the checks that need it are then not made.
func localHost(ctx context.Context) units.Host {
	h, err := openHost("/")
	if err != nil {
		return units.Host{FS: os.DirFS("/")}
	}
	return h.units(ctx, h.reader.Snapshot(ctx))
}

// systemdVersion is the major version that systemctl names, 0 when there is none: its first line reads
// "systemd 257 (257.9-1~deb13u1)".
func systemdVersion(ctx context.Context) int {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "systemctl", "--version").Output()
	if err != nil {
		return 0
	}
	var version int
	if _, err := fmt.Sscanf(string(out), "systemd %d", &version); err != nil {
		return 0
	}
	return version
}

// groupNames reads group(5): the first of the fields that colons divide.
func groupNames(r io.Reader) map[string]bool {
	names := map[string]bool{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if name, _, ok := strings.Cut(lines.Text(), ":"); ok && !strings.HasPrefix(name, "#") {
			names[name] = true
		}
	}
	return names
}

// userName is who runs tierctl, for messages.
func userName() string {
	u, err := user.Current()
	if err != nil {
		return strconv.Itoa(os.Getuid())
	}
	return u.Username
}
