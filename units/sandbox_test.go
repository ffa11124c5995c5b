package units

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// fourKinds are units of each kind that is locked up differently: vLLM on the GPU, llama-server on the CPU and on the GPU, and
// a forwarder.
func fourKinds(t *testing.T) [4]map[string]string {
	t.Helper()
	host := Host{Groups: map[string]bool{"render": true, "video": true}}
	command := `command = ["/usr/bin/llama-server"]`
	var all [4]map[string]string
	for i, u := range []Unit{
		unit(t, base, host, "tier-coder.service"),
		unit(t, base, host, "tier-utility.service"),
		unit(t, edit(t, command, command+"\ngpu = true"), host, "tier-utility.service"),
		unit(t, base, host, "tier-coder-cloud.service"),
	} {
		all[i] = map[string]string{}
		for _, p := range u.Properties {
			if old, twice := all[i][p.Name]; twice {
				all[i][p.Name] = old + "\n" + strings.Join(render(p), "\n")
				continue
			}
			all[i][p.Name] = strings.Join(render(p), "\n")
		}
	}
	return all
}

// TestWhatEachKindOfTierMay is the sandbox as an administrator would want to read it. A line that gets weaker here has to be
// weaker for a reason that stands beside it.
func TestWhatEachKindOfTierMay(t *testing.T) {
	same := func(v string) [4]string { return [4]string{v, v, v, v} }
	for name, want := range map[string][4]string{
		// Nobody can write anything but the tier's own directories and a /tmp that goes with it.
		"ProtectSystem": same("strict"), "ReadOnlyPaths": same("/run"), "ProtectHome": same("yes"), "PrivateTmp": same("yes"),
		"UMask": same("0007"), "RuntimeDirectoryMode": same("0750"), "CacheDirectoryMode": same("0700"), "RemoveIPC": same("yes"),
		// vLLM alone loads what it compiled, from its own cache.
		"ExecPaths":              {"/var/cache/private/tier/coder", "", "", ""},
		"MemoryDenyWriteExecute": {"no", "yes", "no", "yes"},
		// The GPU is seen by those who use it, and no other device is.
		"PrivateDevices": {"no", "yes", "no", "yes"}, "DevicePolicy": same("closed"),
		"DeviceAllow":         {"/dev/kfd rw\nchar-drm rw", "", "/dev/kfd rw\nchar-drm rw", ""},
		"SupplementaryGroups": {"render video", "", "render video", ""},
		"Slice":               {"tier-gpu.slice", "tier-cpu.slice", "tier-gpu.slice", "tier-cpu.slice"},
		// Only a tier that leaves the machine has a network; the others are reached by their socket.
		"PrivateNetwork": {"yes", "yes", "yes", "no"},
		"IPAddressDeny":  {"0.0.0.0/0 ::/0", "0.0.0.0/0 ::/0", "0.0.0.0/0 ::/0", ""},
		"IPAddressAllow": {"127.0.0.0/8 ::1/128", "127.0.0.0/8 ::1/128", "127.0.0.0/8 ::1/128", ""},
		"RestrictAddressFamilies": {"AF_UNIX AF_NETLINK AF_INET AF_INET6", "AF_UNIX AF_NETLINK", "AF_UNIX AF_NETLINK",
			"AF_UNIX AF_INET AF_INET6"},
		// No right of the kernel's, and no way to get one.
		"DynamicUser": same("yes"), "Group": same("tier-gateway"), "CapabilityBoundingSet": same(""), "AmbientCapabilities": same(""),
		"NoNewPrivileges": same("yes"), "PrivateUsers": same("yes"), "RestrictSUIDSGID": same("yes"), "RestrictNamespaces": same("uts"),
		"RestrictRealtime": same("yes"), "LockPersonality": same("yes"), "KeyringMode": same("private"), "PrivateIPC": same("yes"),
		"ProtectKernelTunables": same("yes"), "ProtectKernelModules": same("yes"), "ProtectKernelLogs": same("yes"),
		"ProtectControlGroups": same("yes"), "ProtectClock": same("yes"), "ProtectHostname": same("yes"), "ProtectProc": same("invisible"),
		"SystemCallFilter": same("@system-service\n~@privileged"), "SystemCallArchitectures": same("native"),
		"SystemCallErrorNumber": same("EPERM"),
		// Memory: a limit only where the kernel counts it, never swap, never a core of the model's size.
		"MemoryMax":     {"", "2151M", "", "192M"},
		"MemorySwapMax": same("0"), "MemoryZSwapMax": same("0"), "LimitCORE": same("0"), "LimitMEMLOCK": same("infinity"),
		// The shim says why a tier was killed, and oomd takes it last.
		"OOMPolicy": same("continue"), "ManagedOOMPreference": same("avoid"),
		// Secrets as credentials alone.
		"LoadCredentialEncrypted": {"", "", "", "cloud-key:cloud-key"},
	} {
		got := fourKinds(t)
		for i, kind := range []string{"vLLM", "llama-server on the CPU", "llama-server on the GPU", "a forwarder"} {
			if got[i][name] != want[i] {
				t.Errorf("%s of %s is %q, want %q", name, kind, got[i][name], want[i])
			}
		}
	}
}

