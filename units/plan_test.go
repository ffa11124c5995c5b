package units

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// emptyFS is a host on which nothing is installed.
var emptyFS = fstest.MapFS{"etc/hostname": file(1)}

func unitOf(t testing.TB, h Host, name string) Unit { return unit(t, base, h, name) }

func TestUnitsAreNamedAfterTierAndVariant(t *testing.T) {
	p, _ := MakePlan(parse(t, base), Host{})
	got := each(p.Units, func(u Unit) string { return u.Name + " " + u.Socket })
	want := []string{
		"tier-coder.service /run/tier/tier-coder/engine.sock",
		"tier-coder-cloud.service /run/tier/tier-coder-cloud/engine.sock",
		"tier-utility.service /run/tier/tier-utility/engine.sock",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestAUnitCarriesWhatTheAgentNeeds(t *testing.T) {
	u := unitOf(t, Host{}, "tier-coder.service")
	u.Properties, u.Hash = nil, ""
	want := Unit{
		Name: "tier-coder.service", Tier: "coder", Variant: "vllm", Default: true, Port: 8002,
		Socket: "/run/tier/tier-coder/engine.sock", Engine: KindVLLM, GPU: true, Model: "org/big", Served: "coder",
		Context: 16384, Memory: 20 * GiB, Charge: Charge{Written: 20 * GiB, Device: 20 * GiB}, Priority: 80, Start: StartManual,
	}
	if !reflect.DeepEqual(u, want) {
		t.Errorf("got %+v", u)
	}
	cloud := unitOf(t, Host{}, "tier-coder-cloud.service")
	if cloud.Default || cloud.GPU || cloud.Served != "large" || cloud.Memory != remoteMemory || cloud.Engine != KindRemote {
		t.Errorf("got %+v", cloud)
	}
}

func TestWhatIsMissingBlocksItsUnitAlone(t *testing.T) {
	h := Host{FS: fstest.MapFS{
		"opt/vllm/bin/vllm":          program(),
		"models/org/big/config.json": file(1),
		"models/small.gguf":          file(1),
	}}
	p, faults := MakePlan(parse(t, base), h)
	for name, want := range map[string]string{
		"tier-coder.service": "",
		"tier-coder-cloud.service": "configuration: credential \"cloud-key\" is not in /etc/credstore.encrypted; " +
			"make it with `systemd-creds encrypt --name=cloud-key - /etc/credstore.encrypted/cloud-key`",
		"tier-utility.service": "configuration: engine \"llama\": /usr/bin/llama-server does not exist; install it, or change `command` in [engine.llama]",
	} {
		u, _ := p.Unit(name)
		if got := strings.TrimPrefix(u.BlockClass+": "+u.Blocked, ": "); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
	if len(faults) != 2 || !faults[0].Warning || faults[0].Line != 27 || faults[0].Tier != "coder" || faults[1].Line != 34 || faults[1].Tier != "utility" {
		t.Errorf("faults are\n%s", lines(faults))
	}
}

func TestAllThatIsMissingIsToldAndTheFirstIsTheReason(t *testing.T) {
	p, faults := MakePlan(parse(t, base), Host{FS: emptyFS})
	if len(faults) != 5 { // two engines, two models, one credential
		t.Errorf("faults are\n%s", lines(faults))
	}
	u, _ := p.Unit("tier-utility.service")
	if !strings.HasPrefix(u.Blocked, `engine "llama"`) {
		t.Errorf("blocked: %s", u.Blocked)
	}
}

func TestTheShimIsToldWhyItsUnitIsBlocked(t *testing.T) {
	h := Host{FS: fstest.MapFS{"usr/bin/llama-server": program(), "opt/vllm/bin/vllm": program()}}
	u := unit(t, base, h, "tier-utility.service")
	if want := "--blocked=model:" + u.Blocked; u.Blocked == "" || !slices.Contains(shimFlags(t, u), want) {
		t.Errorf("no %s in %v", want, shimFlags(t, u))
	}
	// Its model cannot be bound, and systemd would fail over a credential before the shim could speak.
	if binds := property(u, "BindReadOnlyPaths"); binds != nil {
		t.Errorf("binds %v", binds)
	}
	if creds := property(unit(t, base, h, "tier-coder-cloud.service"), "LoadCredentialEncrypted"); creds != nil {
		t.Errorf("credentials %v", creds)
	}
}

func TestWithoutAFileSystemNothingIsLookedFor(t *testing.T) {
	p, faults := MakePlan(parse(t, base), Host{})
	if len(faults) > 0 {
		t.Errorf("faults are\n%s", lines(faults))
	}
	for _, u := range p.Units {
		if u.Blocked != "" {
			t.Errorf("%s is blocked", u.Name)
		}
	}
}

func TestAModelIsNamedToTheEngineByItsPath(t *testing.T) {
	h := strixHalo()
	text := string(shipped(t))
	for name, want := range map[string]string{
		"tier-orch.service":    "/var/lib/tierd/models/Qwen/Qwen2.5-14B-Instruct",
		"tier-coder.service":   "/var/lib/tierd/models/models--Qwen--Qwen3-Coder-30B-A3B-Instruct/snapshots/b2cff646eb4bb1d68355c01b18ae02e7cf42d120",
		"tier-utility.service": "/var/lib/tierd/models/Qwen/Qwen2.5-3B-Instruct-GGUF/qwen2.5-3b-instruct-q4_k_m.gguf",
	} {
		if u := unit(t, text, h, name); !slices.Contains(argv(t, u), want) {
			t.Errorf("%s is not in %v", want, argv(t, u))
		}
	}
	shards := int64(0)
	for name, f := range strixModels() {
		if strings.Contains(name, "Coder-30B") && strings.HasSuffix(name, ".safetensors") {
			shards += f.size
		}
	}
	if u := unit(t, text, h, "tier-coder.service"); !slices.Contains(shimFlags(t, u), fmt.Sprintf("--progress-bytes=%d", shards)) {
		t.Errorf("no size in %v", shimFlags(t, u))
	}
}

func TestWhatTheHostCannotHoldIsAWarning(t *testing.T) {
	for _, row := range []struct {
		rule string
		h    Host
		want string
	}{
		{"all fits", Host{MemTotal: 24 * GiB, CPUs: 4}, ""},
		{"a variant that is too large", Host{MemTotal: 24*GiB - 1},
			"tiers.toml:20: warning: coder/vllm can never start: it takes 20GiB, and this host has 24GiB less the reserve of 4GiB"},
		{"a reserve that is all there is", Host{MemTotal: 4 * GiB},
			"tiers.toml:2: warning: no tier can ever start: reserve in [host] is 4GiB, and this host has 4GiB in all"},
		{"more threads than CPUs", Host{CPUs: 2},
			"tiers.toml:38: warning: threads of utility/llama: 3 are more than the 2 CPUs of this host, which makes it slower"},
	} {
		t.Run(row.rule, func(t *testing.T) {
			p, faults := MakePlan(parse(t, edit(t, `memory = "2GiB"`, "memory = \"2GiB\"\nthreads = 3")), row.h)
			if got := lines(faults); got != row.want || p == nil {
				t.Errorf("got\n%s\nwant\n%s", got, row.want)
			}
		})
	}
}

func TestAPlanIsAskedByName(t *testing.T) {
	p, _ := MakePlan(parse(t, base), Host{})
	if u, ok := p.Variant("coder", ""); !ok || u.Name != "tier-coder.service" {
		t.Errorf("default variant: %v %v", u.Name, ok)
	}
	if u, ok := p.Variant("coder", "cloud"); !ok || u.Name != "tier-coder-cloud.service" {
		t.Errorf("named variant: %v %v", u.Name, ok)
	}
	for _, pair := range [][2]string{{"coder", "llama"}, {"nobody", ""}} {
		if _, ok := p.Variant(pair[0], pair[1]); ok {
			t.Errorf("found %v", pair)
		}
	}
	if _, ok := p.Unit("tier-coder"); ok {
		t.Error("a unit is asked with its suffix")
	}
}

func TestAModeIsAListOfUnits(t *testing.T) {
	p, _ := MakePlan(parse(t, base+"[mode.away]\ntiers = [\"utility\", \"coder/cloud\"]\n"), Host{})
	for mode, want := range map[string]string{
		"":     "tier-coder.service tier-utility.service",
		"both": "tier-coder.service tier-utility.service",
		"away": "tier-utility.service tier-coder-cloud.service",
	} {
		units, err := p.Mode(mode)
		if got := strings.Join(each(units, func(u Unit) string { return u.Name }), " "); err != nil || got != want {
			t.Errorf("mode %q: %s, %v", mode, got, err)
		}
	}
	if _, err := p.Mode("bth"); err == nil || err.Error() != `no mode is called "bth"; did you mean "both"?` {
		t.Errorf("got %v", err)
	}
}

func TestWithoutModesThereIsNoDefault(t *testing.T) {
	p, _ := MakePlan(parse(t, edit(t, `default_mode = "both"`, "", "[mode.both]\ntiers = [\"coder\", \"utility\"]", "")), Host{})
	if _, err := p.Mode(""); err == nil || err.Error() != "tiers.toml has no mode" {
		t.Errorf("got %v", err)
	}
}
