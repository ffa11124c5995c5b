package units

import (
	"slices"
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
		"the guard's":                {"[engine.llama]", "[guard]\nsoft = \"4GiB\"\ndry_run = true\n[engine.llama]", "guard.dry_run guard.soft"},
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

func TestADifferenceOfTheGatewayIsOneBothWays(t *testing.T) {
	base := Gateway{Listen: "127.0.0.1", Port: 8000, Hosts: []string{"models.home"}, MaxConnections: 1024, MaxBody: 64 * MiB}
	edits := map[string]func(*Gateway){
		"listen":          func(g *Gateway) { g.Listen = "127.0.0.2" },
		"port":            func(g *Gateway) { g.Port = 0 },
		"hosts":           func(g *Gateway) { g.Hosts = append(slices.Clone(g.Hosts), "10.0.0.7") },
		"max_connections": func(g *Gateway) { g.MaxConnections = 50 },
		"max_body":        func(g *Gateway) { g.MaxBody = MiB },
		"open_loopback":   func(g *Gateway) { g.OpenLoopback = true },
		"key": func(g *Gateway) {
			g.Keys = []Key{{Name: "laptop", SHA256: HashKey("a"), Scopes: []string{ScopeModels}}}
		},
	}
	if got := base.Differs(base); len(got) != 0 {
		t.Errorf("it differs from itself in %q", got)
	}
	for key, edit := range edits {
		other := base
		edit(&other)
		for _, got := range [][]string{other.Differs(base), base.Differs(other)} {
			if !slices.Equal(got, []string{key}) {
				t.Errorf("with another %s it differs in %q", key, got)
			}
		}
		if got := other.Differs(other); len(got) != 0 {
			t.Errorf("with another %s it differs from itself in %q", key, got)
		}
	}
}
