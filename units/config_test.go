package units

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTheShippedFileHasNoFault(t *testing.T) {
	c := parse(t, string(shipped(t)))
	var tiers []string
	for _, tier := range c.Tiers {
		for _, v := range tier.Variants {
			tiers = append(tiers, tier.Name+"/"+v.Name)
		}
	}
	want := "orch/vllm orch/llama orch/llama-rocm orch/cloud coder/vllm reviewer/llama utility/llama"
	if got := strings.Join(tiers, " "); got != want {
		t.Errorf("tiers are %s, want %s", got, want)
	}
	modes := each(c.Modes, func(m Mode) string { return m.Name })
	if got := strings.Join(modes, " "); got != "gpu cpu full hybrid-radv hybrid-rocm" {
		t.Errorf("modes are %s", got)
	}
}

func TestTheShippedFilePlansWithoutAWarningWhereAllIsInstalled(t *testing.T) {
	p, faults := MakePlan(parse(t, string(shipped(t))), strixHalo())
	if len(faults) > 0 {
		t.Errorf("faults:\n%s", lines(faults))
	}
	for _, u := range p.Units {
		if u.Blocked != "" {
			t.Errorf("%s is blocked: %s", u.Name, u.Blocked)
		}
	}
}

// The tiers of a mode that have to be there must fit together; one on demand finds room or stays on demand.
func TestEveryShippedModeFits(t *testing.T) {
	h := strixHalo()
	p, _ := MakePlan(parse(t, string(shipped(t))), h)
	for _, m := range p.Config.Modes {
		units, err := p.Mode(m.Name)
		if err != nil {
			t.Fatal(err)
		}
		sum := p.Config.Host.Reserve
		for _, u := range units {
			if u.Start != StartDemand {
				sum += u.Memory
			}
		}
		if sum > h.MemTotal {
			t.Errorf("mode %s with the reserve takes %s of %s", m.Name, sum, h.MemTotal)
		}
	}
}

// Every key that can be written is explained in the shipped file, since a user has no other page.
func TestTheShippedFileNamesEveryKey(t *testing.T) {
	text := string(shipped(t))
	for _, table := range []any{HostConfig{}, Gateway{}, Key{}, Engine{}, Tier{}, Variant{}, Mode{}} {
		for _, key := range keysOf(reflect.TypeOf(table)) {
			if key == "variant" {
				continue
			}
			documented := strings.Contains(text, "\n#   "+key+" ") || strings.Contains(text, "\n"+key+" = ") ||
				strings.Contains(text, ", "+key+" ") || strings.Contains(text, "#   "+key+",")
			if !documented {
				t.Errorf("key %q of %T is not in tiers.toml", key, table)
			}
		}
	}
}

func TestWhatIsLeftOutHasItsDefault(t *testing.T) {
	c := parse(t, base)
	if !reflect.DeepEqual(c.Gateway, Gateway{Listen: "127.0.0.1", Port: 8000, Drain: 30 * time.Second, Hold: 4 * time.Minute, MaxConnections: 1024, MaxBody: 64 * MiB}) {
		t.Errorf("gateway is %+v", c.Gateway)
	}
	coder, _ := c.Tier("coder")
	if coder.Role != "coder" || coder.Start != StartManual || coder.Priority != 80 || coder.IdleStop != 0 || c.DrainOf(coder) != 30*time.Second {
		t.Errorf("coder is %+v", coder)
	}
	utility, _ := c.Tier("utility")
	if utility.Priority != 50 || utility.Start != StartBoot {
		t.Errorf("utility is %+v", utility)
	}
	v, _ := coder.Variant("")
	if v.Name != "vllm" || v.Parallel != 4 || v.BatchTokens != 2048 || !v.PrefixCaching || v.LoadTimeout != 20*time.Minute || v.ServedName != "coder" {
		t.Errorf("coder/vllm is %+v", v)
	}
	cloud, _ := coder.Variant("cloud")
	if cloud.Memory != remoteMemory || cloud.ServedName != "large" {
		t.Errorf("coder/cloud is %+v", cloud)
	}
	l, _ := utility.Variant("llama")
	if l.Parallel != 1 || l.FlashAttention != "on" || l.LoadMode != "mmap" || l.BatchTokens != 0 {
		t.Errorf("utility/llama is %+v", l)
	}
}

