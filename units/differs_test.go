package units

import (
	"strings"
	"testing"
)

func TestWhatIsNewInTheGateway(t *testing.T) {
	before := defaults().Gateway
	after := before
	if got := after.Differs(before); len(got) > 0 {
		t.Errorf("the same differs in %q", got)
	}
	after.Hosts, after.Keys = []string{}, []Key{}
	if got := after.Differs(before); len(got) > 0 {
		t.Errorf("an empty list and one that is left out differ in %q", got)
	}
	after.Port, after.Hosts, after.Keys = 9000, []string{"a"}, []Key{{Name: "laptop"}}
	if got := strings.Join(after.Differs(before), " "); got != "port hosts key" {
		t.Errorf("it differs in %q", got)
	}
}

func TestWhatHoldsWithoutARestart(t *testing.T) {
	const before = `
[engine.llama]
command = ["/bin/llama-server"]
[tier.a]
port = 8001
start = "demand"
[tier.a.variant.x]
engine = "llama"
model = "m.gguf"
context = "2K"
memory = "1GiB"
[mode.one]
tiers = ["a"]
[mode.two]
tiers = ["a"]
`
	for rule, c := range map[string]struct{ from, to, want string }{
		"nothing":                    {"", "", ""},
		"the same, written out":      {`start = "demand"`, "start = \"demand\"\nidle_stop = \"never\"", ""},
		"a tier's own":               {`start = "demand"`, "start = \"manual\"\nhold = \"3s\"", "tier.a.start tier.a.hold"},
		"the host's":                 {"[engine.llama]", "[host]\nreserve = \"1GiB\"\n[engine.llama]", "host.reserve"},
		"a mode that is another now": {"[mode.two]\ntiers = [\"a\"]", "[mode.two]\ntiers = [\"a/x\"]", "mode.two"},
		"a mode that is new or gone": {"[mode.two]", "[mode.three]", "mode.three mode.two"},
		"what the unit is made of":   {`context = "2K"`, `context = "4K"`, ""},
	} {
		t.Run(rule, func(t *testing.T) {
			old, faults := ParseConfig("tiers.toml", []byte(before))
			now, more := ParseConfig("tiers.toml", []byte(strings.Replace(before, c.from, c.to, 1)))
			if old == nil || now == nil {
				t.Fatal(faults, more)
			}
			if got := strings.Join(now.Settings(old), " "); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
