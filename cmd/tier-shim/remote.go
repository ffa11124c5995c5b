package main

// remote serves the tier by forwarding to an HTTPS server.
func (s *shim) remote() *end {
	return failed(classConfiguration, "Cannot serve tier %q: this build forwards to no server", s.opts.tier)
}
