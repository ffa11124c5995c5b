package units

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// credentialForm is what systemd takes as a credential's name, without its odder characters.
var credentialForm = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)

// secretRemedy is what to do instead. tiers.toml and a unit's environment can be read by every user.
const secretRemedy = "Keep it out of this file: `systemd-creds encrypt --name=NAME - /etc/credstore.encrypted/NAME`, and then key = \"NAME\""

// secretKeys are keys that people write for a secret; none of them is a key of tiers.toml.
var secretKeys = []string{"api_key", "apikey", "api-key", "token", "secret", "password", "passwd", "bearer", "authorization", "auth_token", "hf_token"}

func isSecretKey(key string) bool { return slices.Contains(secretKeys, strings.ToLower(key)) }

var secretEnv = regexp.MustCompile(`(^|_)(KEY|TOKEN|PASSWORD|PASSWD|SECRET|CREDENTIALS?)$|PASSWORD|SECRET`)

// secretForms are beginnings that keys of well-known services have.
var secretForms = regexp.MustCompile(`^(tierd_|sk-|sk_|pk_|hf_|ghp_|gho_|github_pat_|glpat-|xai-|xox[abprs]-|nvapi-|gsk_|AIza|AKIA|eyJ|Bearer )`)

// SecretForm tells whether a word begins as the keys of a well-known service do.
func SecretForm(word string) bool { return secretForms.MatchString(word) }

// looksSecret tells a secret from a name by its beginning, or by being long and without words.
func looksSecret(s string) bool {
	if secretForms.MatchString(s) {
		return true
	}
	if len(s) < 20 || strings.ContainsAny(s, " /") {
		return false
	}
	digits := strings.IndexFunc(s, unicode.IsDigit) >= 0
	upper := strings.IndexFunc(s, unicode.IsUpper) >= 0
	lower := strings.IndexFunc(s, unicode.IsLower) >= 0
	longest := 0
	for _, part := range strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune("-_.", r) }) {
		longest = max(longest, len(part))
	}
	return longest >= 20 && digits && (upper || lower)
}

// ownEnv are variables by which systemd and tierd talk to the shim and the engine.
var ownEnv = []string{
	"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "INVOCATION_ID",
	"CREDENTIALS_DIRECTORY", "RUNTIME_DIRECTORY", "CACHE_DIRECTORY",
}

var envForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// checkEnv checks the variables of the table at that path. A secret's value is never repeated.
func (c *Config) checkEnv(fs *faults, tier string, env map[string]string, table ...string) {
	where := in(table)
	for _, name := range slices.Sorted(maps.Keys(env)) {
		value := env[name]
		at := c.line(slices.Concat(table, []string{"env", name})...)
		switch {
		case !envForm.MatchString(name):
			fs.add(at, tier, "env%s: %s is not a variable's name", where, quote(name))
		case secretEnv.MatchString(strings.ToUpper(name)) || secretForms.MatchString(value):
			fs.add(at, tier, "env%s: %s looks like a secret, and every user can read a unit's environment. %s", where, name, secretRemedy)
		case slices.Contains(ownEnv, name) || strings.HasPrefix(name, "TIERD_"):
			fs.add(at, tier, "env%s: %s is set by tierd and systemd; leave it out", where, name)
		}
	}
}

// checkPaths checks the `paths` of a table.
func (c *Config) checkPaths(fs *faults, tier string, paths []string, table ...string) {
	for _, p := range paths {
		at := c.line(slices.Concat(table, []string{"paths"})...)
		switch {
		case !path.IsAbs(p):
			fs.add(at, tier, "paths%s: %s is not an absolute path%s", in(table), quote(p), tilde(p))
		case path.Clean(p) == "/" || slices.Contains([]string{"/home", "/root", "/run", "/run/user"}, path.Clean(p)):
			fs.add(at, tier, "paths%s: %s would open what the sandbox is there to hide; name the folder itself", in(table), quote(p))
		}
	}
}

// inHome tells whether ProtectHome hides a path.
func inHome(p string) bool {
	return slices.ContainsFunc([]string{"/home/", "/root/", "/run/user/"}, func(home string) bool { return strings.HasPrefix(p, home) })
}

// OwnFlag tells whether tierd sets a flag of an engine itself, and by which key of tiers.toml it can be decided; "" by none.
func OwnFlag(kind, flag string) (key string, own bool) {
	_, key, own = ownFlag(kind, []string{flag})
	return key, own
}

// ownFlag finds the first argument that is a flag which tierd sets itself, with the key of tiers.toml that decides it.
// vLLM takes underscores for dashes.
func ownFlag(kind string, args []string) (flag, key string, found bool) {
	flags := llamaFlags
	if kind == KindVLLM {
		flags = vllmFlags
	}
	for _, arg := range args {
		flag, _, _ = strings.Cut(arg, "=")
		if kind == KindVLLM {
			flag = strings.ReplaceAll(flag, "_", "-")
		}
		if key, found = flags[flag]; found {
			return flag, key, true
		}
	}
	return "", "", false
}

func instead(key string) string {
	if key == "" {
		return "tierd sets it itself; leave it out"
	}
	return fmt.Sprintf("tierd sets it itself; write `%s` in tiers.toml instead", key)
}
