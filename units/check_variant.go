package units

import (
	"maps"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
)

// variantCheck is one variant being checked.
type variantCheck struct {
	c  *Config
	fs *faults
	t  Tier
	v  Variant
	e  Engine
}

func (c *Config) checkVariant(fs *faults, t Tier, v Variant) {
	k := variantCheck{c: c, fs: fs, t: t, v: v}
	if !nameForm.MatchString(v.Name) {
		k.add("", "variant %s of tier %q: %s", quote(v.Name), t.Name, nameRule)
	}
	c.checkEnv(fs, t.Name, v.Env, "tier", t.Name, "variant", v.Name)
	c.checkPaths(fs, t.Name, v.Paths, "tier", t.Name, "variant", v.Name)
	k.numbers()
	if v.Model == "" {
		k.add("model", "%s has no model", k.name())
	}
	known := each(c.Engines, func(e Engine) string { return e.Name })
	e, ok := c.Engine(v.Engine)
	switch {
	case v.Engine == "":
		k.add("engine", "%s has no engine; one of %s", k.name(), strings.Join(known, ", "))
		return
	case !ok:
		k.add("engine", "engine of %s: there is no [engine.%s]%s", k.name(), strings.Trim(quote(v.Engine), `"`), suggest(v.Engine, known))
		return
	case !slices.Contains(kinds, e.Kind):
		return // the engine's own fault has been told
	}
	k.e = e
	k.foreign()
	if e.Kind == KindRemote {
		k.remote()
		return
	}
	k.local()
}

func (k variantCheck) name() string { return k.t.Name + "/" + strings.Trim(quote(k.v.Name), `"`) }

func (k variantCheck) add(key, format string, args ...any) {
	k.fs.add(k.at(key), k.t.Name, format, args...)
}

func (k variantCheck) at(key string) int {
	return k.c.line("tier", k.t.Name, "variant", k.v.Name, key)
}

// written tells whether the file has the key: a default is never at fault.
func (k variantCheck) written(key string) bool {
	return k.c.source.has("tier", k.t.Name, "variant", k.v.Name, key)
}

func (k variantCheck) numbers() {
	v := k.v
	for _, n := range []struct {
		key       string
		is        int
		low, high int
	}{
		{"parallel", v.Parallel, 0, 1024},
		{"threads", v.Threads, 0, 4096},
		{"gpu_layers", value(v.GPULayers), 0, 10000},
	} {
		if n.is < n.low || n.is > n.high {
			k.add(n.key, "%s of %s: %d is not within %d to %d", n.key, k.name(), n.is, n.low, n.high)
		}
	}
	if !(v.Utilization >= 0 && v.Utilization <= 0.95) { // so written that "nan" is refused as well
		k.add("gpu_utilization", "gpu_utilization of %s: %v is not within 0 to 0.95", k.name(), v.Utilization)
	}
	if v.LoadTimeout <= 0 {
		k.add("load_timeout", "load_timeout of %s must be above zero", k.name())
	}
	if v.StallTimeout <= 0 {
		k.add("stall_timeout", "stall_timeout of %s must be above zero", k.name())
	}
}

func value(n *int) int {
	if n == nil {
		return 0
	}
	return *n
}

// onlyFor names the kinds of engine that a key has a meaning for; the others take every key that is not listed.
var onlyFor = map[string][]string{
	"allow_unsupported": {KindVLLM, KindLlama},
	"parallel":          {KindVLLM, KindLlama},
	"threads":           {KindVLLM, KindLlama},
	"gpu_layers":        {KindLlama},
	"load_mode":         {KindLlama},
	"flash_attention":   {KindLlama},
	"tools":             {KindVLLM},
	"kv_memory":         {KindVLLM},
	"gpu_utilization":   {KindVLLM},
	"batch_tokens":      {KindVLLM},
	"prefix_caching":    {KindVLLM},
	"extra_args":        {KindVLLM, KindLlama},
	"env":               {KindVLLM, KindLlama},
	"paths":             {KindVLLM, KindLlama},
	"url":               {KindRemote},
	"key":               {KindRemote},
}

// foreign finds keys that would silently do nothing with this kind of engine.
func (k variantCheck) foreign() {
	for _, key := range slices.Sorted(maps.Keys(onlyFor)) {
		if takers := onlyFor[key]; k.written(key) && !slices.Contains(takers, k.e.Kind) {
			k.add(key, "%s of %s means nothing to a %s engine; it is for %s", key, k.name(), k.e.Kind, strings.Join(takers, " and "))
		}
	}
}

