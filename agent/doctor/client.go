package doctor

// ClientFile is the configuration that tierd's tools wrote for a client of the tiers.
type ClientFile struct {
	Path   string
	Stale  string // in what it would be another now; "" when it would not
	Breaks bool   // the client works with something that is not there
	Fix    string // the command that writes it anew
}

// checkApplied tells of the configurations of OpenCode that the invoking user applied.
func (r *report) checkApplied() {
	for _, c := range r.Clients {
		if c.Stale == "" {
			r.fine("opencode", "tierctl opencode", "%s has the tiers as they are", c.Path)
			continue
		}
		f := Finding{ID: "opencode", Severity: Note, Source: "tierctl opencode", What: c.Path + " is from before: " + c.Stale, Fix: c.Fix,
			Why: "OpenCode does not make use of what there is"}
		if c.Breaks {
			f.Severity, f.Why = Warning, "OpenCode sends more than a tier takes, or to where none is"
		}
		r.add(f)
	}
}
