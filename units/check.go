package units

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// check finds what is wrong with values and across tables. It goes through the whole configuration whatever it finds.
func (c *Config) check(fs *faults) {
	c.checkHost(fs)
	c.checkGuard(fs)
	c.checkListen(fs)
	c.checkHosts(fs)
	c.checkLimits(fs)
	c.checkKeys(fs)
	for _, e := range c.Engines {
		c.checkEngine(fs, e)
	}
	if len(c.Tiers) == 0 {
		fs.add(c.line("tier"), "", "there is no tier; write one as [tier.NAME] with [tier.NAME.variant.NAME]")
	}
	for _, t := range c.Tiers {
		c.checkTier(fs, t)
	}
	c.checkResidency(fs)
	c.checkPorts(fs)
	c.checkUnitNames(fs)
	c.checkModes(fs)
	c.checkAdapterNames(fs)
}

// nameForm keeps names fit for unit names, user names, sockets and URLs at once.
var nameForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)

const nameRule = "a name has small letters, digits and dashes, and begins and ends with a letter or digit"

func (c *Config) checkHost(fs *faults) {
	for _, dir := range c.Host.Models {
		if !path.IsAbs(dir) {
			fs.add(c.line("host", "models"), "", "models in [host]: %s is not an absolute path%s", quote(dir), tilde(dir))
		}
	}
	if h := c.Gateway.Hold; h < minHold || h > maxHold {
		fs.add(c.line("gateway", "hold"), "", "hold in [gateway]: %s is not within %s to %s", h, minHold, maxHold)
	}
	if p := c.Gateway.Port; p < 0 || p > 65535 {
		fs.add(c.line("gateway", "port"), "", "port in [gateway]: %d is not a port; 1 to 65535, or 0 for none", p)
	}
}

// tilde explains the one relative path that looks absolute to a user.
func tilde(p string) string {
	if strings.HasPrefix(p, "~") {
		return "; the system has no home, so write \"/home/NAME\" instead of \"~\""
	}
	return ""
}

func (c *Config) checkEngine(fs *faults, e Engine) {
	table := "[engine." + e.Name + "]"
	at := func(key string) int { return c.line("engine", e.Name, key) }
	if !nameForm.MatchString(e.Name) {
		fs.add(at(""), "", "engine %s: %s", quote(e.Name), nameRule)
	}
	c.checkEnv(fs, "", e.Env, "engine", e.Name)
	c.checkPaths(fs, "", e.Paths, "engine", e.Name)
	switch {
	case e.Kind == "":
		fs.add(at("kind"), "", "%s has no kind; write kind = \"vllm\", \"llama\" or \"remote\"", table)
		return
	case !slices.Contains(kinds, e.Kind):
		fs.add(at("kind"), "", "kind in %s: %s is none of %s%s", table, quote(e.Kind), strings.Join(kinds, ", "), suggest(e.Kind, kinds))
		return
	case e.Kind == KindRemote:
		if len(e.Command) > 0 || e.UsesGPU() {
			fs.add(at("command"), "", "%s is remote: it runs no command and uses no GPU", table)
		}
		return
	}
	c.checkCommand(fs, e)
}

var kinds = []string{KindVLLM, KindLlama, KindRemote}

func (c *Config) checkCommand(fs *faults, e Engine) {
	at := c.line("engine", e.Name, "command")
	switch {
	case len(e.Command) == 0 || e.Command[0] == "":
		fs.add(at, "", "command in [engine.%s] is empty; it names the program, as in [\"/usr/bin/llama-server\"]", e.Name)
	case !path.IsAbs(e.Command[0]):
		fs.add(at, "", "command in [engine.%s]: %s is not an absolute path%s", e.Name, quote(e.Command[0]), tilde(e.Command[0]))
	case inHome(e.Command[0]) && !slices.ContainsFunc(e.Paths, func(dir string) bool { return strings.HasPrefix(e.Command[0], dir+"/") }):
		fs.add(at, "", "command in [engine.%s]: %s lies in a home directory, which tiers cannot see; name the folder of the whole program in `paths`, or install it under /opt",
			e.Name, quote(e.Command[0]))
	}
	if flag, key, ok := ownFlag(e.Kind, e.Command); ok {
		fs.add(at, "", "command in [engine.%s] must not contain %s: %s", e.Name, flag, instead(key))
	}
}

