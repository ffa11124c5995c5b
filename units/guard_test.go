package units

import (
	"slices"
	"strings"
	"testing"
)

const guardBase = `[host]
reserve = "12GiB"
[guard]
enabled = true
[engine.llama]
command = ["/bin/llama-server"]
[tier.a]
port = 8001
[tier.a.variant.x]
engine = "llama"
model = "m.gguf"
context = "2K"
memory = "1GiB"
`

func TestTheGuardsTableIsChecked(t *testing.T) {
	for rule, c := range map[string]struct{ guard, want string }{
		"left out":                          {"", ""},
		"lines in order":                    {"soft = \"8GiB\"\nhard = \"3GiB\"\nfill_rate = \"40GiB\"\ndry_run = true", ""},
		"a soft line alone":                 {`soft = "2GiB"`, ""},
		"a hard line alone":                 {`hard = "7GiB"`, ""},
		"hard that is soft":                 {"soft = \"4GiB\"\nhard = \"4GiB\"", "tiers.toml:5: hard in [guard]: 4GiB is not less than the soft line of 4GiB"},
		"hard above the soft line left out": {`hard = "9GiB"`, "tiers.toml:4: hard in [guard]: 9GiB is not less than the soft line of 8GiB"},
		"soft of nothing":                   {`soft = "0GiB"`, "tiers.toml:4: soft in [guard]: 0 is less than 64MiB, which is too late to act; leave it out for `keep_free` of [host]"},
		"hard of nothing":                   {`hard = "1MiB"`, "tiers.toml:4: hard in [guard]: 1MiB is less than 32MiB, which is too late to act; leave it out for half of soft"},
		"memory that fills slowly":          {`fill_rate = "1MiB"`, "tiers.toml:4: fill_rate in [guard]: 1MiB in a second is slower than any memory; leave it out for the guard's own estimate"},
		"soft above what a load may leave": {`soft = "10GiB"`, "tiers.toml:4: warning: soft in [guard] is 10GiB, and a tier may start that leaves 8GiB (`keep_free` in [host]): " +
			"the guard would have one give way again; write a larger keep_free, or a smaller soft"},
		"a share of the memory": {`soft = "6%"`, `tiers.toml:4: soft in [guard]: size "6%" is not a number followed by GiB or MiB, as in "12GiB"`},
		"a key that is another": {`soft_limit = "6GiB"`, `tiers.toml:4: unknown key "soft_limit" in [guard]`},
	} {
		t.Run(rule, func(t *testing.T) {
			_, faults := ParseConfig("tiers.toml", []byte(strings.Replace(guardBase, "enabled = true", c.guard, 1)))
			if got := strings.Join(each(faults, Fault.Error), "\n"); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestWhereTheSoftLineIs(t *testing.T) {
	for rule, c := range map[string]struct {
		host, guard string
		want        Bytes
	}{
		"left out, what has to stay free":    {"", "", 8 * GiB},
		"a small reserve, no more than that": {`reserve = "4GiB"`, "", 4 * GiB},
		"keep_free as written":               {`keep_free = "3GiB"`, "", 3 * GiB},
		"as written":                         {`keep_free = "3GiB"`, `soft = "2GiB"`, 2 * GiB},
		"nothing has to stay free":           {`keep_free = "0GiB"`, "", 8 * GiB},
		"nothing at all":                     {"keep_free = \"0GiB\"\nreserve = \"0GiB\"", "", 64 * MiB},
	} {
		t.Run(rule, func(t *testing.T) {
			text := strings.NewReplacer(`reserve = "12GiB"`, c.host, "enabled = true", c.guard).Replace(guardBase)
			config, faults := ParseConfig("tiers.toml", []byte(text))
			if config == nil {
				t.Fatal(faults)
			}
			if got := config.SoftOf(); got != c.want || !config.Guard.Enabled {
				t.Errorf("soft at %s (enabled %t), want %s", got, config.Guard.Enabled, c.want)
			}
		})
	}
}

func TestAGuardThatWouldLetNoTierLoadIsAWarning(t *testing.T) {
	for rule, c := range map[string]struct {
		guard string
		size  Bytes
		want  string
	}{
		"far below":                 {`soft = "8GiB"`, 64 * GiB, ""},
		"not known":                 {`soft = "8GiB"`, 0, ""},
		"near all of it":            {`soft = "7GiB"`, 8 * GiB, "tiers.toml:5: warning: no tier can ever load: none does below 1.25 times of the soft line, which is 7GiB, and this host has 8GiB in all"},
		"by what is free":           {"", 9 * GiB, "tiers.toml:2: warning: no tier can ever load: none does below 1.25 times of the soft line, which is 8GiB, and this host has 9GiB in all"},
		"a guard that does not act": {"soft = \"8GiB\"\nenabled = false", 9 * GiB, ""},
	} {
		t.Run(rule, func(t *testing.T) {
			text := strings.NewReplacer(`reserve = "12GiB"`, "keep_free = \"8GiB\"\nreserve = \"1GiB\"", "enabled = true", c.guard).Replace(guardBase)
			h := Host{MemTotal: c.size, VRAM: 64 * GiB} // so that the tier is no fault of its own
			_, faults := MakePlan(parse(t, text), h)
			faults = slices.DeleteFunc(faults, func(f Fault) bool { return strings.Contains(f.Msg, "reserve") })
			if got := lines(faults); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestAResidencyThatAnotherTiersPatienceVoids(t *testing.T) {
	const second = "[tier.b]\nport = 8002\nmax_wait = \"5m\"\n[tier.b.variant.x]\nengine = \"llama\"\nmodel = \"m.gguf\"\ncontext = \"2K\"\nmemory = \"1GiB\"\n"
	for rule, c := range map[string]struct{ keeps, want string }{
		"left out":                 {"", ""},
		"no longer than the other": {`min_residency = "5m"`, ""},
		"longer than the other": {`min_residency = "6m"`, `tiers.toml:9: warning: min_residency of tier "a" is 6m0s, but tier "b" has it give way after 5m0s; ` +
			`write a longer max_wait there, or a shorter min_residency`},
		"pinned, so it never does": {"min_residency = \"6m\"\npinned = true", ""},
	} {
		t.Run(rule, func(t *testing.T) {
			text := strings.Replace(guardBase, "port = 8001", "port = 8001\n"+c.keeps, 1) + second
			_, faults := ParseConfig("tiers.toml", []byte(text))
			if got := strings.Join(each(faults, Fault.Error), "\n"); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}
