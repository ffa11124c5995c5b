package units

func (c *Config) check(fs *faults) {}