func (c *Config) checkTier(fs *faults, t Tier) {
	add := func(key, format string, args ...any) {
		fs.add(c.line("tier", t.Name, key), t.Name, format, args...)
	}
	switch {
	case !nameForm.MatchString(t.Name):
		add("", "tier %s: %s", quote(t.Name), nameRule)
	case slices.Contains(reserved, t.Name):
		add("", "no tier can be called %q: tier-%s.service is a part of tierd", t.Name, t.Name)
	case len(userName(t.Name)) > maxUserName:
		add("", "tier %s: the name has %d characters; it is a part of a user's name, so at most %d fit",
			quote(t.Name), len(t.Name), maxUserName-len(userName("")))
	}
	if t.Port < 1 || t.Port > 65535 {
		if c.line("tier", t.Name, "port") == c.line("tier", t.Name) {
			add("port", "tier %q has no port", t.Name)
		} else {
			add("port", "port of tier %q: %d is not a port; 1 to 65535", t.Name, t.Port)
		}
	}
	if !slices.Contains(starts, t.Start) {
		add("start", "start of tier %q: %s is none of %s%s", t.Name, quote(t.Start), strings.Join(starts, ", "), suggest(t.Start, starts))
	}
	if t.Priority < 0 || t.Priority > 100 {
		add("priority", "priority of tier %q: %d is not within 0 to 100", t.Name, t.Priority)
	}
	if t.Hold != nil && (*t.Hold < minHold || *t.Hold > maxHold) {
		add("hold", "hold of tier %q: %s is not within %s to %s", t.Name, *t.Hold, minHold, maxHold)
	}
	if n := value(t.Limit); n < 0 || n > maxConcurrency {
		add("concurrency", "concurrency of tier %q: %d is not within 0 to %d; 0 is no limit", t.Name, n, maxConcurrency)
	}
	if t.Output == 0 && c.source.has("tier", t.Name, "output") {
		add("output", "output of tier %q is 0; leave it out, and an answer gets what its role needs", t.Name)
	}
	if t.Alive != "" && t.Alive != KeepaliveComments {
		add("keepalive", "keepalive of tier %q: %s is not %q; leave it out for streams that begin with the engine's first byte",
			t.Name, quote(t.Alive), KeepaliveComments)
	}
	if len(t.Variants) == 0 {
		add("", "tier %q has no variant; write [tier.%s.variant.NAME] with an engine and a model", t.Name, t.Name)
	}
	for _, v := range t.Variants {
		c.checkVariant(fs, t, v)
	}
}

// Bounds of what can be written. A hold of nothing would refuse each request for a tier that is not up, and one of hours is a
// client that has long gone.
const (
	minHold        = time.Second
	maxHold        = time.Hour
	maxConcurrency = 4096
)

var starts = []string{StartBoot, StartDemand, StartManual}

// reserved are the names whose units belong to tierd itself.
var reserved = []string{"gateway", "guard"}

// The kernel keeps the first ports for root, which the gateway is not (ip(7), ip_unprivileged_port_start).
const (
	firstPort  = 1024
	privileged = "%d is for root alone, unless net.ipv4.ip_unprivileged_port_start is lower, and the gateway is not root; take one from 1024 on"
)