func TestHowEachKindOfTierEnds(t *testing.T) {
	got := fourKinds(t)
	for i, stop := range []string{"55s", "45s", "45s", "35s"} {
		for name, want := range map[string]string{
			"Type": "notify", "NotifyAccess": "main", "KillMode": "mixed", "TimeoutStopUSec": stop, "TimeoutAbortUSec": stop,
			"TimeoutStartUSec": "1min 30s", "WatchdogUSec": "30s", "WatchdogSignal": "SIGTERM",
			"Restart": "on-failure", "RestartMode": "direct", "RestartUSec": "2s", "RestartSteps": "5", "RestartMaxDelayUSec": "1min",
			"StartLimitIntervalUSec": "10min", "StartLimitBurst": "5", "RestartPreventExitStatus": "75 78 66 73 71",
		} {
			if got[i][name] != want {
				t.Errorf("%s of kind %d is %q, want %q", name, i, got[i][name], want)
			}
		}
	}
}

// Five starts with their pauses have to fit into the interval in which systemd counts them, or it would try for ever.
func TestTheLimitOfStartsIsReachable(t *testing.T) {
	u := unit(t, base, Host{}, "tier-utility.service")
	pause := time.Duration(one[uint64](t, u, "RestartMaxDelayUSec")) * time.Microsecond
	interval := time.Duration(one[uint64](t, u, "StartLimitIntervalUSec")) * time.Microsecond
	if starts := one[uint32](t, u, "StartLimitBurst"); time.Duration(starts)*pause >= interval {
		t.Errorf("%d starts with %s between them take longer than %s", starts, pause, interval)
	}
}

// inSystemdsWords reads a length of time as systemd writes it, by the rules of systemd.time(7).
func inSystemdsWords(t *rapid.T, text string) time.Duration {
	if text == "0" {
		return 0
	}
	var sum time.Duration
	for part := range strings.FieldsSeq(text) {
		d, err := time.ParseDuration(strings.NewReplacer("min", "m").Replace(part))
		if err != nil {
			t.Fatalf("%q in %q is no length of time", part, text)
		}
		sum += d
	}
	return sum
}

func TestALengthOfTimeSurvivesItsWriting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, int64(200*time.Hour/time.Microsecond)).Draw(t, "microseconds")) * time.Microsecond
		if got := inSystemdsWords(t, renderTime(d)); got != d {
			t.Fatalf("%s was written %q and reads %s", d, renderTime(d), got)
		}
	})
}

// No text of the file can begin a setting of its own: each line of a unit is one that the table of settings made.
func TestNoTextOfTheFileBecomesASetting(t *testing.T) {
	odd := rapid.StringMatching(`[ -~]{0,20}`)
	rapid.Check(t, func(t *rapid.T) {
		var args []string
		for range rapid.IntRange(0, 4).Draw(t, "arguments") {
			args = append(args, quoteTOML(odd.Draw(t, "argument")))
		}
		text := strings.Replace(base, `model = "small.gguf"`,
			"model = "+quoteTOML("m"+odd.Draw(t, "model"))+"\nserved_name = "+quoteTOML("s"+odd.Draw(t, "served"))+
				"\nextra_args = ["+strings.Join(args, ", ")+"]\nenv = { NOTE = "+quoteTOML(odd.Draw(t, "env"))+" }", 1)
		c, _ := ParseConfig("f", []byte(text))
		if c == nil {
			t.Skip("refused")
		}
		p, _ := MakePlan(c, Host{})
		u, _ := p.Unit("tier-utility.service")
		lines := strings.Split(u.Text(), "\n")
		for _, line := range lines {
			name, _, ok := strings.Cut(line, "=")
			if line == "" || line == "[Unit]" || line == "[Service]" || strings.HasPrefix(line, "# ") {
				continue
			}
			if !ok || !slices.ContainsFunc(settings, func(s setting) bool { return textName(s.name) == name }) {
				t.Fatalf("%q is no setting of ours, in\n%s", line, u.Text())
			}
		}
	})
}

// quoteTOML writes a basic string of TOML.
func quoteTOML(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
