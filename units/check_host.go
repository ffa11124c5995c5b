package units

// checkSize compares what the file declares with the size of the host. All of it are warnings: admission is what refuses,
// and the other tiers can run.
func (c *Config) checkSize(fs *faults, h Host, p *Plan) {
	if h.MemTotal > 0 && c.Host.Reserve >= h.MemTotal {
		fs.warn(c.line("host", "reserve"), "", "no tier can ever start: reserve in [host] is %s, and this host has %s in all", c.Host.Reserve, h.MemTotal)
		return
	}
	c.checkGuardSize(fs, h)
	for _, t := range c.Tiers {
		for _, v := range t.Variants {
			u, _ := p.Variant(t.Name, v.Name)
			c.checkVariantSize(fs, h, t, v, u)
		}
	}
}

func (c *Config) checkVariantSize(fs *faults, h Host, t Tier, v Variant, u Unit) {
	at := func(key string) int { return c.line("tier", t.Name, "variant", v.Name, key) }
	takes := u.Memory
	if h.VRAM > 0 { // two pools, and none makes up for the other
		device := min(u.Charge.Device, takes)
		if device > h.VRAM {
			fs.warn(at("memory"), t.Name, "%s/%s can never start: it takes %s of the GPU's memory, and %s were carved out for that", t.Name, v.Name, device, h.VRAM)
		}
		takes += u.Charge.Host - device
	}
	if h.MemTotal > 0 && takes > h.MemTotal-c.Host.Reserve {
		fs.warn(at("memory"), t.Name, "%s/%s can never start: it takes %s, and this host has %s less the reserve of %s",
			t.Name, v.Name, takes, h.MemTotal, c.Host.Reserve)
	}
	if h.CPUs > 0 && v.Threads > h.CPUs {
		fs.warn(at("threads"), t.Name, "threads of %s/%s: %d are more than the %d CPUs of this host, which makes it slower", t.Name, v.Name, v.Threads, h.CPUs)
	}
}
