package agent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"github.com/tierd/tierd/rocm"
	"github.com/tierd/tierd/units"
)

// HostReader returns what reads the host under root as package units has to know it, for Options.Host. sd says which
// systemd it is; before the bus was reached, that is not known and the floor is assumed.
func HostReader(root string, sd interface{ Version() string }) func(context.Context) (units.Host, error) {
	return func(context.Context) (units.Host, error) {
		h := units.Host{SystemdVersion: majorVersion(sd.Version()), CPUs: runtime.NumCPU(), FS: os.DirFS(root)}
		mem, err := rocm.Meminfo(root)
		if err != nil {
			return h, fmt.Errorf("cannot read the size of memory: %w", err)
		}
		if mem.MemTotal != nil {
			h.MemTotal = units.Bytes(*mem.MemTotal)
		}
		groups, err := os.Open(filepath.Join(root, "etc/group"))
		if err != nil {
			return h, fmt.Errorf("cannot read which groups there are: %w", err)
		}
		defer groups.Close()
		h.Groups = map[string]bool{}
		for name := range parseIDs(groups) {
			h.Groups[name] = true
		}
		return h, nil
	}
}

// majorVersion is the number that a version of systemd begins with ("257.9-1~deb13u1"), 0 when it is none.
func majorVersion(version string) int {
	end := 0
	for end < len(version) && version[end] >= '0' && version[end] <= '9' {
		end++
	}
	n, err := strconv.Atoi(version[:end])
	if err != nil {
		return 0
	}
	return n
}
