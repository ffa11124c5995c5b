package agent

import (
	"testing"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

func TestRoutesSayHowRequestsAreLetThrough(t *testing.T) {
	c, faults := units.ParseConfig("tiers.toml", []byte(`
[gateway]
hold = "90s"
[engine.vllm]
command = ["/opt/vllm"]
[tier.coder]
port = 8002
keepalive = "comments"
concurrency = 3
[tier.coder.variant.vllm]
engine = "vllm"
model = "m"
context = "8K"
[tier.coder.variant.cloud]
engine = "remote"
url = "https://api.example.com/v1"
model = "m"
[tier.utility]
port = 8012
hold = "10s"
[tier.utility.variant.vllm]
engine = "vllm"
model = "m"
context = "8K"
`))
	for _, f := range faults {
		t.Fatal(f)
	}
	for rule, x := range map[string]struct {
		tier, variant string
		want          api.Route
	}{
		"what the tier says":               {"coder", "vllm", api.Route{Hold: 90, Keepalive: "comments", Concurrency: 3, Parallel: 4}},
		"a server elsewhere works as ever": {"coder", "cloud", api.Route{Hold: 90, Keepalive: "comments", Concurrency: 3}},
		"what is left out":                 {"utility", "vllm", api.Route{Hold: 10, Concurrency: 4, Parallel: 4}},
		"a variant that is gone":           {"utility", "old", api.Route{Hold: 10}},
		"a tier that is gone":              {"old", "vllm", api.Route{Hold: 90}},
	} {
		r := api.Route{Tier: x.tier, Variant: x.variant}
		setPassage(&r, c)
		if r.Hold != x.want.Hold || r.Keepalive != x.want.Keepalive || r.Concurrency != x.want.Concurrency || r.Parallel != x.want.Parallel {
			t.Errorf("%s: %+v", rule, r)
		}
	}
	r := api.Route{Tier: "coder"}
	if setPassage(&r, nil); r.Hold != 240 || r.Concurrency != 0 {
		t.Errorf("without a tiers.toml: %+v", r)
	}
}
