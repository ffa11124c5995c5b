package units

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// hashOfX is that of a key that a user of these tests may have.
var hashOfX = HashKey(KeyPrefix + "x")

// gatewayFaults are the faults of base with lines of [gateway] at its end, without the place.
func gatewayFaults(t *testing.T, text string) []string {
	t.Helper()
	_, faults := ParseConfig("tiers.toml", []byte(base+text))
	var found []string
	for _, f := range faults {
		msg := f.Msg
		if f.Warning {
			msg = "warning: " + msg
		}
		found = append(found, msg)
	}
	return found
}

func TestKeysOfTheGateway(t *testing.T) {
	good := "[gateway.key.laptop]\nsha256 = \"" + hashOfX + "\"\n"
	for _, c := range []struct{ rule, text, want string }{
		{"a hash is enough", good, ""},
		{"capital digits are digits", "[gateway.key.laptop]\nsha256 = \"" + strings.ToUpper(hashOfX) + "\"\n", ""},
		{"scopes and tiers", good + "scopes = [\"models\", \"metrics\"]\ntiers = [\"coder\"]\n", ""},
		{"no hash", "[gateway.key.laptop]\nscopes = [\"models\"]\n", "key \"laptop\" has no sha256; " + keyRemedy},
		{"a key in place of its hash", "[gateway.key.laptop]\nsha256 = \"tierd_abc\"\n", "sha256 of key \"laptop\" is not 64 hexadecimal digits; " + keyRemedy},
		{"the hash of an empty file", "[gateway.key.laptop]\nsha256 = \"" + HashKey("") + "\"\n", "sha256 of key \"laptop\" is the hash of nothing; " + keyRemedy},
		{"the hash of an empty line", "[gateway.key.laptop]\nsha256 = \"" + HashKey("\n") + "\"\n", "sha256 of key \"laptop\" is the hash of nothing; " + keyRemedy},
		{"a scope that there is not", good + "scopes = [\"metric\"]\n", `scopes of key "laptop": "metric" is none of models, metrics; did you mean "metrics"?`},
		{"no scope", good + "scopes = []\n", `key "laptop" has no scope, so it opens nothing; write scopes = ["models"]`},
		{"a tier that there is not", good + "tiers = [\"codr\"]\n", `tiers of key "laptop": there is no tier "codr"; did you mean "coder"?`},
		{"a name with other characters", "[gateway.key.\"my laptop\"]\nsha256 = \"" + hashOfX + "\"\n", `key "my laptop": ` + nameRule},
		{"one key under two names", good + strings.Replace(good, "laptop", "phone", 1), `keys "laptop" and "phone" are one and the same; each client gets its own, or one of the two goes`},
		{"a key in the file", "[gateway.key.laptop]\nkey = \"x\"\nsha256 = \"" + hashOfX + "\"\n",
			`"key" in [gateway.key.laptop] would be a secret in a file that every user can read; ` + keyRemedy},
		{"keys as a list", "[gateway]\nkeys = [\"x\"]\n", `"keys" in [gateway] would be a secret in a file that every user can read; ` + keyRemedy},
		{"a key as a value", "[gateway]\nkey = \"x\"\n", `key in [gateway] must be tables with a name, as in [gateway.key.NAME]; ` + keyRemedy},
		{"others get in with a key", "[gateway]\nlisten = \"10.0.0.5\"\n" + good,
			"warning: listen in [gateway]: 10.0.0.5 is not a loopback address: keys and answers go over the network in the clear, " +
				"and systemd lets nobody in before a drop-in of tier-gateway.service has IPAddressAllow=, see tier-gateway(8)"},
		{"and not without", "[gateway]\nlisten = \"0.0.0.0\"\n",
			"listen in [gateway]: 0.0.0.0 is not a loopback address, and without a key everybody who reaches this machine could use its models; " +
				"`tierctl key NAME` makes a key and prints what belongs here, and listen = \"127.0.0.1\" keeps others out"},
		{"every loopback address will do", "[gateway]\nlisten = \"::1\"\n", ""},
		{"names and addresses of this machine", "[gateway]\nhosts = [\"strix\", \"models.home.example\", \"10.0.0.5\", \"fd00::1\", \"a_b.local\"]\n", ""},
		{"a host with a scheme", "[gateway]\nhosts = [\"https://models.home\"]\n", `hosts in [gateway]: "https://models.home" is not a name or an address alone, as in "models.home"`},
		{"a host with a port", "[gateway]\nhosts = [\"models.home:8000\"]\n", `hosts in [gateway]: "models.home:8000" is not a name or an address alone, as in "models.home"`},
		{"every host", "[gateway]\nhosts = [\"*\"]\n", `hosts in [gateway]: "*" is not a name or an address alone, as in "models.home"`},
		{"no connection at all", "[gateway]\nmax_connections = 0\n", `max_connections in [gateway]: 0 is not within 1 to 16384`},
		{"bodies that fit nowhere", "[gateway]\nmax_body = \"2GiB\"\n", `max_body in [gateway]: 2GiB is not within 1MiB to 1GiB`},
		{"an address that is none", "[gateway]\nlisten = \"localhost\"\n", `listen in [gateway]: "localhost" is not an address, as in "127.0.0.1"`},
	} {
		if got := strings.Join(gatewayFaults(t, c.text), "\n"); got != c.want {
			t.Errorf("%s: got %s\nwant %s", c.rule, got, c.want)
		}
	}
}

func TestAFaultOfAKeyHasItsLine(t *testing.T) {
	_, faults := ParseConfig("tiers.toml", []byte("[gateway.key.a]\n\nsha256 = \""+hashOfX+"\"\nscopes = [\"x\"]\n"+base))
	if len(faults) != 1 || faults[0].Line != 4 {
		t.Errorf("got %s", lines(faults))
	}
}

func TestAKeyIsReadAsItIsWritten(t *testing.T) {
	for _, k := range []Key{
		{Name: "laptop", SHA256: hashOfX, Scopes: []string{ScopeModels}},
		{Name: "grafana-1", SHA256: hashOfX, Scopes: []string{ScopeMetrics, ScopeModels}, Tiers: []string{"coder", "utility"}},
	} {
		if err := k.Check(); err != nil {
			t.Error(err)
		}
		c := parse(t, base+k.Table())
		if len(c.Gateway.Keys) != 1 || !reflect.DeepEqual(c.Gateway.Keys[0], k) {
			t.Errorf("%s is read as %+v", k.Table(), c.Gateway.Keys)
		}
	}
}

func TestAKeyLooksLikeASecret(t *testing.T) {
	if !looksSecret(KeyPrefix + "abc") {
		t.Error("a key could be written where a name belongs")
	}
	if slices.Contains(gatewayFaults(t, ""), keyRemedy) {
		t.Error("no key, and yet it is told how to make one")
	}
}