func TestWhatIsWrittenWinsOverTheDefault(t *testing.T) {
	c := parse(t, edit(t,
		"port = 8002", "port = 8002\nrole = \"writer\"\ndrain = \"2m\"\nidle_stop = \"20m\"",
		`kv_memory = "4GiB"`, "parallel = 2\nbatch_tokens = \"4K\"\nprefix_caching = false\nserved_name = \"me\"\nload_timeout = \"1h\"\ngpu_utilization = 0.5",
		`memory = "2GiB"`, "memory = \"2GiB\"\nload_mode = \"mlock\"\nflash_attention = \"auto\"\nparallel = 3",
		"[mode.both]", "[gateway]\nlisten = \"127.0.0.2\"\nport = 0\ndrain = \"0s\"\nhold = \"90s\"\nhosts = [\"models.home\", \"10.0.0.7\"]\n"+
			"max_connections = 50\nmax_body = \"1MiB\"\nopen_loopback = true\n[mode.both]"))
	coder, _ := c.Tier("coder")
	if coder.Role != "writer" || c.DrainOf(coder) != 2*time.Minute || coder.IdleStop != 20*time.Minute {
		t.Errorf("coder is %+v", coder)
	}
	v := coder.Variants[0]
	if v.Parallel != 2 || v.BatchTokens != 4096 || v.PrefixCaching || v.ServedName != "me" || v.LoadTimeout != time.Hour || v.Utilization != 0.5 {
		t.Errorf("coder/vllm is %+v", v)
	}
	utility, _ := c.Tier("utility")
	if l := utility.Variants[0]; l.LoadMode != "mlock" || l.FlashAttention != "auto" || l.Parallel != 3 || c.DrainOf(utility) != 0 {
		t.Errorf("utility/llama is %+v", l)
	}
	if !reflect.DeepEqual(c.Gateway, Gateway{Listen: "127.0.0.2", Hold: 90 * time.Second, Hosts: []string{"models.home", "10.0.0.7"}, MaxConnections: 50, MaxBody: MiB, OpenLoopback: true}) {
		t.Errorf("gateway is %+v", c.Gateway)
	}
}

func TestHowRequestsAreLetThrough(t *testing.T) {
	c := parse(t, edit(t,
		"port = 8002", "port = 8002\nhold = \"10m\"\nkeepalive = \"comments\"",
		`kv_memory = "4GiB"`, "parallel = 6",
		"port = 8012", "port = 8012\nconcurrency = 0\noutput = \"2K\""))
	coder, _ := c.Tier("coder")
	utility, _ := c.Tier("utility")
	cloud, _ := coder.Variant("cloud")
	for rule, got := range map[string][2]any{
		"a tier's own hold":                                {c.HoldOf(coder), 10 * time.Minute},
		"the gateway's where it has none":                  {c.HoldOf(utility), 4 * time.Minute},
		"comments where they are asked for":                {coder.Alive, KeepaliveComments},
		"as many at a time as the engine works on":         {c.ConcurrencyOf(coder, coder.Variants[0]), 6},
		"a server elsewhere has a limit of its own":        {c.ConcurrencyOf(coder, cloud), 16},
		"what one answer may have":                         {utility.Output, Tokens(2048)},
		"and nothing is said of others":                    {coder.Output, Tokens(0)},
		"no limit when the file says so":                   {c.ConcurrencyOf(utility, utility.Variants[0]), 0},
		"the tier's figure is for each of its variants":    {c.ConcurrencyOf(Tier{Limit: new(3)}, cloud), 3},
		"a tier that the file does not have is held, too":  {c.HoldOf(Tier{}), 4 * time.Minute},
		"and a variant that it does not have has no limit": {c.ConcurrencyOf(Tier{}, Variant{}), 0},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: %v, want %v", rule, got[0], got[1])
		}
	}
}

func TestAGPUEngineOfLlamaReadsItsModelInsteadOfMappingIt(t *testing.T) {
	c := parse(t, edit(t, `command = ["/usr/bin/llama-server"]`, "command = [\"/x/llama-server\"]\ngpu = true"))
	utility, _ := c.Tier("utility")
	if got := utility.Variants[0].LoadMode; got != "none" {
		t.Errorf("load_mode is %q", got)
	}
}

func TestTheFirstModeIsTheDefault(t *testing.T) {
	c := parse(t, edit(t, `default_mode = "both"`, ""))
	if c.Host.DefaultMode != "both" {
		t.Errorf("default_mode is %q", c.Host.DefaultMode)
	}
}

func TestAnEngineNeedsNoTableToBeRemote(t *testing.T) {
	c := parse(t, base)
	if e, ok := c.Engine("remote"); !ok || e.Kind != KindRemote || e.UsesGPU() {
		t.Errorf("got %+v, %v", e, ok)
	}
}

func TestModesAndTiersMayBeMissingFromALookUp(t *testing.T) {
	c := parse(t, base)
	if _, ok := c.Tier("nobody"); ok {
		t.Error("found a tier that there is not")
	}
	if _, ok := c.Engine("nobody"); ok {
		t.Error("found an engine that there is not")
	}
	coder, _ := c.Tier("coder")
	if _, ok := coder.Variant("nobody"); ok {
		t.Error("found a variant that there is not")
	}
}

func TestAnEmptyFileHasOneFault(t *testing.T) {
	c, faults := ParseConfig("tiers.toml", nil)
	if c != nil || lines(faults) != "tiers.toml: there is no tier; write one as [tier.NAME] with [tier.NAME.variant.NAME]" {
		t.Errorf("got %v", lines(faults))
	}
}

