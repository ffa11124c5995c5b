package units

import (
	"cmp"
	"time"
)

// remoteMemory is the charge of a forwarder: requests and answers on their way, up to some MiB each.
const remoteMemory = 128 * MiB

// defaults is the configuration that an empty file means.
func defaults() *Config {
	return &Config{
		Host:  HostConfig{Reserve: 12 * GiB, Models: []string{"/var/lib/tierd/models"}},
		Guard: Guard{Enabled: true},
		Gateway: Gateway{
			Listen: "127.0.0.1", Port: 8000, Drain: 30 * time.Second, Hold: 4 * time.Minute, MaxConnections: 1024, MaxBody: 64 * MiB,
		},
	}
}

func defaultTier() Tier {
	return Tier{Start: StartManual, Priority: 50, Keeps: 2 * time.Minute, MaxWait: time.Minute}
}

func defaultVariant() Variant {
	return Variant{LoadTimeout: 20 * time.Minute, StallTimeout: 5 * time.Minute, PrefixCaching: true}
}

// fill derives what the file left out from what it says elsewhere.
func (c *Config) fill() {
	for i := range c.Engines {
		e := &c.Engines[i]
		if e.Kind == "" && (e.Name == KindVLLM || e.Name == KindLlama || e.Name == KindRemote) {
			e.Kind = e.Name
		}
	}
	if _, ok := c.Engine(KindRemote); !ok { // needs no table: it has no command
		c.Engines = append(c.Engines, Engine{Name: KindRemote, Kind: KindRemote})
	}
	for i := range c.Tiers {
		t := &c.Tiers[i]
		if t.Role == "" {
			t.Role = t.Name
		}
		for j := range t.Variants {
			c.fillVariant(t.Name, &t.Variants[j])
		}
	}
	if c.Host.DefaultMode == "" && len(c.Modes) > 0 {
		c.Host.DefaultMode = c.Modes[0].Name
	}
}

func (c *Config) fillVariant(tier string, v *Variant) {
	e, _ := c.Engine(v.Engine)
	if v.ServedName == "" {
		v.ServedName = tier
		if e.Kind == KindRemote {
			v.ServedName = v.Model
		}
	}
	if e.Kind == KindRemote && v.Memory == 0 {
		v.Memory = remoteMemory
	}
	if v.Parallel == 0 {
		v.Parallel = 1
		if e.Kind == KindVLLM {
			v.Parallel = 4
		}
	}
	if e.Kind == KindLlama {
		v.FlashAttention = cmp.Or(v.FlashAttention, "on")
		mode := "mmap"
		if e.UsesGPU() {
			mode = "none" // mapped files above 20 GB hang on gfx1151
		}
		v.LoadMode = cmp.Or(v.LoadMode, mode)
	}
	if v.BatchTokens == 0 && e.Kind == KindVLLM {
		v.BatchTokens = 2048
	}
}
