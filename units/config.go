package units

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config is tiers.toml, decoded over the defaults and checked. Engines, tiers, variants and modes keep the order of the
// file: the first variant of a tier is its default.
type Config struct {
	File    string     `toml:"-"` // as faults name it
	Host    HostConfig `toml:"host"`
	Guard   Guard      `toml:"guard"`
	Gateway Gateway    `toml:"gateway"`
	Engines []Engine   `toml:"engine"`
	Tiers   []Tier     `toml:"tier"`
	Modes   []Mode     `toml:"mode"`

	source *source // where each key stands, for the faults that MakePlan finds
}

// HostConfig is the [host] table.
type HostConfig struct {
	Reserve     Bytes    `toml:"reserve"`      // never promised to tiers
	KeepFree    *Bytes   `toml:"keep_free"`    // has to stay free after a load, whatever was promised; nil: see KeepFreeOf
	Models      []string `toml:"models"`       // folders in which models are looked for, in this order
	DefaultMode string   `toml:"default_mode"` // what `tierctl up` without a name means
}

// Gateway is the [gateway] table.
type Gateway struct {
	Listen string        `toml:"listen"` // address of every listener
	Port   int           `toml:"port"`   // serves every tier by model name; 0: no such listener
	Drain  time.Duration `toml:"drain"`  // what requests in flight may take when a tier stops, unless the tier says otherwise
	Hold   time.Duration `toml:"hold"`   // how long a request waits for its tier and its turn, unless the tier says otherwise

	Hosts          []string `toml:"hosts"`           // further names that clients and pages may use for this machine
	MaxConnections int      `toml:"max_connections"` // of clients, at one time
	MaxBody        Bytes    `toml:"max_body"`        // of one request
	OpenLoopback   bool     `toml:"open_loopback"`   // programs on this machine need no key
	Keys           []Key    `toml:"key"`             // none: nobody needs one
}

// Reach is the address at which a program on this machine finds the listeners: loopback where they are at all of its addresses.
func (g Gateway) Reach() string {
	a, err := netip.ParseAddr(g.Listen)
	switch {
	case err != nil || !a.IsUnspecified():
		return g.Listen
	case a.Is6():
		return netip.IPv6Loopback().String()
	}
	return "127.0.0.1"
}

// URL is where a program on this machine reaches the listener of a port, as in "http://127.0.0.1:8000".
func (g Gateway) URL(port int) string {
	host := g.Reach()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return "http://" + host + ":" + strconv.Itoa(port)
}

// Engine is one [engine.NAME] table: a program that serves models.
type Engine struct {
	Name    string            `toml:"-"`
	Kind    string            `toml:"kind"`    // vllm, llama or remote
	Command []string          `toml:"command"` // program and first arguments; the rest comes from the variant
	Env     map[string]string `toml:"env"`
	GPU     *bool             `toml:"gpu"`   // its units may open the GPU; nil: yes for vllm, no for the others
	Paths   []string          `toml:"paths"` // what its units may read in home directories, which are hidden otherwise
}

// UsesGPU tells whether units of this engine may open the GPU.
func (e Engine) UsesGPU() bool {
	if e.GPU != nil {
		return *e.GPU
	}
	return e.Kind == KindVLLM
}

// Tier is one [tier.NAME] table: a named service of one role.
type Tier struct {
	Name     string         `toml:"-"`
	Role     string         `toml:"role"`
	Port     int            `toml:"port"`
	Start    string         `toml:"start"`         // boot, demand or manual
	Priority int            `toml:"priority"`      // 0..100, the lowest gives way first
	IdleStop time.Duration  `toml:"idle_stop"`     // 0: never
	Drain    *time.Duration `toml:"drain"`         // nil: as the gateway's
	Hold     *time.Duration `toml:"hold"`          // nil: as the gateway's
	Limit    *int           `toml:"concurrency"`   // requests let through at the same time, 0: no limit; nil: see ConcurrencyOf
	Output   Tokens         `toml:"output"`        // that clients should let one answer have; 0: by role
	Alive    string         `toml:"keepalive"`     // KeepaliveComments or "": what a stream gets that waits
	Pinned   bool           `toml:"pinned"`        // never gives way
	Keeps    time.Duration  `toml:"min_residency"` // after it came up it is spared for so long
	MaxWait  time.Duration  `toml:"max_wait"`      // how long it waits for tiers that are busy or came up just now
	Variants []Variant      `toml:"variant"`
}

