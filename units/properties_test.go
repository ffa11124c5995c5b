package units

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// signatures are those that systemd 257 and 262 took for each property, and the Go type that the D-Bus library gives them.
var signatures = map[reflect.Type]string{
	reflect.TypeFor[string]():          "s",
	reflect.TypeFor[bool]():            "b",
	reflect.TypeFor[int32]():           "i",
	reflect.TypeFor[uint32]():          "u",
	reflect.TypeFor[uint64]():          "t",
	reflect.TypeFor[[]string]():        "as",
	reflect.TypeFor[[][]byte]():        "aay",
	reflect.TypeFor[[]Exec]():          "a(sasas)",
	reflect.TypeFor[[]Pair]():          "a(ss)",
	reflect.TypeFor[[]Bind]():          "a(ssbt)",
	reflect.TypeFor[[]AddressPrefix](): "a(iayu)",
	reflect.TypeFor[Filter]():          "(bas)",
	reflect.TypeFor[ExitSet]():         "(aiai)",
}

// wantSignature is read from facts about systemd, not from the code: a slip in the table is a unit that cannot start.
var wantSignature = map[string]string{
	"Description": "s", "Documentation": "as", "Conflicts": "as", "After": "as", "StartLimitIntervalUSec": "t", "StartLimitBurst": "u",
	"Type": "s", "NotifyAccess": "s", "ExecStartEx": "a(sasas)", "Environment": "as", "Slice": "s", "SyslogIdentifier": "s",
	"LogExtraFields": "aay", "Restart": "s", "RestartMode": "s", "RestartUSec": "t", "RestartSteps": "u", "RestartMaxDelayUSec": "t",
	"RestartPreventExitStatus": "(aiai)", "KillMode": "s", "TimeoutStartUSec": "t", "TimeoutStopUSec": "t", "WatchdogUSec": "t",
	"WatchdogSignal": "i", "TimeoutAbortUSec": "t", "MemoryMin": "t", "MemoryMax": "t", "MemorySwapMax": "t", "MemoryZSwapMax": "t",
	"CPUWeight": "t", "IOWeight": "t", "ManagedOOMPreference": "s", "OOMPolicy": "s", "OOMScoreAdjust": "i",
	"TasksMax": "t", "LimitNOFILE": "t", "LimitMEMLOCK": "t", "LimitCORE": "t", "DynamicUser": "b", "User": "s", "Group": "s",
	"SupplementaryGroups": "as", "UMask": "u", "RuntimeDirectory": "as", "RuntimeDirectoryMode": "u", "CacheDirectory": "as",
	"CacheDirectoryMode": "u", "ExecPaths": "as", "BindReadOnlyPaths": "a(ssbt)", "BindPaths": "a(ssbt)", "TemporaryFileSystem": "a(ss)",
	"LoadCredentialEncrypted": "a(ss)",
	"ProtectSystem":           "s", "ReadOnlyPaths": "as", "ProtectHome": "s", "PrivateTmp": "b", "PrivateDevices": "b", "DevicePolicy": "s",
	"DeviceAllow": "a(ss)", "PrivateNetwork": "b", "IPAddressAllow": "a(iayu)", "IPAddressDeny": "a(iayu)",
	"RestrictAddressFamilies": "(bas)", "PrivateIPC": "b", "PrivateUsers": "b", "CapabilityBoundingSet": "t", "AmbientCapabilities": "t",
	"NoNewPrivileges": "b", "ProtectKernelTunables": "b", "ProtectKernelModules": "b", "ProtectKernelLogs": "b",
	"ProtectControlGroups": "b", "ProtectClock": "b", "ProtectHostname": "b", "ProtectProc": "s", "RestrictNamespaces": "t",
	"RestrictRealtime": "b", "RestrictSUIDSGID": "b", "LockPersonality": "b", "MemoryDenyWriteExecute": "b", "RemoveIPC": "b",
	"KeyringMode": "s", "SystemCallArchitectures": "as", "SystemCallFilter": "(bas)", "SystemCallErrorNumber": "i",
}

