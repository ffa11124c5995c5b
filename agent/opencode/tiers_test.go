package opencode

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tierd/tierd/agent/api"
	"github.com/tierd/tierd/units"
)

func configured(t testing.TB, text string) *units.Config {
	t.Helper()
	c, faults := units.ParseConfig("tiers.toml", []byte(text))
	if c == nil {
		t.Fatalf("%v", faults)
	}
	return c
}

func shipped(t testing.TB) *units.Config {
	t.Helper()
	text, err := os.ReadFile("../../tiers.toml")
	if err != nil {
		t.Fatal(err)
	}
	return configured(t, string(text))
}

func TestTheShippedTiers(t *testing.T) {
	c := shipped(t)
	tiers := Tiers(c, nil, nil)
	want := Tier{
		Name: "orch", Role: "orchestrator", Port: 8001, Start: "boot", Engine: "vllm", Model: "Qwen/Qwen2.5-14B-Instruct", Variant: "vllm",
		Context: 65536, Wish: 65536, Parallel: 4, Tools: true, Cloud: "cloud", Load: 20 * time.Minute, Hold: 4 * time.Minute, Silence: 5 * time.Minute,
	}
	if len(tiers) != 4 || tiers[0] != want {
		t.Errorf("tiers are %+v", tiers)
	}
	p := MakePlan(tiers, OptionsFor(c))
	if len(p.Findings) > 0 {
		t.Errorf("the shipped file does not please: %+v", p.Findings)
	}
	f, _ := p.File(KindConfig)
	golden(t, "shipped.golden", f.Data)
}

// The measured client takes 22400 tokens for the plugin's first prompt, and four shipped tiers have room for it.
func TestTheShippedTiersHaveRoomForThePlugin(t *testing.T) {
	c := shipped(t)
	o := OptionsFor(c)
	o.OMO, o.Major = true, 1
	if p := MakePlan(Tiers(c, nil, nil), o); p.Refused() {
		t.Errorf("%+v", p.Findings)
	}
}

const stack = `
[engine.vllm]
command = ["/v"]
[engine.llama]
command = ["/l"]
[tier.orch]
role = "orchestrator"
port = 1
output = "2K"
hold = "1m"
[tier.orch.variant.llama]
engine = "llama"
model = "a.gguf"
context = "32K"
parallel = 2
[tier.orch.variant.cloud]
engine = "remote"
url = "https://example.com/v1"
model = "big"
stall_timeout = "2m"
[tier.plain]
port = 2
[tier.plain.variant.vllm]
engine = "vllm"
model = "m"
context = "8K"
memory = "3GiB"
[tier.far]
port = 3
[tier.far.variant.a]
engine = "remote"
url = "https://example.com/v1"
model = "big"
context = "128K"
`

func TestATierIsAsItIsNow(t *testing.T) {
	c := configured(t, stack)
	blocked := &api.Status{Tiers: []api.Tier{{Name: "orch", Variant: "llama", State: api.Blocked, Reason: "no model", PortError: "port 1 is held by x"}}}
	up := func(variant string, s api.State) *api.Status {
		return &api.Status{Tiers: []api.Tier{{Name: "orch", Variant: variant, State: s, Memory: 5}, {Name: "gone", Variant: "x"}}}
	}
	local := Tier{
		Name: "orch", Role: "orchestrator", Port: 1, Start: "manual", Engine: "llama", Model: "a.gguf", Variant: "llama", Context: 32768, Wish: 32768,
		Parallel: 2, Output: 2048, Tools: true, Cloud: "cloud", Load: 20 * time.Minute, Hold: time.Minute, Silence: 5 * time.Minute,
	}
	but := func(f func(*Tier)) Tier {
		other := local
		f(&other)
		return other
	}
	cloud := but(func(t *Tier) {
		t.Engine, t.Model, t.Variant, t.Context, t.Wish, t.Parallel, t.Load, t.Silence = "remote", "big", "cloud", 0, 0, 0, 0, 2*time.Minute
		t.Leaves, t.Ready, t.Memory = true, true, 5
	})
	for _, row := range []struct {
		rule string
		st   *api.Status
		live map[string]Live
		want Tier
	}{
		{"without tierd, as it would be started", nil, nil, local},
		{"a tier that tierd does not know, too", &api.Status{}, nil, local},
		{"as it is up", up("llama", api.Ready), nil, but(func(t *Tier) { t.Ready, t.Memory = true, 5 })},
		{"by the variant that is up", up("cloud", api.Ready), nil, cloud},
		{"a tier that loads is not ready", up("llama", api.Starting), nil, but(func(t *Tier) { t.Memory = 5 })},
		{"why it cannot be started, and what is wrong with its port", blocked, nil, but(func(t *Tier) { t.Blocked, t.PortLost = "no model", "port 1 is held by x" })},
		{"what keeps a variant down that the file has no longer says nothing of the others", up("old", api.Blocked), nil, local},
		{"a variant that the file has no longer is not what it will be", up("old", api.Ready), nil, local},
		{"with the context that the engine tells", up("llama", api.Ready), map[string]Live{"orch": {Context: 8192, Parallel: 3}},
			but(func(t *Tier) { t.Ready, t.Memory, t.Context, t.Live, t.Parallel = true, 5, 8192, true, 3 })},
		{"but not with more than was meant for one request", up("llama", api.Ready), map[string]Live{"orch": {Context: 65536}},
			but(func(t *Tier) { t.Ready, t.Memory, t.Live = true, 5, true })},
		{"and what is told of another tier is that one's", nil, map[string]Live{"plain": {Context: 1}}, local},
	} {
		tiers := Tiers(c, row.st, row.live)
		if len(tiers) != 3 || tiers[0] != row.want {
			t.Errorf("%s: %+v, want %+v", row.rule, tiers, row.want)
		}
	}
	rest := Tiers(c, nil, nil)[1:]
	if plain := rest[0]; plain.Role != "plain" || plain.Tools || plain.Parallel != 4 || plain.Memory != 3<<30 || plain.Cloud != "" {
		t.Errorf("vLLM without a parser calls no tools: %+v", plain)
	}
	if far := rest[1]; !far.Leaves || far.Cloud != "" || !far.Tools {
		t.Errorf("a tier that is only elsewhere: %+v", far)
	}
}

func TestHowAClientReachesTheGateway(t *testing.T) {
	key := "\n[gateway.key.a]\nsha256 = \"" + strings.Repeat("ab", 32) + "\"\n"
	for _, row := range []struct {
		rule, text string
		want       Options
	}{
		{"at its address", "[gateway]\nlisten = \"127.0.0.2\"\nport = 9000\n", Options{Address: "127.0.0.2", Port: 9000}},
		{"at loopback where it listens everywhere", "[gateway]\nlisten = \"0.0.0.0\"\n" + key, Options{Address: "127.0.0.1", Port: 8000, Keys: true}},
		{"also by IPv6", "[gateway]\nlisten = \"::\"\nport = 0\n" + key, Options{Address: "::1", Keys: true}},
		{"without a key where loopback is open", "[gateway]\nopen_loopback = true\n" + key, Options{Address: "127.0.0.1", Port: 8000}},
	} {
		if got := OptionsFor(configured(t, row.text+stack)); !reflect.DeepEqual(got, row.want) {
			t.Errorf("%s: %+v, want %+v", row.rule, got, row.want)
		}
	}
}