func TestASixTierFileIsAsGoodAsAFourTierOne(t *testing.T) {
	text := base
	for _, name := range []string{"a", "b", "c", "d"} {
		text += "[tier." + name + "]\nport = 90" + string('1'+name[0]-'a') + "0\n[tier." + name + ".variant.x]\nengine = \"llama\"\nmodel = \"m.gguf\"\ncontext = 1024\nmemory = \"1GiB\"\n"
	}
	p, faults := MakePlan(parse(t, text), Host{})
	if len(faults) > 0 || len(p.Units) != 7 {
		t.Errorf("%d units, %s", len(p.Units), lines(faults))
	}
}

// A secret's forms are told from names that people give to credentials.
func TestSecretsAreToldFromNames(t *testing.T) {
	for _, name := range []string{"cloud-key", "openai", "my.key_2", "anthropic-production-key-2026", "", "provider-key-of-the-other-team"} {
		if looksSecret(name) {
			t.Errorf("%q looks like a secret", name)
		}
	}
	for _, secret := range []string{"sk-abc", "hf_abcdefgh", "ghp_0123", "a8f5f167f44f4964e6c998dee827110c", "AIzaSyD-x", "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4MTIz"} {
		if !looksSecret(secret) {
			t.Errorf("%q does not look like a secret", secret)
		}
	}
}

func TestVariablesThatHoldSecretsAreKnownByName(t *testing.T) {
	for name, want := range map[string]bool{
		"OPENAI_API_KEY": true, "HF_TOKEN": true, "DB_PASSWORD": true, "MY_SECRET": true, "TOKEN": true, "KEY": true, "api_key": true,
		"PYTHONPATH": false, "TOKENIZERS_PARALLELISM": false, "HSA_ENABLE_SDMA": false, "KEYBOARD": false, "MONKEY": false, "VLLM_ROCM_USE_AITER": false,
	} {
		if got := secretEnv.MatchString(strings.ToUpper(name)); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestEveryFlagThatTierdSetsIsRefused(t *testing.T) {
	p, _ := MakePlan(parse(t, string(shipped(t))), strixHalo())
	for _, u := range p.Units {
		if u.Engine == KindRemote {
			continue
		}
		args := argv(t, u)
		own := args[slices.Index(args, "--")+1:]
		for _, a := range args {
			if prefer, ok := strings.CutPrefix(a, "--prefer="); ok {
				for _, one := range strings.Split(prefer, "|") {
					own = append(own, strings.Fields(one)[0])
				}
			}
		}
		for _, a := range own {
			if !strings.HasPrefix(a, "-") || a == "--enforce-eager" { // the latter is in the file's extra_args
				continue
			}
			if _, _, found := ownFlag(u.Engine, []string{a}); !found {
				t.Errorf("%s: extra_args may hold %s too", u.Name, a)
			}
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(base))
	f.Add([]byte("[tier]\na = 1"))
	f.Add([]byte("[[tier]]\n[tier.variant]\n"))
	f.Add([]byte("[tier.a.variant]\nx = []"))
	f.Add([]byte("engine = { vllm = { command = [[]] } }"))
	for _, row := range faultTable {
		f.Add([]byte(edit(f, row.edits...)))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		c, faults := ParseConfig("f", src)
		if len(faults) > maxFaults+1 {
			t.Fatalf("%d faults", len(faults))
		}
		real := false
		for i, fault := range faults {
			real = real || !fault.Warning
			if fault.Line < 0 || i > 0 && fault.Line < faults[i-1].Line || strings.ContainsAny(fault.Msg, "\n\r") {
				t.Fatalf("fault %d of\n%s", i, lines(faults))
			}
		}
		if (c == nil) != real {
			t.Fatalf("configuration %v with faults\n%s", c, lines(faults))
		}
		if c == nil {
			return
		}
		p, _ := MakePlan(c, Host{SystemdVersion: 255, MemTotal: GiB})
		for _, u := range p.Units {
			_ = u.Text()
		}
	})
}

func TestWhatHasToStayFreeIsNeverMoreThanTheReserveUnlessWritten(t *testing.T) {
	eight, twenty := 8*GiB, 20*GiB
	for _, c := range []struct {
		reserve Bytes
		written *Bytes
		want    Bytes
	}{{12 * GiB, nil, eight}, {2 * GiB, nil, 2 * GiB}, {12 * GiB, &twenty, twenty}, {0, nil, 0}} {
		if got := (HostConfig{Reserve: c.reserve, KeepFree: c.written}).KeepFreeOf(); got != c.want {
			t.Errorf("reserve %s: %s, want %s", c.reserve, got, c.want)
		}
	}
}

func TestAddressesThatMeanAllAreReachedByLoopback(t *testing.T) {
	for listen, want := range map[string]string{
		"127.0.0.1": "http://127.0.0.1:8001", "0.0.0.0": "http://127.0.0.1:8001", "::": "http://[::1]:8001",
		"::1": "http://[::1]:8001", "192.168.7.2": "http://192.168.7.2:8001",
	} {
		if got := (Gateway{Listen: listen}).URL(8001); got != want {
			t.Errorf("%q: %s, want %s", listen, got, want)
		}
	}
}