func shippedUnits(t *testing.T) []Unit {
	t.Helper()
	p, _ := MakePlan(parse(t, string(shipped(t))), strixHalo())
	return p.Units
}

func TestEveryValueHasTheTypeThatSystemdWants(t *testing.T) {
	seen := map[string]bool{}
	for _, u := range shippedUnits(t) {
		for _, p := range u.Properties {
			seen[p.Name] = true
			if got := signatures[reflect.TypeOf(p.Value)]; got != wantSignature[p.Name] {
				t.Errorf("%s: %s is %q (%T), want %q", u.Name, p.Name, got, p.Value, wantSignature[p.Name])
			}
		}
	}
	for _, row := range settings {
		if !seen[row.name] {
			t.Errorf("no shipped unit has %s", row.name)
		}
	}
}

func TestNoListIsNil(t *testing.T) {
	for _, u := range shippedUnits(t) {
		for _, p := range u.Properties {
			if v := reflect.ValueOf(p.Value); v.Kind() == reflect.Slice && v.Len() == 0 {
				t.Errorf("%s: %s is empty: an empty list resets a setting instead of leaving it out", u.Name, p.Name)
			}
		}
	}
}

func TestOnlyTheSystemCallFilterIsThereTwice(t *testing.T) {
	for _, u := range shippedUnits(t) {
		seen := map[string]bool{}
		for _, p := range u.Properties {
			if seen[p.Name] && p.Name != "SystemCallFilter" {
				t.Errorf("%s: %s twice", u.Name, p.Name)
			}
			seen[p.Name] = true
		}
	}
}

func TestPropertiesNewerThanSystemdAreLeftOut(t *testing.T) {
	c := parse(t, base)
	s := &spec{host: Host{SystemdVersion: 256}, config: c, tier: c.Tiers[0], variant: c.Tiers[0].Variants[0], unit: &Unit{}, argv: []string{"x"}}
	table := []setting{
		{name: "Old", value: always(true)},
		{name: "Floor", since: 255, value: always(true)},
		{name: "Now", since: 256, value: always(true)},
		{name: "New", since: 257, value: always(true)},
		{name: "Absent", value: always(nil)},
	}
	for version, want := range map[int]string{256: "Old Floor Now", 257: "Old Floor Now New", 255: "Old Floor", 0: "Old Floor", 249: "Old Floor"} {
		s.host.SystemdVersion = version
		got := strings.Join(each(fromTable(table, s), func(p Property) string { return p.Name }), " ")
		if got != want {
			t.Errorf("systemd %d: %s, want %s", version, got, want)
		}
	}
}

func TestTheFloorTakesWholeUnits(t *testing.T) {
	for _, row := range settings {
		if row.since > floorVersion {
			t.Errorf("%s needs systemd %d: say in the table what happens without it, then change this test", row.name, row.since)
		}
	}
}

func TestOnlyGPUTiersMayOpenTheGPU(t *testing.T) {
	for _, u := range shippedUnits(t) {
		devices, groups := property(u, "DeviceAllow"), property(u, "SupplementaryGroups")
		if u.GPU != (len(devices) == 1) || u.GPU != (len(groups) == 1) || one[bool](t, u, "PrivateDevices") == u.GPU {
			t.Errorf("%s: GPU %v, devices %v, groups %v", u.Name, u.GPU, devices, groups)
		}
		slice := "tier-cpu.slice"
		if u.GPU {
			slice = "tier-gpu.slice"
		}
		if got := one[string](t, u, "Slice"); got != slice {
			t.Errorf("%s is in %s", u.Name, got)
		}
		if one[string](t, u, "DevicePolicy") != "closed" {
			t.Errorf("%s: devices are open", u.Name)
		}
	}
}

