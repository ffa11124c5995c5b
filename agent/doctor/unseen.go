package doctor

import "strings"

// checkUnseen says what could not be looked at, so that silence about it is no good news.
func (r *report) checkUnseen() {
	const source = "proc(5)"
	if r.Files == nil {
		r.add(Finding{ID: "unseen", Severity: Note, Source: source,
			What: "only what the kernel says was looked at",
			Why:  "a recording has no files of the host: engines, models, devices, boot loader and services like earlyoom are not known",
			Fix:  "run tierctl doctor on the host itself"})
	}
	if r.Config == "" {
		r.add(Finding{ID: "unseen", Severity: Note, Source: ownSource,
			What: "no tiers.toml was looked at", Why: "engines, models and sums of modes are not known", Fix: "name one with --config"})
	}
	if !r.Snapshot.ClientsComplete {
		r.add(Finding{ID: "unseen", Severity: Note, Source: source,
			What: "not every process could be looked into",
			Why:  "programs that hold GPU memory may be missing here, and whether some leaked is not known",
			Fix:  "sudo tierctl doctor, or start tierd: it is asked when it answers"})
	}
	if r.Files != nil && len(r.Files.Hidden) > 0 {
		r.add(Finding{ID: "unseen", Severity: Note, Source: source,
			What: "not allowed to look at " + strings.Join(r.Files.Hidden, ", "),
			Why:  "what they say was not checked", Fix: "sudo tierctl doctor"})
	}
	if r.Snapshot.Kernel.Controllers == nil {
		r.add(Finding{ID: "unseen", Severity: Note, Source: "systemd, README",
			What: "no unified cgroup hierarchy is seen", Why: "whether tiers can be held to their limits is not known"})
	}
}
