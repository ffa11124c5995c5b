package units

import (
	"fmt"
	"slices"
	"time"
)

// setting is one row of the table below.
type setting struct {
	name  string          // on D-Bus; text.go writes it as a unit file does
	since int             // the systemd version that brought it; 0: at or below the floor
	unit  bool            // it stands in [Unit], not in [Service]
	aside bool            // it does not decide how the process runs, so the hash leaves it out
	value func(*spec) any // nil: left out. Its Go type has the property's D-Bus signature
}

// floorVersion is the oldest systemd that tierd supports.
const floorVersion = 255

// settings is the one table of systemd names: the order is that of Unit.Properties and Unit.Text. Signatures were tried on
// systemd 257 and 262. A property that is unknown to the manager would make it refuse the whole unit, hence `since`.
var settings = []setting{
	{name: "Description", unit: true, aside: true, value: func(s *spec) any { return s.description() }},
	{name: "Documentation", unit: true, aside: true, value: always([]string{"man:tierctl(1)"})},
	// Conflicts alone would start this variant while the other still holds its memory; where there is an order too, of
	// either direction, systemd completes the stop first (systemd.unit(5), Before=). One direction, else stopping all of
	// them would be a cycle. After tierd and the gateway, so that both are there when all of them end together: a tier that
	// stops waits for its requests, and only these two know of them. tierd itself starts no tier before it is up.
	// A switch side by side starts a variant past this (agent.Systemd, StartBeside).
	{name: "Conflicts", unit: true, aside: true, value: func(s *spec) any { return some(s.siblings) }},
	{name: "After", unit: true, aside: true, value: func(s *spec) any {
		return append([]string{"tierd.socket", "tierd-admit.socket", "tierd.service", "tier-gateway.service"}, s.earlier...)
	}},
	{name: "StartLimitIntervalUSec", unit: true, value: always(usec(10 * time.Minute))},
	{name: "StartLimitBurst", unit: true, value: always(uint32(5))},

	{name: "Type", value: always("notify")},
	{name: "NotifyAccess", value: always("main")},
	// no-env-expand: otherwise `$` in an argument means another thing after a daemon-reload than before it.
	{name: "ExecStartEx", value: func(s *spec) any { return []Exec{{s.argv[0], s.argv, []string{"no-env-expand"}}} }},
	{name: "Environment", value: func(s *spec) any { return s.environment() }},
	{name: "Slice", value: func(s *spec) any { return sliceOf(s.unit.GPU) }},
	{name: "SyslogIdentifier", value: func(s *spec) any { return "tier-" + s.tier.Name }},
	// Adoption reads these over D-Bus, and every line of the journal carries them.
	{name: "LogExtraFields", aside: true, value: func(s *spec) any { return s.logFields() }},

	// Ends. RestartMode=direct: one job spans all retries, and the state does not flicker through "failed".
	{name: "Restart", value: always("on-failure")},
	{name: "RestartMode", since: 254, value: always("direct")},
	{name: "RestartUSec", value: always(usec(2 * time.Second))},
	{name: "RestartSteps", since: 254, value: always(uint32(5))},
	{name: "RestartMaxDelayUSec", since: 254, value: always(usec(time.Minute))},
	// The shim's exits that the same start would only repeat: refused, configuration, model, socket held, budget.
	{name: "RestartPreventExitStatus", value: always(ExitSet{Codes: []int32{75, 78, 66, 73, 71}, Signals: []int32{}})},
	{name: "KillMode", value: always("mixed")},
	// Short, since the shim asks for more as long as there is progress.
	{name: "TimeoutStartUSec", value: always(usec(90 * time.Second))},
	{name: "TimeoutStopUSec", value: func(s *spec) any { return usec(s.stopTimeout()) }},
	// A watchdog that fires ends the tier as a stop does, with SIGTERM and not with the core dump of SIGABRT.
	{name: "WatchdogUSec", value: always(usec(30 * time.Second))},
	{name: "WatchdogSignal", value: always(int32(15))},
	{name: "TimeoutAbortUSec", value: func(s *spec) any { return usec(s.stopTimeout()) }},

	// Memory, see limits.go. Where the host has no memory controller systemd ignores these.
	{name: "MemoryMin", value: func(s *spec) any { return s.memoryMin() }},
	{name: "MemoryMax", value: func(s *spec) any { return s.memoryMax() }},
	{name: "MemorySwapMax", value: always(uint64(0))},
	{name: "MemoryZSwapMax", since: 253, value: always(uint64(0))}, // swap that is compressed instead, with the CPU that decodes
	// What the kernel's OOM killer leaves of a tier is ended by the shim, which knows whose limit it was and says so. systemd
	// would end it as "oom-kill", and start it again to take as much.
	{name: "OOMPolicy", value: always("continue")},
	{name: "ManagedOOMPreference", since: 248, value: func(s *spec) any { return s.oomdPreference() }},
	{name: "CPUWeight", value: func(s *spec) any { return weight(s.tier.Priority) }},
	{name: "IOWeight", value: func(s *spec) any { return weight(s.tier.Priority) }},
	// The shim's own; the engine gets its rank from the shim.
	{name: "OOMScoreAdjust", value: func(s *spec) any { return byKind(s, any(never), any(never), any(OOMScore(s.tier.Priority))) }},
	{name: "TasksMax", value: always(uint64(4096))},
	{name: "LimitNOFILE", value: always(uint64(65536))},
	{name: "LimitMEMLOCK", value: always(Infinity)},
	{name: "LimitCORE", value: always(uint64(0))}, // a core of a model server is as large as the model

	// Who it is and what it may write.
	{name: "DynamicUser", value: always(true)},
	{name: "User", value: func(s *spec) any { return userName(s.tier.Name) }},
	{name: "Group", value: always("tier-gateway")}, // so that the gateway may connect to the engine's socket
	{name: "SupplementaryGroups", value: func(s *spec) any { return some(s.deviceGroups()) }},
	{name: "UMask", value: always(uint32(0o007))},
	{name: "RuntimeDirectory", value: func(s *spec) any { return []string{"tier/" + s.baseName()} }},
	{name: "RuntimeDirectoryMode", value: always(uint32(0o750))},
	// Every tier is in the gateway's group, so a tier must not see the other tiers' sockets.
	{name: "TemporaryFileSystem", value: always([]Pair{{"/run/tier", "ro"}})},
	{name: "BindPaths", value: func(s *spec) any {
		own := "/run/tier/" + s.baseName()
		return []Bind{{Source: own, Target: own}}
	}},
	{name: "CacheDirectory", value: func(s *spec) any { return []string{"tier/" + s.tier.Name} }},
	{name: "CacheDirectoryMode", value: always(uint32(0o700))},
	// A dynamic user's directories are mounted noexec, and vLLM loads what it has compiled there.
	{name: "ExecPaths", value: func(s *spec) any {
		return byKind(s, any([]string{"/var/cache/private/tier/" + s.tier.Name}), nil, nil)
	}},
	{name: "BindReadOnlyPaths", value: func(s *spec) any { return s.binds() }},
	{name: "LoadCredentialEncrypted", value: func(s *spec) any { return s.credentials() }},

	// Sandbox, facts: score at most 1.5 by `systemd-analyze security`.
	{name: "ProtectSystem", value: always("strict")},
	{name: "ReadOnlyPaths", value: always([]string{"/run"})}, // which strict leaves writable
	{name: "ProtectHome", value: func(s *spec) any { return s.protectHome() }},
	{name: "PrivateTmp", value: always(true)},
	{name: "PrivateDevices", value: func(s *spec) any { return !s.unit.GPU }},
	{name: "DevicePolicy", value: always("closed")},
	{name: "DeviceAllow", value: func(s *spec) any {
		if !s.unit.GPU {
			return nil
		}
		return []Pair{{"/dev/kfd", "rw"}, {"char-drm", "rw"}}
	}},
	{name: "PrivateNetwork", value: func(s *spec) any { return s.engine.Kind != KindRemote }},
	{name: "IPAddressAllow", value: func(s *spec) any { return onlyLocal(s, loopback) }},
	{name: "IPAddressDeny", value: func(s *spec) any { return onlyLocal(s, anywhere) }},
	{name: "RestrictAddressFamilies", value: func(s *spec) any { return Filter{true, s.families()} }},
	{name: "PrivateIPC", value: always(true)},
	{name: "PrivateUsers", value: always(true)}, // access by group to the render node still works
	{name: "CapabilityBoundingSet", value: always(uint64(0))},
	{name: "AmbientCapabilities", value: always(uint64(0))},
	{name: "NoNewPrivileges", value: always(true)},
	{name: "ProtectKernelTunables", value: always(true)},
	{name: "ProtectKernelModules", value: always(true)},
	{name: "ProtectKernelLogs", value: always(true)},
	{name: "ProtectControlGroups", value: always(true)},
	{name: "ProtectClock", value: always(true)},
	{name: "ProtectHostname", value: always(true)},
	{name: "ProtectProc", value: always("invisible")}, // ProcSubset stays: engines read /proc/meminfo and /proc/cpuinfo
	// Not 0, which would allow none: systemd 262 keeps that as an empty setting, and after the next daemon-reload it allows
	// all. A UTS namespace is the host's name, and needs a privilege that nothing here has.
	{name: "RestrictNamespaces", value: always(uint64(cloneNewUTS))},
	{name: "RestrictRealtime", value: always(true)},
	{name: "RestrictSUIDSGID", value: always(true)},
	{name: "LockPersonality", value: always(true)},
	// Whatever compiles for a GPU or with torch needs pages that it writes and then runs.
	{name: "MemoryDenyWriteExecute", value: func(s *spec) any { return s.engine.Kind != KindVLLM && !s.unit.GPU }},
	{name: "RemoveIPC", value: always(true)},
	{name: "KeyringMode", value: always("private")},
	{name: "SystemCallArchitectures", value: always([]string{"native"})},
	{name: "SystemCallFilter", value: always(Filter{true, []string{"@system-service"}})},
	{name: "SystemCallFilter", value: always(Filter{false, []string{"@privileged"}})}, // not @resources: affinity, mbind
	{name: "SystemCallErrorNumber", value: always(int32(1))},                          // EPERM instead of a signal
}

