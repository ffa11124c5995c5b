package units

// How much of the host a tier may take: what its cgroup is limited to, protected from and weighed with.

const (
	// slackPart is what a tier may take above its charge before the kernel ends it: the charge is an estimate.
	slackPart  = 20 // of a hundred parts, five
	leastSlack = 64 * MiB
	// hostSlack is what the processes of a GPU tier may take above their share of RAM. The share is a rough figure, and what
	// they read while they load is counted there, too; the limit is there against a leak.
	hostSlack = 16 * GiB
)

// limited is what the cgroup is meant to hold, 0 where nothing says. Kernels up to 7.2 do not charge GTT nor KFD memory to a
// cgroup, so of a GPU tier that counts which lies in RAM: what its processes take, and layers that were left on the CPU.
func (s *spec) limited() Bytes {
	c := s.unit.Charge
	switch {
	case !s.unit.GPU || s.managed() || s.host.ChargesGPU:
		return c.Total()
	case c.Host == 0:
		return 0
	}
	return c.Host + c.Estimate() - min(c.Estimate(), c.Device)
}

// managed tells that llama.cpp for ROCm takes memory that the driver moves between GPU and RAM, which is charged. The
// variable counts by being there.
func (s *spec) managed() bool {
	_, ok := s.sizeArgs().env["GGML_CUDA_ENABLE_UNIFIED_MEMORY"]
	return ok && s.engine.Kind == KindLlama
}

// memoryMax is where a tier ends, alone. Before that the kernel takes page cache back: with it, a model that is read and not
// mapped leaves the rest of the host's page cache alone while it loads. There is no MemoryHigh= below it. What cannot be
// taken back is throttled above that, up to two seconds at a time: measured, an engine that outgrew its charge took minutes
// for the next 36 MiB, neither serving nor ending.
func (s *spec) memoryMax() any {
	charge := s.limited()
	switch {
	case charge == 0:
		return nil
	case s.unit.GPU:
		return inMiB(charge + hostSlack)
	}
	return inMiB(charge + max(charge/slackPart, leastSlack))
}

// memoryMin keeps the weights that a tier serves from mapped files in memory: they are page cache, which the kernel would
// otherwise drop for that of a build or a backup, and each token would then wait for the disk. It protects only as far as
// the slices above are protected as well, see the agent.
func (s *spec) memoryMin() any { return inMiB(s.unit.Charge.Mapped) }

// inMiB is the property's value in whole MiB, as a person would write it; nothing for 0.
func inMiB(b Bytes) any {
	if b == 0 {
		return nil
	}
	return uint64((b + MiB - 1) / MiB * MiB)
}

// weight is a tier's share of CPU time and disk where both are short, among the tiers: 100 is what systemd gives everybody,
// the first has three times that of the last. What all tiers have beside the rest of the host is in tier.slice.
func weight(priority int) uint64 { return uint64(50 + priority) }

// oomdPreference asks systemd-oomd to look elsewhere first: it goes by the pressure in a cgroup, which is high where a model
// loads, and by what is counted there, which is the least part of a GPU tier. A tier that never gives way is left out.
func (s *spec) oomdPreference() string {
	if s.tier.Pinned {
		return "omit"
	}
	return "avoid"
}

// MemoryMax is the most that the unit's cgroup may hold; 0: no limit.
func (u Unit) MemoryMax() Bytes {
	for _, p := range u.Properties {
		if n, ok := p.Value.(uint64); ok && p.Name == "MemoryMax" {
			return Bytes(n)
		}
	}
	return 0
}