func TestOnlyGroupsThatExistAreNamed(t *testing.T) {
	for _, row := range []struct {
		groups map[string]bool
		want   []any
	}{
		{nil, nil},
		{map[string]bool{"render": true}, []any{[]string{"render"}}},
		{map[string]bool{"video": true, "wheel": true}, []any{[]string{"video"}}},
		{map[string]bool{"video": true, "render": true}, []any{[]string{"render", "video"}}},
	} {
		u := unitOf(t, Host{Groups: row.groups}, "tier-coder.service")
		if got := property(u, "SupplementaryGroups"); !reflect.DeepEqual(got, row.want) {
			t.Errorf("%v: %v", row.groups, got)
		}
	}
}

func TestOnlyATierThatLeavesTheMachineHasANetwork(t *testing.T) {
	for _, u := range shippedUnits(t) {
		remote := u.Engine == KindRemote
		if one[bool](t, u, "PrivateNetwork") == remote {
			t.Errorf("%s: PrivateNetwork is %v", u.Name, !remote)
		}
		if denied := len(property(u, "IPAddressDeny")) > 0; denied == remote {
			t.Errorf("%s: outside addresses denied: %v", u.Name, denied)
		}
		families := one[Filter](t, u, "RestrictAddressFamilies")
		if inet := slices.Contains(families.Names, "AF_INET"); !families.Allow || inet != (u.Engine != KindLlama) {
			t.Errorf("%s: address families %v", u.Name, families)
		}
	}
}

func TestSecretsTravelAsCredentialsAlone(t *testing.T) {
	u := unit(t, string(shipped(t)), strixHalo(), "tier-orch-cloud.service")
	if got := one[[]Pair](t, u, "LoadCredentialEncrypted"); !slices.Equal(got, []Pair{{"cloud-key", "cloud-key"}}) {
		t.Errorf("got %v", got)
	}
	for _, other := range shippedUnits(t) {
		if other.Engine != KindRemote && property(other, "LoadCredentialEncrypted") != nil {
			t.Errorf("%s has a credential", other.Name)
		}
	}
}

func TestTheLowestPriorityIsKilledFirst(t *testing.T) {
	last := int32(1001)
	for priority := range 101 {
		score := OOMScore(priority)
		if score >= last || score <= 0 || score > 1000 {
			t.Errorf("priority %d has the score %d, the one before %d", priority, score, last)
		}
		last = score
	}
}

func TestTheKernelMayTakeAnEngineAndNeverTheShimThatTellsOfIt(t *testing.T) {
	for _, u := range shippedUnits(t) {
		score, argv := one[int32](t, u, "OOMScoreAdjust"), argv(t, u)
		if remote := argv[1] == "remote"; remote && score <= 0 || !remote && score != -1000 {
			t.Errorf("%s %s has the score %d", u.Name, argv[1], score)
		} else if !remote && !slices.ContainsFunc(argv, func(arg string) bool { return strings.HasPrefix(arg, "--oom-score=") }) {
			t.Errorf("%s gives its engine no score", u.Name)
		}
	}
}

func TestVariantsOfATierExcludeEachOther(t *testing.T) {
	all := shippedUnits(t)
	for _, a := range all {
		for _, b := range all {
			if a.Name == b.Name {
				continue
			}
			conflict := slices.Contains(conflicts(a), b.Name)
			if same := a.Tier == b.Tier; conflict != same {
				t.Errorf("%s conflicts with %s: %v", a.Name, b.Name, conflict)
			}
			aAfterB := slices.Contains(one[[]string](t, a, "After"), b.Name)
			bAfterA := slices.Contains(one[[]string](t, b, "After"), a.Name)
			if conflict && aAfterB == bAfterA {
				t.Errorf("%s and %s: want an order in one direction", a.Name, b.Name)
			}
		}
	}
}

func conflicts(u Unit) []string {
	for _, v := range property(u, "Conflicts") {
		return v.([]string)
	}
	return nil
}