// properties makes the list for one unit.
func properties(s *spec) []Property { return fromTable(settings, s) }

// fromTable leaves out what the host's systemd does not know.
func fromTable(settings []setting, s *spec) []Property {
	version := max(s.host.SystemdVersion, floorVersion)
	var list []Property
	for _, row := range settings {
		if row.since > version {
			continue
		}
		if v := row.value(s); v != nil {
			list = append(list, Property{row.name, v})
		}
	}
	return list
}

// row is what the table says of a property by that name.
func row(name string) setting {
	i := slices.IndexFunc(settings, func(s setting) bool { return s.name == name })
	if i < 0 {
		return setting{}
	}
	return settings[i]
}

func always(v any) func(*spec) any { return func(*spec) any { return v } }

// some is the list, or nil for an empty one, which leaves the property out.
func some(list []string) any {
	if len(list) == 0 {
		return nil
	}
	return list
}

func byKind[T any](s *spec, vllm, llama, remote T) T {
	switch s.engine.Kind {
	case KindVLLM:
		return vllm
	case KindRemote:
		return remote
	}
	return llama
}

func usec(d time.Duration) uint64 { return uint64(d.Microseconds()) }

const cloneNewUTS = 0x04000000

// never is the OOM score of what the kernel does not take (OOM_SCORE_ADJ_MIN, proc_pid_oom_score_adj(5)): a shim, which has
// to tell why its engine is gone. While a killed engine still gives its memory back, the kernel may look for a second victim.
const never = int32(-1000)

// OOMScore is what an engine's OOM score is adjusted by, 300 to 900: the kernel takes tiers before the desktop, and the tier with
// the lowest priority first.
func OOMScore(priority int) int32 { return int32(900 - 6*priority) }

var (
	loopback = []AddressPrefix{{2, []byte{127, 0, 0, 0}, 8}, {10, append(make([]byte, 15), 1), 128}}
	anywhere = []AddressPrefix{{2, make([]byte, 4), 0}, {10, make([]byte, 16), 0}}
)

func onlyLocal(s *spec, list []AddressPrefix) any {
	if s.engine.Kind == KindRemote {
		return nil
	}
	return list
}

func (s *spec) description() string {
	return fmt.Sprintf("tier %s (%s): %s on %s", s.tier.Name, s.tier.Role, s.variant.Model, s.variant.Engine)
}

func (s *spec) logFields() [][]byte {
	var fields [][]byte
	for _, f := range []string{
		"TIERD_TIER=" + s.tier.Name,
		"TIERD_VARIANT=" + s.variant.Name,
		"TIERD_HASH=" + s.unit.Hash,
		fmt.Sprintf("TIERD_PORT=%d", s.tier.Port),
	} {
		fields = append(fields, []byte(f))
	}
	return fields
}
