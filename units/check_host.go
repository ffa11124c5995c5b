package units

// checkSize compares what the file declares with the size of the host. All of it are warnings: admission is what refuses,
// and the other tiers can run.
func (c *Config) checkSize(fs *faults, h Host, p *Plan) {
	if h.MemTotal > 0 && c.Host.Reserve >= h.MemTotal {
		fs.warn(c.line("host", "reserve"), "", "no tier can ever start: reserve in [host] is %s, and this host has %s in all", c.Host.Reserve, h.MemTotal)
		return
	}
	for _, t := range c.Tiers {
		for _, v := range t.Variants {
			u, _ := p.Variant(t.Name, v.Name)
			c.checkVariantSize(fs, h, t, v, u.Memory)
		}
	}
}

func (c *Config) checkVariantSize(fs *faults, h Host, t Tier, v Variant, takes Bytes) {
	at := func(key string) int { return c.line("tier", t.Name, "variant", v.Name, key) }
	if h.MemTotal > 0 && takes > h.MemTotal-c.Host.Reserve {
		fs.warn(at("memory"), t.Name, "%s/%s can never start: it takes %s, and this host has %s less the reserve of %s",
			t.Name, v.Name, takes, h.MemTotal, c.Host.Reserve)
	}
	if h.CPUs > 0 && v.Threads > h.CPUs {
		fs.warn(at("threads"), t.Name, "threads of %s/%s: %d are more than the %d CPUs of this host, which makes it slower", t.Name, v.Name, v.Threads, h.CPUs)
	}
}
