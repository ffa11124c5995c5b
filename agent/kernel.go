package agent

import (
	"context"
	"errors"
	"io/fs"

	"github.com/tierd/tierd/agent/budget"
	"github.com/tierd/tierd/rocm"
	"github.com/tierd/tierd/units"
)

// Kernel is all that the agent asks of the kernel. The agent calls it beside its loop only.
type Kernel interface {
	// Memory is proc/meminfo.
	Memory() (rocm.Memory, error)
	// Cgroup is the memory.stat of a cgroup, a path below sys/fs/cgroup.
	Cgroup(path string) (rocm.CgroupMemory, error)
	// MemoryMin is the memory.min of a cgroup; fs.ErrNotExist where the kernel does not count its memory.
	MemoryMin(path string) (units.Bytes, error)
	// Snapshot is all of the host that the kernel tells of. It takes at most as long as the reader's limit.
	Snapshot(ctx context.Context) rocm.Snapshot
}

// NewKernel reads what the kernel says under root: "/", or a tree in tests.
func NewKernel(root string) Kernel { return kernel{root, rocm.Open(root)} }

type kernel struct {
	root string
	host *rocm.Host
}

func (k kernel) Memory() (rocm.Memory, error) { return rocm.Meminfo(k.root) }

func (k kernel) Cgroup(path string) (rocm.CgroupMemory, error) { return rocm.MemoryStat(k.root, path) }

func (k kernel) MemoryMin(path string) (units.Bytes, error) {
	n, err := rocm.MemoryMin(k.root, path)
	return units.Bytes(n), err
}

func (k kernel) Snapshot(ctx context.Context) rocm.Snapshot { return k.host.Snapshot(ctx) }

const gpuSlice = "tier-gpu.slice"

// room is what the kernel said at one moment of the memory that tiers share.
type room struct {
	memory rocm.Memory
	held   map[string]units.Bytes // by unit: what of its cgroup only its end gives back; not there where nobody says
}

// look reads the room, with what the units hold that run now.
func (a *Agent) look(ctx context.Context) (room, error) {
	cgroups, err := inLoop(ctx, a, func() (map[string]string, error) { return a.cgroups(), nil })
	if err != nil {
		return room{}, err
	}
	return a.readRoom(cgroups), nil
}

// cgroups are those of the units that run.
func (a *Agent) cgroups() map[string]string {
	list := map[string]string{}
	for name, s := range a.seen {
		if s.Tier != "" && running(s) {
			list[name] = units.ControlGroup(name, a.onGPU(name))
		}
	}
	return list
}

// readRoom does not touch the loop's state.
func (a *Agent) readRoom(cgroups map[string]string) room {
	r := room{held: map[string]units.Bytes{}}
	memory, err := a.opts.Kernel.Memory()
	if err != nil {
		a.opts.Log.Error("cannot read the host's memory", "err", err)
	}
	r.memory = memory
	for unit, cgroup := range cgroups {
		m, err := a.opts.Kernel.Cgroup(cgroup)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			a.opts.Log.Error("cannot read what a tier holds", "unit", unit, "err", err)
		}
		if held := m.Held(); held != nil {
			r.held[unit] = units.Bytes(*held)
		}
	}
	return r
}

// host is the room as admission sums it up.
func (a *Agent) host(r room) budget.Host {
	var c units.HostConfig
	if a.plan != nil {
		c = a.plan.Config.Host
	}
	return budget.HostWith(r.memory, c, a.poolNow())
}