// checkPorts finds ports that two listeners of the gateway would open.
func (c *Config) checkPorts(fs *faults) {
	holder := map[int]string{}
	if c.Gateway.Port > 0 {
		holder[c.Gateway.Port] = fmt.Sprintf("the gateway's own, which serves every tier (line %d)", c.line("gateway", "port"))
		if c.line("gateway", "port") == 0 {
			holder[c.Gateway.Port] = "the gateway's own, which serves every tier (`port` in [gateway] changes it)"
		}
	}
	if p := c.Gateway.Port; p > 0 && p < firstPort {
		fs.warn(c.line("gateway", "port"), "", "port in [gateway]: "+privileged, p)
	}
	for _, t := range c.Tiers {
		if t.Port < 1 || t.Port > 65535 {
			continue
		}
		if t.Port < firstPort {
			fs.warn(c.line("tier", t.Name, "port"), t.Name, "port of tier %q: "+privileged, t.Name, t.Port)
		}
		if other, taken := holder[t.Port]; taken {
			fs.add(c.line("tier", t.Name, "port"), t.Name, "port %d of tier %q is already %s", t.Port, t.Name, other)
			continue
		}
		holder[t.Port] = fmt.Sprintf("that of tier %q (line %d)", t.Name, c.line("tier", t.Name, "port"))
	}
}

// checkUnitNames finds two variants that would be one unit: tier "orch-llama" and variant llama of tier "orch".
func (c *Config) checkUnitNames(fs *faults) {
	holder := map[string]string{}
	for _, t := range c.Tiers {
		for i, v := range t.Variants {
			name := unitName(t.Name, v.Name, i == 0)
			at := c.line("tier", t.Name, "variant", v.Name)
			if other, taken := holder[name]; taken {
				fs.add(at, t.Name, "%s/%s and %s would both be %s; rename one of them", t.Name, v.Name, other, name)
				continue
			}
			if socket := socketPath(name); len(socket) > maxSocketPath {
				fs.add(at, t.Name, "the names of %s/%s are too long: its socket's path would have %d characters, and %d is the limit",
					t.Name, quote(v.Name), len(socket), maxSocketPath)
			}
			holder[name] = t.Name + "/" + v.Name
		}
	}
}

func (c *Config) checkModes(fs *faults) {
	for _, m := range c.Modes {
		at := c.line("mode", m.Name, "tiers")
		if !nameForm.MatchString(m.Name) {
			fs.add(c.line("mode", m.Name), "", "mode %s: %s", quote(m.Name), nameRule)
		}
		if len(m.Tiers) == 0 {
			fs.add(at, "", "mode %q names no tier", m.Name)
		}
		seen := map[string]bool{}
		for _, member := range m.Tiers {
			c.checkMember(fs, at, m, member, seen)
		}
	}
	modes := each(c.Modes, func(m Mode) string { return m.Name })
	if want := c.Host.DefaultMode; want != "" && !slices.Contains(modes, want) {
		fs.add(c.line("host", "default_mode"), "", "default_mode in [host]: there is no mode %s%s", quote(want), suggest(want, modes))
	}
}

func (c *Config) checkMember(fs *faults, at int, m Mode, member string, seen map[string]bool) {
	name, variant := splitMember(member)
	t, ok := c.Tier(name)
	if !ok {
		fs.add(at, "", "mode %q: there is no tier %s%s", m.Name, quote(name), suggest(name, each(c.Tiers, func(t Tier) string { return t.Name })))
		return
	}
	if _, ok := t.Variant(variant); !ok {
		known := each(t.Variants, func(v Variant) string { return v.Name })
		fs.add(at, name, "mode %q: tier %q has no variant %s%s", m.Name, name, quote(variant), suggest(variant, known))
	}
	if seen[name] {
		fs.add(at, name, "mode %q names tier %q twice; only one of its variants can run", m.Name, name)
	}
	seen[name] = true
}

// checkResidency finds a min_residency that somebody wrote and that a shorter max_wait of another tier voids.
func (c *Config) checkResidency(fs *faults) {
	for _, t := range c.Tiers {
		at := c.line("tier", t.Name, "min_residency")
		if at == c.line("tier", t.Name) {
			continue
		}
		i := slices.IndexFunc(c.Tiers, func(other Tier) bool { return other.Name != t.Name && other.MaxWait < t.Keeps })
		if i >= 0 && t.Keeps > 0 && !t.Pinned {
			fs.warn(at, t.Name, "min_residency of tier %q is %s, but tier %q has it give way after %s; write a longer max_wait there, or a shorter min_residency",
				t.Name, t.Keeps, c.Tiers[i].Name, c.Tiers[i].MaxWait)
		}
	}
}