// local checks what a model that runs on this host needs.
func (k variantCheck) local() {
	v := k.v
	if v.Context == 0 {
		k.add("context", "%s has no context, as in context = \"32K\"", k.name())
	}
	if int64(v.Context)*int64(max(v.Parallel, 1)) > 1<<31-1 {
		k.add("context", "context of %s: %d tokens for each of %d requests is more than an engine can count", k.name(), v.Context, v.Parallel)
	}
	if v.Memory == 0 && k.written("memory") {
		k.add("memory", "memory of %s is 0; leave it out, and it is worked out from the model's files", k.name())
	}
	if v.Memory > 0 && v.KVMemory > v.Memory {
		k.add("kv_memory", "kv_memory of %s: %s is more than its whole memory of %s", k.name(), v.KVMemory, v.Memory)
	}
	if value(v.GPULayers) > 0 && !k.e.UsesGPU() {
		k.add("gpu_layers", "gpu_layers of %s: engine %q may not use the GPU; write gpu = true in [engine.%s]", k.name(), k.e.Name, k.e.Name)
	}
	k.words("load_mode", v.LoadMode, "none", "mmap", "mlock", "mmap+mlock", "dio")
	k.words("flash_attention", v.FlashAttention, "on", "off", "auto")
	if path.IsAbs(v.Model) && path.Clean(v.Model) == "/" || strings.HasPrefix(v.Model, "~") || slices.Contains(strings.Split(v.Model, "/"), "..") {
		k.add("model", "model of %s: %s is neither a name below the folders of [host] nor an absolute path%s", k.name(), quote(v.Model), tilde(v.Model))
	}
	if strings.HasPrefix(v.Model, "-") || strings.HasPrefix(v.Tools, "-") {
		k.add("model", "%s: a model or parser cannot begin with a dash", k.name())
	}
	if k.e.Kind == KindVLLM && isGGUF(v.Model) {
		k.add("model", "model of %s: vLLM loads folders of safetensors, not a .gguf file; use an engine of kind \"llama\"", k.name())
	}
	if _, ok := k.e.Env[vllmKVEnv]; ok || v.Env[vllmKVEnv] != "" {
		if v.KVMemory > 0 {
			k.add("kv_memory", "kv_memory of %s: %s in env would win over it silently; leave one of them out", k.name(), vllmKVEnv)
		}
	}
	if flag, key, ok := ownFlag(k.e.Kind, v.ExtraArgs); ok {
		k.add("extra_args", "extra_args of %s must not contain %s: %s", k.name(), flag, instead(key))
	}
	if k.e.Kind == KindVLLM {
		k.adapters()
	}
	for _, arg := range v.ExtraArgs {
		if _, value, _ := strings.Cut(arg, "="); secretForms.MatchString(arg) || secretForms.MatchString(value) {
			k.add("extra_args", "extra_args of %s hold what looks like a secret, and every user can read a command line. %s", k.name(), secretRemedy)
			break
		}
	}
}

// vllmKVEnv sizes the KV cache of vLLM for CPU, over what the flag says.
const vllmKVEnv = "VLLM_CPU_KVCACHE_SPACE"

func (k variantCheck) words(key, is string, known ...string) {
	if is != "" && !slices.Contains(known, is) {
		k.add(key, "%s of %s: %s is none of %s%s", key, k.name(), quote(is), strings.Join(known, ", "), suggest(is, known))
	}
}

// remote checks the address of the other server and the name of its credential.
func (k variantCheck) remote() {
	u, err := url.Parse(k.v.URL)
	switch {
	case k.v.URL == "":
		k.add("url", "%s is remote and has no url, as in url = \"https://api.example.com/v1\"", k.name())
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		k.add("url", "url of %s is not an address that begins with https://", k.name())
	case u.User != nil:
		k.add("url", "url of %s holds a password; %s", k.name(), secretRemedy)
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		k.add("url", "url of %s: %s would be asked in the clear; write https://", k.name(), quote(u.Hostname()))
	}
	switch {
	case looksSecret(k.v.Key):
		k.add("key", "key of %s looks like the secret itself; it is a credential's name. %s", k.name(), secretRemedy)
	case k.v.Key != "" && !credentialForm.MatchString(k.v.Key):
		k.add("key", "key of %s is not a credential's name: letters, digits, dots, dashes and underscores", k.name())
	}
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}
