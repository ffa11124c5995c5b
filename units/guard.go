package units

// Guard is the [guard] table: when tier-guard, which watches the host's memory while tiers serve, has tiers give way.
type Guard struct {
	Enabled  bool   `toml:"enabled"`   // false: it acts on nothing, and nobody misses it
	DryRun   bool   `toml:"dry_run"`   // it decides and tells, and touches nothing
	Soft     *Bytes `toml:"soft"`      // available memory below which an idle tier gives way; nil: see SoftOf
	Hard     *Bytes `toml:"hard"`      // below which busy ones do, too; nil: see HardOf
	FillRate Bytes  `toml:"fill_rate"` // bytes a second that memory can be taken at most; 0: the guard's own estimate
}

// SoftOf is the soft line: what the file says, else what has to stay free after a load, for a tier that was let in must not have
// to give way for that alone. Where nothing has to stay free it is the default of keep_free all the same: the kernel's OOM killer
// takes what it likes.
func (c *Config) SoftOf() Bytes {
	if c.Guard.Soft != nil {
		return *c.Guard.Soft
	}
	if keep := c.Host.KeepFreeOf(); keep >= minLine {
		return keep
	}
	return max(min(c.Host.Reserve, defaultKeepFree), minLine)
}

// HardOf is the hard line: what the file says, else half of the soft line.
func (c *Config) HardOf() Bytes {
	if c.Guard.Hard != nil {
		return *c.Guard.Hard
	}
	return c.SoftOf() / 2
}

// minLine keeps the lines apart from what the kernel itself needs (min_free_kbytes is some tens of MiB).
const minLine = 64 * MiB

func (c *Config) checkGuard(fs *faults) {
	soft, hard := c.SoftOf(), c.Guard.Hard
	at := func(key string) int { return c.line("guard", key) }
	switch {
	case c.Guard.Soft == nil:
	case soft < minLine:
		fs.add(at("soft"), "", "soft in [guard]: %s is less than %s, which is too late to act; leave it out for `keep_free` of [host]", soft, minLine)
	case soft > c.Host.KeepFreeOf():
		fs.warn(at("soft"), "", "soft in [guard] is %s, and a tier may start that leaves %s (`keep_free` in [host]): the guard would have one give way again; "+
			"write a larger keep_free, or a smaller soft", soft, c.Host.KeepFreeOf())
	}
	switch {
	case hard == nil:
	case *hard < minLine/2:
		fs.add(at("hard"), "", "hard in [guard]: %s is less than %s, which is too late to act; leave it out for half of soft", *hard, minLine/2)
	case *hard >= soft:
		fs.add(at("hard"), "", "hard in [guard]: %s is not less than the soft line of %s", *hard, soft)
	}
	if rate := c.Guard.FillRate; rate != 0 && rate < minLine {
		fs.add(at("fill_rate"), "", "fill_rate in [guard]: %s in a second is slower than any memory; leave it out for the guard's own estimate", rate)
	}
}

// checkGuardSize compares the lines with the size of the host.
func (c *Config) checkGuardSize(fs *faults, h Host) {
	if soft := c.SoftOf(); c.Guard.Enabled && h.MemTotal > 0 && soft+soft/4 >= h.MemTotal {
		at := c.line("guard", "soft")
		if c.Guard.Soft == nil {
			at = c.line("host", "keep_free")
		}
		fs.warn(at, "", "no tier can ever load: none does below 1.25 times of the soft line, which is %s, and this host has %s in all", soft, h.MemTotal)
	}
}