func TestHomesAreHiddenAndTheModelIsNot(t *testing.T) {
	for _, row := range []struct {
		rule  string
		edits []string
		h     Host
		home  string
		binds []string
	}{
		{"a model outside of homes", nil, Host{FS: shelf()}, "yes", []string{"/models/some"}},
		{"a model in a home", []string{`models = ["/models"]`, `models = ["/home/me/.cache/huggingface"]`, "some/small.gguf", "org/cached/q4.gguf"},
			Host{FS: shelf()}, "tmpfs", []string{cached}},
		{"further paths", []string{`memory = "2GiB"`, "memory = \"2GiB\"\npaths = [\"/home/me/lora\", \"/data\"]"},
			Host{FS: shelf()}, "tmpfs", []string{"/data", "/home/me/lora", "/models/some"}},
		{"a program in a home", []string{`command = ["/usr/bin/llama-server"]`, "command = [\"/home/me/l/bin/x\"]\npaths = [\"/home/me/l\"]"},
			Host{FS: shelf()}, "tmpfs", []string{"/home/me/l", "/models/some"}},
		{"nobody looked", nil, Host{}, "yes", nil},
	} {
		t.Run(row.rule, func(t *testing.T) {
			text := strings.Replace(base, "small.gguf", "some/small.gguf", 1)
			for i := 0; i < len(row.edits); i += 2 {
				text = strings.Replace(text, row.edits[i], row.edits[i+1], 1)
			}
			u := unit(t, text, row.h, "tier-utility.service")
			if got := one[string](t, u, "ProtectHome"); got != row.home {
				t.Errorf("ProtectHome is %s", got)
			}
			var dirs []string
			for _, v := range property(u, "BindReadOnlyPaths") {
				for _, b := range v.([]Bind) {
					if b.Source != b.Target || !b.IgnoreMissing {
						t.Errorf("bind %+v", b)
					}
					dirs = append(dirs, b.Source)
				}
			}
			if !slices.Equal(dirs, row.binds) {
				t.Errorf("bound are %v, want %v", dirs, row.binds)
			}
		})
	}
}

func TestOnlyJITCompilersMayRunWhatTheyWrite(t *testing.T) {
	for _, u := range shippedUnits(t) {
		if got := one[bool](t, u, "MemoryDenyWriteExecute"); got != (!u.GPU && u.Engine != KindVLLM) {
			t.Errorf("%s: MemoryDenyWriteExecute is %v", u.Name, got)
		}
		if exec := property(u, "ExecPaths"); (exec != nil) != (u.Engine == KindVLLM) {
			t.Errorf("%s: ExecPaths is %v", u.Name, exec)
		}
	}
}

func TestAdoptionFindsWhatItReads(t *testing.T) {
	for _, u := range shippedUnits(t) {
		var fields []string
		for _, f := range one[[][]byte](t, u, "LogExtraFields") {
			fields = append(fields, string(f))
		}
		want := []string{"TIERD_TIER=" + u.Tier, "TIERD_VARIANT=" + u.Variant, "TIERD_HASH=" + u.Hash, "TIERD_PORT=" + number(u.Port)}
		if !slices.Equal(fields, want) {
			t.Errorf("%s: %v", u.Name, fields)
		}
	}
}

func TestArgumentsAreTakenAsTheyAre(t *testing.T) {
	u := unit(t, edit(t, `memory = "2GiB"`, "memory = \"2GiB\"\nextra_args = [\"$HOME\", \"%n\", \"a b\"]"), Host{}, "tier-utility.service")
	e := one[[]Exec](t, u, "ExecStartEx")[0]
	if !slices.Equal(e.Flags, []string{"no-env-expand"}) || e.Path != shimPath || e.Args[0] != shimPath {
		t.Errorf("got %+v", e)
	}
	if got := e.Args[len(e.Args)-3:]; !slices.Equal(got, []string{"$HOME", "%n", "a b"}) {
		t.Errorf("got %q", got)
	}
}