// Variant is one [tier.NAME.variant.NAME] table: one way of serving the tier.
type Variant struct {
	Name           string            `toml:"-"`
	Engine         string            `toml:"engine"`
	Model          string            `toml:"model"`
	ServedName     string            `toml:"served_name"`     // "": the tier's name (local) or the model's (remote)
	Context        Tokens            `toml:"context"`         // of one request
	Parallel       int               `toml:"parallel"`        // requests at the same time
	Threads        int               `toml:"threads"`         // 0: the engine's own choice
	GPULayers      *int              `toml:"gpu_layers"`      // nil: all of them on a GPU engine
	LoadMode       string            `toml:"load_mode"`       // llama: how the model is read; "": none on a GPU, mmap on the CPU
	FlashAttention string            `toml:"flash_attention"` // llama: on, off or auto
	Tools          string            `toml:"tools"`           // vLLM's tool-call parser
	Memory         Bytes             `toml:"memory"`          // the charge; 0: worked out from the model's files
	KVMemory       Bytes             `toml:"kv_memory"`       // vLLM's KV cache; 0: what is left of gpu_utilization, else what one request takes
	Utilization    float64           `toml:"gpu_utilization"`
	BatchTokens    Tokens            `toml:"batch_tokens"`   // vLLM: tokens worked on in one step
	PrefixCaching  bool              `toml:"prefix_caching"` // vLLM: keep what requests begin with in common
	LoadTimeout    time.Duration     `toml:"load_timeout"`   // without progress while loading
	StallTimeout   time.Duration     `toml:"stall_timeout"`  // without progress while serving; remote: without an answer
	URL            string            `toml:"url"`            // remote
	Key            string            `toml:"key"`            // remote: a credential's name
	Paths          []string          `toml:"paths"`          // the same for one variant: adapters, draft models
	ExtraArgs      []string          `toml:"extra_args"`
	Env            map[string]string `toml:"env"`
	Unsupported    bool              `toml:"allow_unsupported"` // start what is known not to work on this GPU
}

// Mode is one [mode.NAME] table: a named set of tiers, each "tier" or "tier/variant".
type Mode struct {
	Name  string   `toml:"-"`
	Tiers []string `toml:"tiers"`
}

// The kinds of engine.
const (
	KindVLLM   = "vllm"
	KindLlama  = "llama"
	KindRemote = "remote"
)

// What Tier.Start may be.
const (
	StartBoot   = "boot"   // with `tierctl up` and at boot
	StartDemand = "demand" // when a request asks for it, or by hand
	StartManual = "manual" // by hand alone
)

// KeepaliveComments has a stream that waits begin early, with comments, for clients that give up without a byte.
const KeepaliveComments = "comments"

// ParseConfig reads tiers.toml. It returns every fault that the text alone shows, in file order; the Config is nil when
// one of them is more than a warning. file is the name that faults carry.
func ParseConfig(file string, src []byte) (*Config, []Fault) {
	c := defaults()
	c.File = file
	d := decode(file, src, c)
	if d.source == nil {
		return nil, d.faults.list()
	}
	c.source = d.source
	c.fill()
	c.check(d.faults)
	list := d.faults.list()
	if slices.ContainsFunc(list, func(f Fault) bool { return !f.Warning }) {
		return nil, list
	}
	return c, list
}

// Tier returns the tier of that name.
func (c *Config) Tier(name string) (Tier, bool) {
	i := slices.IndexFunc(c.Tiers, func(t Tier) bool { return t.Name == name })
	if i < 0 {
		return Tier{}, false
	}
	return c.Tiers[i], true
}

// Engine returns the engine of that name.
func (c *Config) Engine(name string) (Engine, bool) {
	i := slices.IndexFunc(c.Engines, func(e Engine) bool { return e.Name == name })
	if i < 0 {
		return Engine{}, false
	}
	return c.Engines[i], true
}

// DrainOf is how long requests in flight of this tier may take once it is told to stop.
func (c *Config) DrainOf(t Tier) time.Duration {
	if t.Drain != nil {
		return *t.Drain
	}
	return c.Gateway.Drain
}

// HoldOf is how long a request to this tier waits for it to be ready and for its turn, together.
func (c *Config) HoldOf(t Tier) time.Duration {
	if t.Hold != nil {
		return *t.Hold
	}
	return c.Gateway.Hold
}

// remoteConcurrency keeps a loop of requests from becoming a bill; most servers take more.
const remoteConcurrency = 16

// ConcurrencyOf is how many requests to one variant of a tier are let through at the same time, 0 for no limit. Left out, it is
// what the engine works on at the same time: more would queue there, in the order in which they came, whoever they are from.
func (c *Config) ConcurrencyOf(t Tier, v Variant) int {
	if t.Limit != nil {
		return *t.Limit
	}
	if e, _ := c.Engine(v.Engine); e.Kind == KindRemote {
		return remoteConcurrency
	}
	return v.Parallel
}

// defaultKeepFree is enough for a desktop, a browser and the page cache of a build (8 GiB).
const defaultKeepFree = 8 * GiB

// KeepFreeOf is what has to stay free after a load: what the file says, else 8 GiB, or the reserve where that is smaller.
// It is less than the reserve because a desktop that runs has taken its part of the reserve already.
func (h HostConfig) KeepFreeOf() Bytes {
	if h.KeepFree != nil {
		return *h.KeepFree
	}
	return min(h.Reserve, defaultKeepFree)
}

// Variant returns the variant of that name, or the default one for "".
func (t Tier) Variant(name string) (Variant, bool) {
	for _, v := range t.Variants {
		if name == "" || v.Name == name {
			return v, true
		}
	}
	return Variant{}, false
}

// splitMember reads an entry of a mode: "tier" or "tier/variant".
func splitMember(s string) (tier, variant string) {
	tier, variant, _ = strings.Cut(s, "/")
	return tier, variant
}
