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
func HostReader(root string, sd interface{ Version() string }, kernel Kernel) func(context.Context) (units.Host, error) {
	models := new(units.ModelCache)
	return func(ctx context.Context) (units.Host, error) {
		h := units.Host{SystemdVersion: majorVersion(sd.Version()), CPUs: runtime.NumCPU(), FS: os.DirFS(root), Models: models}
		gpus := kernel.Snapshot(ctx)
		h.GPUTotal = hipTotal(gpus)
		h.Quirks, h.Faults = quirksOf(root, gpus)
		mem, err := rocm.Meminfo(root)
		if err != nil {
			return h, fmt.Errorf("cannot read the size of memory: %w", err)
		}
		if mem.MemTotal != nil {
			h.MemTotal = units.Bytes(*mem.MemTotal)
		}
		if h.ChargesGPU, err = rocm.ChargesGPU(root); err != nil {
			return h, fmt.Errorf("cannot read what the kernel charges to units: %w", err)
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

// hipTotal is what HIP calls the size of the GPU's memory, of which vLLM takes its shares: KFD's memory bank. 0: not known.
func hipTotal(s rocm.Snapshot) units.Bytes {
	gpu, _ := s.TierGPU("")
	switch {
	case gpu == nil:
		return 0
	case gpu.KFD != nil && gpu.KFD.Bank != nil:
		return units.Bytes(*gpu.KFD.Bank)
	case gpu.PoolSize != nil:
		return units.Bytes(*gpu.PoolSize)
	}
	return 0
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
