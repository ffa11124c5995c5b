package units

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// spec is everything that decides one unit's properties.
type spec struct {
	host     Host
	config   *Config
	tier     Tier
	variant  Variant
	engine   Engine
	unit     *Unit
	siblings []string // units of the tier's other variants
	earlier  []string // those of them that stand before this one in the file
	model    model    // where the model is; zero for remote and when it was not found
	adapters []string // what has to be readable for its adapters, absolute
	sizes    sizes    // what it takes; zero when that is not known
	keyFound bool     // the credential is there, or nobody looked
	argv     []string
}

// baseName is the unit's name without its suffix: it names the runtime directory.
func (s *spec) baseName() string { return strings.TrimSuffix(s.unit.Name, ".service") }

// sliceOf is the slice that a tier's unit is in.
func sliceOf(gpu bool) string {
	if gpu {
		return "tier-gpu.slice"
	}
	return "tier-cpu.slice"
}

// ControlGroup is where systemd puts a tier's unit: tier-gpu.slice is below tier.slice by its name (systemd.slice(5)).
func ControlGroup(unit string, gpu bool) string { return "/tier.slice/" + sliceOf(gpu) + "/" + unit }

// stopTimeout is the drain, the engine's own end (vLLM closes in --shutdown-timeout and then needs up to 15 s on a GPU) and
// what the shim needs around both.
func (s *spec) stopTimeout() time.Duration {
	end := byKind(s, shutdownTimeout+15*time.Second, 10*time.Second, 0)
	return s.config.DrainOf(s.tier) + end + 5*time.Second
}

// cacheDir is written out, since specifiers such as %C are not expanded in a transient unit.
func (s *spec) cacheDir() string { return "/var/cache/tier/" + s.tier.Name }

// environment is what the engine's kind needs, then the engine's and the variant's own words over it.
func (s *spec) environment() []string {
	env := map[string]string{}
	if s.engine.Kind != KindRemote {
		maps.Copy(env, s.localEnv())
	}
	if s.engine.Kind == KindVLLM {
		maps.Copy(env, s.vllmEnv())
	}
	maps.Copy(env, s.engine.Env)
	maps.Copy(env, s.variant.Env)
	env["TIERD_HASH"] = s.unit.Hash // tells what the running process was started from
	list := make([]string, 0, len(env))
	for _, k := range slices.Sorted(maps.Keys(env)) {
		list = append(list, k+"="+env[k])
	}
	return list
}

// localEnv puts every cache of an engine into the one directory that it may write, and keeps it off the network.
func (s *spec) localEnv() map[string]string {
	dir := s.cacheDir()
	env := map[string]string{
		"HOME":           dir,
		"XDG_CACHE_HOME": dir,
		"TMPDIR":         "/tmp", // private to the unit and gone with it
		"HF_HUB_OFFLINE": "1",
		"DO_NOT_TRACK":   "1",
		"PATH":           searchPath(path.Dir(s.engine.Command[0])),
	}
	if s.unit.GPU {
		env["MESA_SHADER_CACHE_DIR"] = dir
		env["AMD_COMGR_CACHE_DIR"] = path.Join(dir, "comgr")
	}
	return env
}

// searchPath begins with the engine's own directory: JIT compilers look for the tools of their venv in PATH.
func searchPath(dir string) string {
	dirs := []string{"/usr/local/bin", "/usr/bin", "/bin"}
	if !slices.Contains(dirs, dir) {
		dirs = append([]string{dir}, dirs...)
	}
	return strings.Join(dirs, ":")
}

func (s *spec) deviceGroups() []string {
	if !s.unit.GPU {
		return nil
	}
	var groups []string
	for _, g := range []string{"render", "video"} {
		if s.host.Groups[g] { // a missing group fails the unit with 216/GROUP
			groups = append(groups, g)
		}
	}
	return groups
}

// binds makes the model visible where ProtectHome hides its folder. A path that is not there is skipped, so that the shim
// can say so instead of systemd's 226/NAMESPACE.
func (s *spec) binds() any {
	var list []Bind
	for _, dir := range s.readable() {
		list = append(list, Bind{Source: dir, Target: dir, IgnoreMissing: true, Flags: bindRecursive})
	}
	if list == nil {
		return nil
	}
	return list
}

const bindRecursive = 16384 // MS_REC

func (s *spec) readable() []string {
	dirs := slices.Concat(s.model.dirs, s.adapters, s.engine.Paths, s.variant.Paths)
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// protectHome hides the homes; "tmpfs" is the kind that can hold a mount point for a model that lives in one.
func (s *spec) protectHome() string {
	if slices.ContainsFunc(s.readable(), inHome) {
		return "tmpfs"
	}
	return "yes"
}

func (s *spec) credentials() any {
	if s.engine.Kind != KindRemote || s.variant.Key == "" || !s.keyFound {
		return nil
	}
	return []Pair{{s.variant.Key, s.variant.Key}} // a bare name is looked for in /etc/credstore.encrypted and its like
}

// families: a local engine listens on a unix socket; AF_NETLINK is getifaddrs, the internet families are vLLM's processes
// talking to each other on the loopback of their own network namespace.
func (s *spec) families() []string {
	return byKind(s,
		[]string{"AF_UNIX", "AF_NETLINK", "AF_INET", "AF_INET6"},
		[]string{"AF_UNIX", "AF_NETLINK"},
		[]string{"AF_UNIX", "AF_INET", "AF_INET6"})
}

// hash is over all that decides how the process runs, and so over what is missing for it: a unit that is blocked is defined
// anew once that is there. How large the model is on disk decides nothing, nor does what an earlier run took: it is the same
// definition with another figure, and a unit that failed over it keeps its reason.
func (s *spec) hash() string {
	plain := *s
	unit := *s.unit
	unit.Hash = ""
	unit.Charge.Measured = 0
	unit.Memory = unit.Charge.Total()
	plain.unit = &unit
	plain.model.size = 0
	plain.argv = plain.shim()
	sum := sha256.New()
	for _, p := range properties(&plain) {
		if !row(p.Name).aside {
			fmt.Fprintf(sum, "%s=%q\n", p.Name, fmt.Sprint(p.Value))
		}
	}
	return hex.EncodeToString(sum.Sum(nil))[:12]
}
