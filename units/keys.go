package units

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// Key is one [gateway.key.NAME] table: who may use the gateway, and for what.
type Key struct {
	Name   string   `toml:"-"`
	SHA256 string   `toml:"sha256"` // of the key, in hexadecimal digits: the file itself can be read by everybody
	Scopes []string `toml:"scopes"` // models, metrics
	Tiers  []string `toml:"tiers"`  // to which it opens; empty: all
}

// What Key.Scopes may hold.
const (
	ScopeModels  = "models"  // requests to tiers, and the list of models
	ScopeMetrics = "metrics" // /metrics
)

var scopes = []string{ScopeModels, ScopeMetrics}

func defaultKey() Key { return Key{Scopes: []string{ScopeModels}} }

// KeyPrefix begins every key that tierctl makes, so that people and scanners of secrets know one when they see it.
const KeyPrefix = "tierd_"

// keyRemedy is what to do instead of writing a key into tiers.toml.
const keyRemedy = "`tierctl key NAME` makes a key and prints what belongs here, which is its hash"

// HashKey is what [gateway.key.NAME] has for a key: its SHA-256 in hexadecimal digits. No slower hash is needed, since a
// key of at least 128 random bits cannot be guessed.
func HashKey(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// Table is the key as it stands in tiers.toml.
func (k Key) Table() string {
	text := fmt.Sprintf("[gateway.key.%s]\nsha256 = %q\nscopes = %s\n", k.Name, k.SHA256, listText(k.Scopes))
	if len(k.Tiers) > 0 {
		text += "tiers = " + listText(k.Tiers) + "\n"
	}
	return text
}

func listText(words []string) string { return "[" + strings.Join(each(words, quote), ", ") + "]" }

// Check tells what is wrong with the key by itself, nil when nothing is. A hash that is none is not repeated: it may be
// the key.
func (k Key) Check() error {
	_, err := k.check()
	return err
}

// check names the key of the table that is at fault, too.
func (k Key) check() (at string, err error) {
	hash := strings.ToLower(k.SHA256)
	switch {
	case !nameForm.MatchString(k.Name):
		return "", fmt.Errorf("key %s: %s", quote(k.Name), nameRule)
	case hash == "":
		return "sha256", fmt.Errorf("key %q has no sha256; %s", k.Name, keyRemedy)
	case !hashForm.MatchString(hash):
		return "sha256", fmt.Errorf("sha256 of key %q is not 64 hexadecimal digits; %s", k.Name, keyRemedy)
	case hash == HashKey("") || hash == HashKey("\n"):
		return "sha256", fmt.Errorf("sha256 of key %q is the hash of nothing; %s", k.Name, keyRemedy)
	case len(k.Scopes) == 0:
		return "scopes", fmt.Errorf("key %q has no scope, so it opens nothing; write scopes = [\"models\"]", k.Name)
	}
	for _, s := range k.Scopes {
		if !slices.Contains(scopes, s) {
			return "scopes", fmt.Errorf("scopes of key %q: %s is none of %s%s", k.Name, quote(s), strings.Join(scopes, ", "), suggest(s, scopes))
		}
	}
	return "", nil
}

var hashForm = regexp.MustCompile(`^[0-9a-f]{64}$`)

// checkKeys finds keys that open nothing or that are the same one.
func (c *Config) checkKeys(fs *faults) {
	holder := map[string]string{}
	for _, k := range c.Gateway.Keys {
		at := func(key string) int { return c.line("gateway", "key", k.Name, key) }
		if wrong, err := k.check(); err != nil {
			fs.add(at(wrong), "", "%v", err)
			continue
		}
		if other, taken := holder[strings.ToLower(k.SHA256)]; taken {
			fs.add(at("sha256"), "", "keys %q and %q are one and the same; each client gets its own, or one of the two goes", other, k.Name)
		}
		holder[strings.ToLower(k.SHA256)] = k.Name
		for _, tier := range k.Tiers {
			if _, ok := c.Tier(tier); !ok {
				fs.add(at("tiers"), "", "tiers of key %q: there is no tier %s%s", k.Name, quote(tier), suggest(tier, each(c.Tiers, func(t Tier) string { return t.Name })))
			}
		}
	}
}

// checkListen lets nobody but this machine in without a key.
func (c *Config) checkListen(fs *faults) {
	at := c.line("gateway", "listen")
	addr, err := netip.ParseAddr(c.Gateway.Listen)
	switch {
	case err != nil:
		fs.add(at, "", "listen in [gateway]: %s is not an address, as in \"127.0.0.1\"", quote(c.Gateway.Listen))
	case addr.IsLoopback():
	case len(c.Gateway.Keys) == 0:
		fs.add(at, "", "listen in [gateway]: %s is not a loopback address, and without a key everybody who reaches this machine could use its models; "+
			"`tierctl key NAME` makes a key and prints what belongs here, and listen = \"127.0.0.1\" keeps others out", addr)
	default:
		fs.warn(at, "", "listen in [gateway]: %s is not a loopback address: keys and answers go over the network in the clear, "+
			"and systemd lets nobody in before a drop-in of tier-gateway.service has IPAddressAllow=, see tier-gateway(8)", addr)
	}
}

// hostForm is a host's name without scheme, port and wildcards.
var hostForm = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*$`)

func (c *Config) checkHosts(fs *faults) {
	for _, host := range c.Gateway.Hosts {
		_, err := netip.ParseAddr(host)
		if err != nil && (!hostForm.MatchString(host) || len(host) > 253) {
			fs.add(c.line("gateway", "hosts"), "", "hosts in [gateway]: %s is not a name or an address alone, as in \"models.home\"", quote(host))
		}
	}
}

// Bounds of what the gateway takes. A connection of a client needs up to two files, and the unit may have 65536.
const (
	maxConnections = 16384
	minBody        = MiB
	maxBody        = GiB
)

func (c *Config) checkLimits(fs *faults) {
	if n := c.Gateway.MaxConnections; n < 1 || n > maxConnections {
		fs.add(c.line("gateway", "max_connections"), "", "max_connections in [gateway]: %d is not within 1 to %d", n, maxConnections)
	}
	if b := c.Gateway.MaxBody; b < minBody || b > maxBody {
		fs.add(c.line("gateway", "max_body"), "", "max_body in [gateway]: %s is not within %s to %s", b, minBody, maxBody)
	}
}
